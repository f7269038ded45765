"""The status page, for operators in the pod."""

import json
from collections.abc import Callable

from aiohttp import web

from sidecar.pages.listener import page
from sidecar.pages.metrics import readiness


def admin_pages(
    status: Callable[[], dict[str, object]], ready: Callable[[], bool]
) -> web.Application:
    """``/`` and ``/readyz?verbose``: the status as JSON or text (``app.status``)."""

    async def overview(request: web.Request) -> web.Response:
        return _status(request, status(), 200)

    async def readyz(request: web.Request) -> web.Response:
        if "verbose" not in request.query:
            return readiness(ready=ready())
        return _status(request, status(), 200 if ready() else 503)

    application = web.Application(client_max_size=0)
    application.add_routes([web.get("/", overview), web.get("/readyz", readyz)])
    return application


def _status(request: web.Request, status: dict[str, object], code: int) -> web.Response:
    if "application/json" in request.headers.get("Accept", ""):
        return page(json.dumps(status).encode(), "application/json; charset=utf-8", code)
    text = "\n".join(_lines(status, "")) + "\n"
    return page(text.encode(), "text/plain; charset=utf-8", code)


def _lines(value: object, indent: str) -> list[str]:
    """A nested status as indented text."""
    if not isinstance(value, dict):
        return [f"{indent}{_format_value(value)}"]
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
            lines.append(f"{indent}{key}: {_format_value(item)}")
    return lines


def _format_value(value: object) -> str:
    """One value on one line; a key server may choose kids with line breaks."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
