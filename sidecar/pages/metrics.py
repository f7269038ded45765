"""The pages for Prometheus and the kubelet: metrics and probes. They contain no secrets."""

import time
from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sidecar.caches import TtlCache
from sidecar.pages.listener import page

# How long rendered metrics are reused, in seconds.
_METRICS_AGE: Final = 1.0

_TEXT: Final = choose_encoder("")
_OPENMETRICS: Final = choose_encoder("application/openmetrics-text")


def metrics_pages(
    registry: CollectorRegistry,
    ready: Callable[[], bool],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> web.Application:
    """``/metrics``, ``/livez`` and ``/readyz``: for Prometheus and the kubelet.

    Metrics are rendered at most once a second in each of the two formats. ``clock`` gives seconds.
    """
    written: TtlCache[str, bytes] = TtlCache(limit=2)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = _format(request.headers.get("Accept", ""))
        now = clock()
        body = written.get(content_type, now)
        if body is None:
            body = encode(registry)
            written.add(content_type, body, now, now + _METRICS_AGE)
        return page(body, content_type, 200)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return readiness(ready=ready())

    application = web.Application(client_max_size=0)
    application.add_routes(
        [web.get("/metrics", metrics), web.get("/livez", livez), web.get("/readyz", readyz)]
    )
    return application


def readiness(*, ready: bool) -> web.Response:
    """The response of ``/readyz``: 200 if checks are answered, else 503."""
    return (
        web.Response(text="ok\n", status=200)
        if ready
        else web.Response(text="not ready\n", status=503)
    )


def _format(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """The encoder for an ``Accept`` header, and its media type.

    One of two: a client may name any version and escaping, and each would be rendered separately.
    """
    try:
        _, content_type = choose_encoder(accept)
    except (TypeError, ValueError):
        # The library raises for malformed versions; each would otherwise be logged.
        return _TEXT
    return _OPENMETRICS if content_type.startswith("application/openmetrics-text") else _TEXT
