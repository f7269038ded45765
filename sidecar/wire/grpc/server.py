"""The gRPC server: one thread that polls, calls the handler inline and sends what it answers.

Unary calls only, bytes in and bytes out. A handler must not block. It may keep the ``Call`` and
answer later from any thread: a call that waits holds no thread.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from grpc import StatusCode

from sidecar.wire.grpc import completion_queue as core
from sidecar.wire.grpc.sockets import Address, Listener

_log = logging.getLogger(__name__)

# How often (seconds) an idle server looks whether it was told to stop.
_TICK: Final = 0.1

# The method under which calls to methods that do not exist are counted: a closed set of labels.
UNKNOWN_METHOD: Final = "unknown"

# The codes in the spelling of grpc-go, which dashboards look for in grpc_server_handled_total.
_NAMES: Final = {code: code.name.title().replace("_", "") for code in StatusCode} | {
    StatusCode.OK: "OK",
    StatusCode.CANCELLED: "Canceled",
}
# What the calls of a method there is can end with, and those of another.
_CODES: Final = (
    *(StatusCode.OK, StatusCode.CANCELLED, StatusCode.RESOURCE_EXHAUSTED),
    *(StatusCode.INVALID_ARGUMENT, StatusCode.INTERNAL, StatusCode.UNAVAILABLE),
)
_CODES_OF_UNKNOWN: Final = (StatusCode.UNIMPLEMENTED, StatusCode.CANCELLED)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes on. A call above ``max_pending`` gets RESOURCE_EXHAUSTED.

    ``max_pending`` bounds each queue on a call's way: the streams of one connection, the calls that
    grpc core has read and the server's thread has not yet taken (from there on it refuses some,
    from twice that all), and the calls taken and not yet answered. ``max_message`` is in bytes.
    """

    max_pending: int = 1024
    max_message: int = 1024 * 1024
    max_connections: int = 256


class Call:
    """One unary call. Answer it once, with ``reply`` or ``fail``, from any thread.

    ``deadline`` is in Unix seconds, infinite where the client set none. An answer that comes second
    or after the server has stopped is dropped. One to a client that has gone goes nowhere, but is
    owed all the same: until it comes, the call counts as pending.
    """

    __slots__ = ("_call", "_code", "_over", "_unanswered", "body", "deadline", "method")

    def __init__(
        self,
        call: core.CoreCall,
        method: str,
        deadline: float,
        unanswered: "set[Call]",
        over: "Callable[[Call, StatusCode], None]",
    ) -> None:
        self.method = method
        self.body = b""
        self.deadline = deadline
        self._call = call
        self._code = StatusCode.OK
        self._unanswered = unanswered
        self._over = over
        unanswered.add(self)

    def reply(self, body: bytes) -> None:
        """Answer with ``body`` and status OK."""
        if self._claim():
            core.answer(self._call, body, self._sent)

    def fail(self, code: StatusCode, text: str) -> None:
        """Answer with a status other than OK. ``text`` is for a person."""
        if self._claim():
            self._code = code
            core.refuse(self._call, code.value[0], text, self._sent)

    def _claim(self) -> bool:
        # set.remove is atomic: of two threads that answer, one finds the call and one does not.
        try:
            self._unanswered.remove(self)
        except KeyError:
            return False
        return True

    def _sent(self, event: Any) -> None:
        self._over(self, StatusCode.CANCELLED if core.cancelled(event) else self._code)


Handler = Callable[[Call], None]


