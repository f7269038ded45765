"""The gRPC server on grpcio's public interface, ``grpc.aio`` (``server.GrpcServer``).

Its thread runs an event loop of its own. A call that waits for its answer is a coroutine there and
holds no thread. ``grpc.server`` would be cheaper, but keeps one thread for each call that waits.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final, TypeAlias

import grpc
from grpc import StatusCode

from sidecar.wire.grpc.calls import CODE_NAMES, TICK, UNKNOWN_METHOD, Handled, Handler, Limits
from sidecar.wire.grpc.sockets import Address, Listener

_log = logging.getLogger(__name__)

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
_Answer = tuple[StatusCode, bytes, str]


class _Call:
    """One unary call (``calls.Call``)."""

    __slots__ = ("_loop", "_unanswered", "answer", "body", "deadline", "method")

    def __init__(
        self,
        method: str,
        deadline: float,
        unanswered: "set[_Call]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.method = method
        self.body = b""
        self.deadline = deadline
        self.answer: asyncio.Future[_Answer] = loop.create_future()
        self._unanswered = unanswered
        self._loop = loop
        unanswered.add(self)

    def reply(self, body: bytes) -> None:
        """Answer with ``body`` and status OK."""
        self._settle((StatusCode.OK, body, ""))

    def fail(self, code: StatusCode, text: str) -> None:
        """Answer with a status other than OK. ``text`` is its message."""
        self._settle((code, b"", text))

    def _settle(self, answer: _Answer) -> None:
        # set.remove is atomic: of two threads that answer, one finds the call and one does not.
        try:
            self._unanswered.remove(self)
        except KeyError:
            return
        try:
            self._loop.call_soon_threadsafe(self._set, answer)
        except RuntimeError:
            return  # the loop is closed: the server has stopped

    def _set(self, answer: _Answer) -> None:
        if not self.answer.done():  # the client may have gone
            self.answer.set_result(answer)


class _Router(grpc.GenericRpcHandler):
    """Finds the handler of a method; one for methods that do not exist counts them."""

    def __init__(self, server: "PublicServer", methods: Mapping[str, Handler]) -> None:
        self._known = {name: self._serve(server, name, each) for name, each in methods.items()}
        self._unknown = self._serve(server, UNKNOWN_METHOD, None)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """The handler of a call that has arrived."""
        return self._known.get(handler_call_details.method, self._unknown)

    @staticmethod
    def _serve(
        server: "PublicServer", name: str, handler: Handler | None
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def serve(messages: AsyncIterator[bytes], context: _Context) -> bytes:
            return await server.serve(name, handler, messages, context)

        # As a stream, because grpc does not report a unary call whose message never comes.
        return grpc.stream_unary_rpc_method_handler(serve)


class PublicServer:
    """Serves unary methods on one address, from one thread (``server.GrpcServer``)."""

    implementation: Final = "public"

    def __init__(
        self,
        address: Address,
        methods: Mapping[str, Handler],
        *,
        handled: Handled,
        limits: Limits,
    ) -> None:
        self._router = _Router(self, methods)
        self._handled = handled
        self._limits = limits
        self._listener = Listener(address)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="grpc-server", daemon=True)
        self._listening = threading.Event()
        self._fault: BaseException | None = None
        self._unanswered: set[_Call] = set()
        # Set only by stop(): when the remaining calls are cancelled, on the monotonic clock.
        self._stop_at: float | None = None

    @property
    def address(self) -> Address:
        """Where the server listens."""
        return self._listener.address

    def start(self) -> None:
        """Listen and serve. Raises ListenFault, with what to do, if it cannot listen."""
        self._thread.start()
        self._listening.wait()
        if self._fault is not None:
            self._thread.join()
            raise self._fault

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

    async def serve(
        self,
        method: str,
        handler: Handler | None,
        messages: AsyncIterator[bytes],
        context: _Context,
    ) -> bytes:
        """Answer one call. A status other than OK ends it by an exception of grpc's own."""
        code = StatusCode.CANCELLED  # if the client goes before the answer
        try:
            code, answer, text = await self._answer(method, handler, messages, context)
            if code is not StatusCode.OK:
                await context.abort(code, text.encode(errors="replace").decode())
            return answer
        finally:
            self._report(method, CODE_NAMES[code])

    async def _answer(
        self,
        method: str,
        handler: Handler | None,
        messages: AsyncIterator[bytes],
        context: _Context,
    ) -> _Answer:
        if handler is None:
            return StatusCode.UNIMPLEMENTED, b"", "there is no such method"
        if len(self._unanswered) >= self._limits.max_pending:
            return StatusCode.RESOURCE_EXHAUSTED, b"", "too many calls at once"
        # The stubs know of no call without a deadline.
        remaining: float | None = context.time_remaining()
        deadline = math.inf if remaining is None else time.time() + remaining
        call = _Call(method, deadline, self._unanswered, self._loop)
        body = None
        try:
            body = await anext(messages, None)
        finally:
            if body is None:  # the call was not passed to a handler
                self._unanswered.discard(call)
        if body is None:
            return StatusCode.INVALID_ARGUMENT, b"", "the call carries no message"
        call.body = body
        try:
            handler(call)
        except Exception:
            _log.exception("the handler of %s failed", method)
            call.fail(StatusCode.INTERNAL, "the call failed inside the server")
        return await call.answer

    def _report(self, method: str, code: str) -> None:
        try:
            self._handled(method, code)
        except Exception:
            _log.exception("a gRPC event could not be handled")

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve_until_stopped())

    async def _serve_until_stopped(self) -> None:
        server = grpc.aio.server(handlers=[self._router], options=self._limits.options)
        try:
            self._listener.open(lambda address: _bind(server, address))
            await server.start()
        except Exception as fault:
            self._fault = fault
            return
        finally:
            self._listening.set()
        while not self._is_over():  # noqa: ASYNC110 - grpc does not report when clients leave
            await asyncio.sleep(TICK)
        for call in tuple(self._unanswered):
            call.fail(StatusCode.UNAVAILABLE, "the server is stopping")
        await server.stop(TICK)
        self._listener.close()

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return time.monotonic() >= self._stop_at or self.connections() == 0


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as fault:
        raise OSError(str(fault)) from fault
