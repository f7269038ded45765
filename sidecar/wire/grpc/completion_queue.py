"""The interface to grpc core: a server and its completion queue, driven by the polling thread.

grpc's public servers pass every call between threads, which is most of the cost of a call
(docs/decisions/0001-grpc-server.md). Here the polling thread also reads the sockets, runs the
handler and writes the answer. The calls below are those of grpc's own ``_server.py``. They belong
to ``grpc._cython.cygrpc``, which is private: only this module may use it, and ``missing`` returns
the names that it uses and the installed grpcio does not have.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

try:
    from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, and in no stub
except ImportError:  # pragma: no cover - a grpcio that is built otherwise
    cygrpc = None

Tag = Callable[[Any], None]
"""What an event of the queue is for: it is called with the event."""

CoreCall = Any
"""A ``cygrpc.Call``. cygrpc has no types to offer."""

_NO_FLAGS = 0
_LAST_SECOND = float(2**63 - 1)
_USED: tuple[str, ...] = (
    "CompletionQueue.poll",
    "ReceiveCloseOnServerOperation.cancelled",
    "ReceiveMessageOperation.message",
    "SendInitialMetadataOperation",
    "SendMessageOperation",
    "SendStatusFromServerOperation",
    "Call.start_server_batch",
    "Server.add_http2_port",
    "Server.cancel_all_calls",
    "Server.destroy",
    "Server.register_completion_queue",
    "Server.request_call",
    "Server.shutdown",
    "Server.start",
)


def missing() -> list[str]:
    """Return the names this module uses that the installed grpcio does not have."""
    return [name for name in _USED if not _has(name)]


class Core:
    """A grpc core server with one completion queue. Everything but ``poll`` is thread-safe.

    ``options`` are channel arguments (grpc's ``channel_arg_names.h``). It may be used only if
    nothing is ``missing``.
    """

    def __init__(self, options: Sequence[tuple[str, int]]) -> None:
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(tuple(options), False)
        self._server.register_completion_queue(self._queue)

    def bind(self, address: str) -> int:
        """Bind and listen; calls are accepted from ``start`` on. Returns the port, 1 for a path.

        Raises OSError when the address cannot be bound.
        """
        port: int = self._server.add_http2_port(address.encode())
        if port == 0:
            raise OSError("grpc could not bind it")
        return port

    def start(self) -> None:
        """Begin to accept connections."""
        self._server.start()

    def accept(self, tag: Tag) -> None:
        """Have ``tag`` called with the next call's event, or an unsuccessful one at shutdown."""
        self._server.request_call(self._queue, self._queue, tag)

    def poll(self, until: float) -> Any:
        """Run grpc core until there is an event, or until ``until`` (Unix seconds).

        Returns the event. Its ``tag`` is None when the time ran out.
        """
        return self._queue.poll(until)

    def shutdown(self, tag: Tag) -> None:
        """Stop listening and send GOAWAY. ``tag`` is called when the last connection is gone."""
        self._server.shutdown(self._queue, tag)

    def cancel_all(self) -> None:
        """Cut off every call and connection. Only after ``shutdown``."""
        self._server.cancel_all_calls()

    def destroy(self) -> None:
        """Release the server. Only after the tag of ``shutdown`` was called."""
        self._server.destroy()


def deadline(event: Any) -> float:
    """Return the deadline of a call that arrived, in Unix seconds; infinite where it has none."""
    seconds: float = event.call_details.deadline
    # grpc core represents infinity by the largest number of seconds.
    return math.inf if seconds >= _LAST_SECOND else seconds


def receive(call: CoreCall, tag: Tag) -> None:
    """Have ``tag`` called when the request message is there; ``message`` reads it."""
    _start(call, (cygrpc.ReceiveMessageOperation(_NO_FLAGS),), tag)


def message(event: Any) -> bytes | None:
    """Return the message of a ``receive``; None when the client sent none that can be used."""
    body: bytes | None = event.batch_operations[0].message()
    return body


def answer(call: CoreCall, body: bytes, tag: Tag) -> None:
    """Send ``body`` with status OK, in one batch. ``tag`` is called when the call is over."""
    operations = (
        cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),
        cygrpc.SendInitialMetadataOperation((), _NO_FLAGS),
        cygrpc.SendMessageOperation(body, _NO_FLAGS),
        cygrpc.SendStatusFromServerOperation((), 0, b"", _NO_FLAGS),
    )
    _start(call, operations, tag)


def refuse(call: CoreCall, code: int, text: str, tag: Tag) -> None:
    """Send a status other than OK and no message. ``tag`` is called when the call is over."""
    operations = (
        cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),
        cygrpc.SendInitialMetadataOperation((), _NO_FLAGS),
        cygrpc.SendStatusFromServerOperation((), code, text.encode(errors="replace"), _NO_FLAGS),
    )
    _start(call, operations, tag)


def cancelled(event: Any) -> bool:
    """Whether the client was gone before the ``answer`` or ``refuse`` of this event reached it."""
    gone: bool = event.batch_operations[0].cancelled()
    return gone


def _start(call: CoreCall, operations: tuple[Any, ...], tag: Tag) -> None:
    error = call.start_server_batch(operations, tag)
    if error != 0:
        raise RuntimeError(f"grpc core refused a batch: grpc_call_error {error}")


def _has(name: str) -> bool:
    try:
        operator.attrgetter(name)(cygrpc)
    except AttributeError:
        return False
    return True
