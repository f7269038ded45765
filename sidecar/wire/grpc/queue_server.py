"""The gRPC server on grpc core's completion queue (``server.GrpcServer``).

One thread polls, calls the handler inline and sends what it answers.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from grpc import StatusCode

from sidecar.wire.grpc import completion_queue as core
from sidecar.wire.grpc.calls import CODE_NAMES, TICK, UNKNOWN_METHOD, Handled, Handler, Limits
from sidecar.wire.grpc.sockets import Address, Listener

_log = logging.getLogger(__name__)


class _Call:
    """One unary call (``calls.Call``)."""

    __slots__ = ("_call", "_code", "_over", "_unanswered", "body", "deadline", "method")

    def __init__(
        self,
        call: core.CoreCall,
        method: str,
        deadline: float,
        unanswered: "set[_Call]",
        over: "Callable[[_Call, StatusCode], None]",
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
        """Answer with a status other than OK. ``text`` is its message."""
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


class QueueServer:
    """Serves unary methods on one address, from one thread (``server.GrpcServer``)."""

    implementation: Final = "completion_queue"

    def __init__(
        self,
        address: Address,
        methods: Mapping[str, Handler],
        *,
        handled: Handled,
        limits: Limits,
    ) -> None:
        self._methods = {name.encode(): (name, handler) for name, handler in methods.items()}
        self._handled = handled
        self._limits = limits
        self._listener = Listener(address)
        self._core = core.Core(limits.options)
        self._thread = threading.Thread(target=self._run, name="grpc-server", daemon=True)
        self._unanswered: set[_Call] = set()
        # Used only by the server's thread.
        self._unfinished = 0
        self._closing = self._closed = False
        # Set only by stop(): when the remaining calls are cancelled, on the monotonic clock.
        self._stop_at: float | None = None

    @property
    def address(self) -> Address:
        """Where the server listens."""
        return self._listener.address

    def start(self) -> None:
        """Listen and serve. Raises ListenFault, with what to do, if it cannot listen."""
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
        """Stop when clients have left or ``grace`` seconds passed (``GrpcServer.stop``)."""
        until = time.monotonic() + grace
        self._stop_at = min(until, self._stop_at or until)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not (self._closed and self._unfinished == 0):
            event = self._core.poll(time.time() + TICK)
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
        call = _Call(event.call, name, core.deadline(event), self._unanswered, self._over)
        if handler is None:
            call.fail(StatusCode.UNIMPLEMENTED, "there is no such method")
        elif len(self._unanswered) > self._limits.max_pending:
            call.fail(StatusCode.RESOURCE_EXHAUSTED, "too many calls at once")
        else:
            core.receive(event.call, lambda received: self._received(call, handler, received))

    def _received(self, call: _Call, handler: Handler, event: Any) -> None:
        body = core.message(event)
        if body is None:
            # No message, an incomplete one, one that is too large, or the client has gone. Only in
            # the first case does the client still get the answer.
            call.fail(StatusCode.INVALID_ARGUMENT, "the call carries no message")
            return
        call.body = body
        try:
            handler(call)
        except Exception:
            _log.exception("the handler of %s failed", call.method)
            call.fail(StatusCode.INTERNAL, "the call failed inside the server")

    def _over(self, call: _Call, code: StatusCode) -> None:
        self._unfinished -= 1
        self._handled(call.method, CODE_NAMES[code])

    def _wind_down(self, expired: bool, idle: bool) -> None:
        """Take the next step of the shutdown.

        An idle server has accepted every call that grpc core has read. So no call fails if it
        closes when it is idle and has no connections.
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