class GrpcServer:
    """Serves unary methods on one address, from one thread.

    ``methods`` maps full names (``/package.Service/Method``) to handlers. ``handled`` is told the
    method (or UNKNOWN_METHOD) and the name of the code of every call once it is over, on the
    server's thread. ``address`` has the port that was chosen once the server has started.
    """

    def __init__(
        self,
        address: Address,
        methods: Mapping[str, Handler],
        *,
        handled: Callable[[str, str], None],
        limits: Limits = Limits(),
    ) -> None:
        self._methods = {name.encode(): (name, handler) for name, handler in methods.items()}
        self._handled = handled
        self._limits = limits
        self._listener = Listener(address)
        self._core = core.Core(_options(limits))
        self._thread = threading.Thread(target=self._run, name="grpc-server", daemon=True)
        self._unanswered: set[Call] = set()
        # Touched by the server's thread alone.
        self._unfinished = 0
        self._closing = self._closed = False
        # Written by stop() alone: when, on the monotonic clock, what is left is cut off.
        self._stop_at: float | None = None

    @property
    def address(self) -> Address:
        """Where the server listens."""
        return self._listener.address

    def start(self) -> None:
        """Listen and serve. Raises ListenFault, with what to do, where that cannot be."""
        self._listener.open(self._core.bind)
        self._core.start()
        self._core.accept(self._arrived)
        self._thread.start()

    @property
    def serving(self) -> bool:
        """Whether calls are answered: from the start until the end, and not if the thread died."""
        return self._thread.is_alive()

    def connections(self) -> int:
        """Count the connections clients hold open."""
        return self._listener.connections()

    def stop(self, grace: float) -> None:
        """Go on accepting until clients have closed their connections or ``grace`` seconds passed.

        Then stop: calls that wait for an answer get UNAVAILABLE. Returns when the thread has ended.
        Calling it again, from another thread too, can only shorten the wait.
        """
        until = time.monotonic() + grace
        self._stop_at = min(until, self._stop_at or until)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not (self._closed and self._unfinished == 0):
            event = self._core.poll(time.time() + _TICK)
            try:
                if event.tag is not None:
                    event.tag(event)
                if self._stop_at is not None:
                    self._wind_down(time.monotonic() >= self._stop_at, idle=event.tag is None)
            except Exception:
                _log.exception("a gRPC event could not be handled")
            # A kept event keeps its call alive in grpc core while the next one is waited for.
            del event
        self._core.destroy()
        self._listener.close()

    def _arrived(self, event: Any) -> None:
        if not event.success:  # grpc core hands back the accept of a server that shuts down
            return
        if not self._closing:
            self._core.accept(self._arrived)
        name, handler = self._methods.get(event.call_details.method, (UNKNOWN_METHOD, None))
        self._unfinished += 1
        call = Call(event.call, name, core.deadline(event), self._unanswered, self._over)
        if handler is None:
            call.fail(StatusCode.UNIMPLEMENTED, "there is no such method")
        elif len(self._unanswered) > self._limits.max_pending:
            call.fail(StatusCode.RESOURCE_EXHAUSTED, "too many calls at once")
        else:
            core.receive(event.call, lambda received: self._received(call, handler, received))

    def _received(self, call: Call, handler: Handler, event: Any) -> None:
        body = core.message(event)
        if body is None:
            # None was sent, or half of one, or too large a one, or the client has gone. Only the
            # first of them still listens.
            call.fail(StatusCode.INVALID_ARGUMENT, "the call carries no message")
            return
        call.body = body
        try:
            handler(call)
        except Exception:
            _log.exception("the handler of %s failed", call.method)
            call.fail(StatusCode.INTERNAL, "the call failed inside the server")

    def _over(self, call: Call, code: StatusCode) -> None:
        self._unfinished -= 1
        self._handled(call.method, _NAMES[code])

    def _wind_down(self, expired: bool, idle: bool) -> None:
        """Take the next step towards the end.

        An idle server has taken every call that grpc core has read, so one that closes when it is
        idle and without connections fails none.
        """
        if not self._closing and (expired or (idle and self.connections() == 0)):
            self._closing = True
            self._core.shutdown(self._shut)
        elif expired and idle:
            self._core.cancel_all()
        if expired:
            for call in tuple(self._unanswered):
                call.fail(StatusCode.UNAVAILABLE, "the server is stopping")

    def _shut(self, _event: Any) -> None:
        self._closed = True


def outcomes(methods: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every pair of method and code that a server of these methods tells ``handled``."""
    yield from ((method, _NAMES[code]) for method in methods for code in _CODES)
    yield from ((UNKNOWN_METHOD, _NAMES[code]) for code in _CODES_OF_UNKNOWN)


def _options(limits: Limits) -> list[tuple[str, int]]:
    """The channel arguments: grpc's ``channel_arg_names.h`` and ``server.h`` describe them."""
    return [
        # A second process must fail to bind a port, not share it.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limits.max_message),
        ("grpc.max_concurrent_streams", limits.max_pending),
        ("grpc.server.max_pending_requests", limits.max_pending),
        ("grpc.server.max_pending_requests_hard_limit", 2 * limits.max_pending),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        # The headers of a check's own request are in its message; these are the call's.
        ("grpc.max_metadata_size", 8 * 1024),
        ("grpc.absolute_max_metadata_size", 16 * 1024),
        # Nobody else is on this wire: no compression, no channelz, and a client may ping as often
        # as it likes (Envoy's connection_keepalive would be cut off for pings without calls).
        ("grpc.default_compression_algorithm", 0),
        ("grpc.enable_channelz", 0),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
