"""An HTTP listener: connections few, requests small, one answer to each."""

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
# What an application has called for each request that is refused because it cannot be read.
MALFORMED: Final[web.AppKey[Callable[[], None]]] = web.AppKey("malformed")
# Connections of one listener: few enough to leave files for everything else to open.
MOST_CONNECTIONS: Final = 200


# What is said of a request that cannot be read, and of a page that failed; nothing of either.
_UNREADABLE: Final = "this is not HTTP as it is read here\n"
_FAILED: Final = "the page could not be made\n"


class _NotTheClients(logging.Filter):
    """Keeps what went wrong in a page, and not what a client got wrong.

    The library quotes a malformed request, and with it the credential that may be in it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger(__name__)
_log.addFilter(_NotTheClients())


class HttpListener:
    """One address and its pages. ``host`` is an IP address; ``::`` takes IPv4 as well.

    With ``tls`` it speaks HTTPS. ``largest_header`` bounds each line of a request, in bytes. The
    oldest connection makes room where there are too many: who only holds them keeps nobody out.
    A connection is closed after one answer: who sends requests and does not read gets no more.
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
        application.on_response_prepare.append(_say_no_versions)
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
            ListenFault: the address cannot be had.
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
        """What speaks on a new connection."""
        pages = self._runner.server
        assert pages is not None  # noqa: S101 - nobody connects before it was set up
        connections = pages.connections
        for oldest in connections[: max(0, len(connections) + 1 - MOST_CONNECTIONS)]:
            transport = oldest.transport
            oldest.force_close()
            if transport is not None:
                # To be closed, it would wait until the client has read what was sent.
                transport.abort()
        return self._connection(pages)


class _Connection(web.RequestHandler):
    """One connection: it is closed after one answer, and tells of what it cannot read.

    Nobody who asks here asks often, and a client may send ahead as much as it likes (RFC 9112
    §9.3.2): all of it would be answered, read or not.
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
        """The answer to a request that ended by an exception. The library would quote it."""
        super().handle_error(request, status, exc, message)  # writes down what went wrong
        if isinstance(exc, HttpProcessingError):
            return self._unreadable()
        return _Plain(status=500, text=_FAILED)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, whichever part of the library made it."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp = self._unreadable()  # the library quotes the expectation, before any middleware
        resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def _unreadable(self) -> web.Response:
        if self._malformed is not None:
            self._malformed()
        return _Plain(status=400, text=_UNREADABLE)


class _Plain(web.Response):
    """An answer that belongs to no page, for which the library sends no signal."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


async def _say_no_versions(_: web.Request, response: web.StreamResponse) -> None:
    """Take the library's name and release out of an answer: neighbours have no use for them."""
    response.headers.popall("Server", None)


def page(body: bytes, content_type: str, code: int) -> web.Response:
    """A page of any length. As a file, it is sent no further ahead than the client reads."""
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
        # A pod without IPv6: every address it has is an IPv4 one.
        return socket.create_server(("0.0.0.0", port))  # noqa: S104 - as configured
