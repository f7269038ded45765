"""An HTTP listener with limits: few connections, small requests, one response per connection."""

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.errors import ListenFault
from sidecar.pages.tls import ServerTls

_IDLE: Final = 75.0
_BACKLOG: Final = 16
_LARGEST_HEADER: Final = 4096
# The application's callback for each request that is refused because it cannot be parsed.
MALFORMED: Final[web.AppKey[Callable[[], None]]] = web.AppKey("malformed")
# Connections of one listener: few enough to leave file descriptors for everything else.
MOST_CONNECTIONS: Final = 200


# The bodies for a request that cannot be parsed and for a page that failed; they quote nothing.
_UNREADABLE: Final = "this is not HTTP as it is read here\n"
_FAILED: Final = "the page could not be made\n"


class _WithoutMalformedRequests(logging.Filter):
    """Drops the library's records about malformed requests, and keeps those about failed pages.

    The library quotes a malformed request, which may contain a credential.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger(__name__)
_log.addFilter(_WithoutMalformedRequests())


class HttpListener:
    """One address and its pages. ``host`` is an IP address; ``::`` takes IPv4 as well.

    With ``tls`` it serves HTTPS. ``largest_header`` limits each line of a request, in bytes. When
    there are too many connections, the oldest is closed, so that idle ones do not block new ones.
    Each connection is closed after one response.
    """

    def __init__(
        self,
        host: str,
        port: int,
        application: web.Application,
        *,
        tls: ServerTls | None = None,
        largest_header: int = _LARGEST_HEADER,
    ) -> None:
        self._host = host
        self._port = port
        self._context = tls.context if tls else None
        application.on_response_prepare.append(_remove_server_header)
        self._runner = web.AppRunner(application, handle_signals=False)
        self._connection = partial(
            _Connection,
            application.get(MALFORMED),
            access_log=None,
            logger=_log,
            keepalive_timeout=_IDLE,
            max_line_size=largest_header,
            max_field_size=largest_header,
        )
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenFault: the address cannot be used.
        """
        await self._runner.setup()
        try:
            listening = _listen(self._host, self._port)
        except OSError as fault:
            raise ListenFault(
                f"cannot listen on {self._host} port {self._port}: {fault.strerror or fault}; "
                "is another process using it?"
            ) from fault
        self._server = await asyncio.get_running_loop().create_server(
            self._accept, sock=listening, backlog=_BACKLOG, ssl=self._context
        )

    async def stop(self) -> None:
        """Close the listener and its connections."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection; the oldest ones are closed if there are too many."""
        pages = self._runner.server
        assert pages is not None  # noqa: S101 - set up before the server listens
        connections = pages.connections
        for oldest in connections[: max(0, len(connections) + 1 - MOST_CONNECTIONS)]:
            transport = oldest.transport
            oldest.force_close()
            if transport is not None:
                # Closing would wait until the client has read what was sent.
                transport.abort()
        return self._connection(pages)


class _Connection(web.RequestHandler):
    """One connection. It is closed after one response, and reports requests it cannot parse.

    Clients of these pages send few requests. With pipelining (RFC 9112 §9.3.2), a client could make
    the listener buffer any number of responses.
    """

    __slots__ = ("_malformed",)

    def __init__(
        self, malformed: Callable[[], None] | None, pages: web.Server, **options: Any
    ) -> None:
        super().__init__(pages, loop=asyncio.get_running_loop(), **options)
        self._malformed = malformed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response after an exception. The library's own one would quote the request."""
        super().handle_error(request, status, exc, message)  # logs the exception
        if isinstance(exc, HttpProcessingError):
            return self._unreadable()
        return _Plain(status=500, text=_FAILED)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response, whichever part of the library made it, and close the connection."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp = self._unreadable()  # the library quotes the expectation, before any middleware
        resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def _unreadable(self) -> web.Response:
        if self._malformed is not None:
            self._malformed()
        return _Plain(status=400, text=_UNREADABLE)


class _Plain(web.Response):
    """A response outside of a page, for which the library sends no ``on_response_prepare``."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


async def _remove_server_header(_: web.Request, response: web.StreamResponse) -> None:
    """Remove the ``Server`` header, which names the library and its version."""
    response.headers.popall("Server", None)


def page(body: bytes, content_type: str, code: int) -> web.Response:
    """A page of any length. Sent as a file, so that it is written only as fast as it is read."""
    return web.Response(body=BytesIO(body), status=code, headers={"Content-Type": content_type})


def _listen(host: str, port: int) -> socket.socket:
    if ":" not in host:
        return socket.create_server((host, port))
    both = host == "::"
    try:
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=both)
    except OSError:
        if not both or socket.has_dualstack_ipv6():
            raise
        # A pod without IPv6.
        return socket.create_server(("0.0.0.0", port))  # noqa: S104 - as configured
