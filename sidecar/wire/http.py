"""HTTP listeners, and pages for two: metrics and probes for neighbours, a status page in the pod.

The pages are read-only, small and bounded; none shows anything that must be kept from a neighbour
on the listener that neighbours reach.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sidecar.errors import ListenFault
from sidecar.wire.tls import ServerTls

_IDLE: Final = 75.0
_BACKLOG: Final = 16
_LARGEST_HEADER: Final = 4096
# What an application has called for each request that is refused because it cannot be read.
MALFORMED: Final[web.AppKey[Callable[[], None]]] = web.AppKey("malformed")
# Connections of one listener: few enough to leave files for everything else to open.
MOST_CONNECTIONS: Final = 200


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
            oldest.force_close()
        return self._connection(pages)


class _Connection(web.RequestHandler):
    """One connection, which tells of what it cannot read as a request."""

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
        """The answer to a request that ended by an exception, as the library makes it."""
        if self._malformed is not None and isinstance(exc, HttpProcessingError):
            self._malformed()
        return super().handle_error(request, status, exc, message)


async def _say_no_versions(_: web.Request, response: web.StreamResponse) -> None:
    """Take the library's name and release out of an answer: neighbours have no use for them."""
    response.headers.popall("Server", None)


def metrics_pages(registry: CollectorRegistry, ready: Callable[[], bool]) -> web.Application:
    """``/metrics``, ``/livez`` and ``/readyz``: for Prometheus and the kubelet."""

    async def metrics(request: web.Request) -> web.Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):
            # The library trips over odd versions; a neighbour could have us log each of them.
            encode, content_type = choose_encoder("")
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

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


def _status(request: web.Request, status: dict[str, object], code: int) -> web.Response:
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response(status, status=code)
    return web.Response(text="\n".join(_lines(status, "")) + "\n", status=code)


def _lines(value: object, indent: str) -> list[str]:
    """A nested status as indented text."""
    if not isinstance(value, dict):
        return [f"{indent}{value if isinstance(value, str) else json.dumps(value)}"]
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
            lines.append(f"{indent}{key}: {item if isinstance(item, str) else json.dumps(item)}")
    return lines


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
