"""HTTP listeners, and pages for two: metrics and probes for neighbours, a status page in the pod.

The pages are read-only, small and bounded; none shows anything that must be kept from a neighbour
on the listener that neighbours reach.
"""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sidecar.caches import TtlCache
from sidecar.errors import ListenFault
from sidecar.wire.tls import ServerTls

_IDLE: Final = 75.0
_BACKLOG: Final = 16
_LARGEST_HEADER: Final = 4096
# What an application has called for each request that is refused because it cannot be read.
MALFORMED: Final[web.AppKey[Callable[[], None]]] = web.AppKey("malformed")
# Connections of one listener: few enough to leave files for everything else to open.
MOST_CONNECTIONS: Final = 200
# How long all who ask are shown the same metrics, in seconds.
_METRICS_AGE: Final = 1.0

_TEXT: Final = choose_encoder("")
_OPENMETRICS: Final = choose_encoder("application/openmetrics-text")


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


def metrics_pages(
    registry: CollectorRegistry,
    ready: Callable[[], bool],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> web.Application:
    """``/metrics``, ``/livez`` and ``/readyz``: for Prometheus and the kubelet.

    Metrics are written at most once a second in each of their two formats, whoever asks. ``clock``
    gives seconds.
    """
    written: TtlCache[str, bytes] = TtlCache(limit=2)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = _format(request.headers.get("Accept", ""))
        now = clock()
        page = written.get(content_type, now)
        if page is None:
            page = encode(registry)
            written.add(content_type, page, now, now + _METRICS_AGE)
        return _page(page, content_type, 200)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return _readiness(ready=ready())

    application = web.Application(client_max_size=0)
    application.add_routes(
        [web.get("/metrics", metrics), web.get("/livez", livez), web.get("/readyz", readyz)]
    )
    return application


def admin_pages(
    status: Callable[[], dict[str, object]], ready: Callable[[], bool]
) -> web.Application:
    """``/`` and ``/readyz?verbose``: what runs, with which keys, and what it denied lately."""

    async def page(request: web.Request) -> web.Response:
        return _status(request, status(), 200)

    async def readyz(request: web.Request) -> web.Response:
        if "verbose" not in request.query:
            return _readiness(ready=ready())
        return _status(request, status(), 200 if ready() else 503)

    application = web.Application(client_max_size=0)
    application.add_routes([web.get("/", page), web.get("/readyz", readyz)])
    return application


def _readiness(*, ready: bool) -> web.Response:
    return (
        web.Response(text="ok\n", status=200)
        if ready
        else web.Response(text="not ready\n", status=503)
    )


def _format(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """How the metrics are written for an ``Accept`` header, and the media type of that.

    One of two: a client may name any version and escaping, and each would be written for itself.
    """
    try:
        _, content_type = choose_encoder(accept)
    except (TypeError, ValueError):
        # The library trips over odd versions; a neighbour could have us log each of them.
        return _TEXT
    return _OPENMETRICS if content_type.startswith("application/openmetrics-text") else _TEXT


def _status(request: web.Request, status: dict[str, object], code: int) -> web.Response:
    if "application/json" in request.headers.get("Accept", ""):
        return _page(json.dumps(status).encode(), "application/json; charset=utf-8", code)
    text = "\n".join(_lines(status, "")) + "\n"
    return _page(text.encode(), "text/plain; charset=utf-8", code)


def _page(body: bytes, content_type: str, code: int) -> web.Response:
    """A page of any length. As a file, it is sent no further ahead than the client reads."""
    return web.Response(body=BytesIO(body), status=code, headers={"Content-Type": content_type})


def _lines(value: object, indent: str) -> list[str]:
    """A nested status as indented text."""
    if not isinstance(value, dict):
        return [f"{indent}{_shown(value)}"]
    lines: list[str] = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
        elif isinstance(item, list) and item:
            lines.append(f"{indent}{key}:")
            for entry in item:
                first, *rest = _lines(entry, indent + "    ")
                lines += [f"{indent}  - {first.strip()}", *rest]
        else:
            lines.append(f"{indent}{key}: {_shown(item)}")
    return lines


def _shown(value: object) -> str:
    """One value on one line: a key server chooses what its keys are called."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


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
