"""The gateway's internal listener: its public keys, its metadata, and sessions for login pages.

For those inside the cluster alone: the Envoy at the edge has no route to it. Keys and metadata may
be read by anybody; ``POST /session`` answers to a client's credential, which is in its headers.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from sidecar.gateway.exchange import IssuedSession
from sidecar.gateway.publishing import JWKS_PATH, Document, metadata_paths
from sidecar.model import Deny, Reason, RequestView
from sidecar.wire.denials import printable_id, problem

_log = logging.getLogger(__name__)

# The largest credential there may be, with room for the other cookies of its line.
LARGEST_HEADER: Final = 16 * 1024

BeginSession = Callable[[RequestView], Awaitable[IssuedSession | Deny]]


def internal_pages(
    issuer: str,
    realm: str,
    *,
    jwks: Callable[[], Document | None],
    metadata: Callable[[], Document],
    begin_session: BeginSession,
) -> web.Application:
    """The pages of ``issuer``. ``realm`` names the protection space in the challenge of a 401.

    ``jwks`` gives nothing as long as there are no keys.
    """

    async def keys(request: web.Request) -> web.Response:
        document = jwks()
        if document is None:
            # An empty set would say that every token is forged.
            return web.Response(
                status=503,
                text="no keys yet\n",
                headers={"Cache-Control": "no-store", "Retry-After": "1"},
            )
        return _published(request, document)

    async def about(request: web.Request) -> web.Response:
        return _published(request, metadata())

    async def session(request: web.Request) -> web.Response:
        try:
            outcome = await begin_session(_view(request))
        except Exception:
            _log.exception("a session could not be begun")
            outcome = Deny(Reason.INTERNAL_ERROR)
        if isinstance(outcome, Deny):
            called = request.headers.get("X-Request-ID", "").encode(errors="replace")
            return _denied(outcome, realm, printable_id(called))
        return web.Response(
            status=204, headers={"Set-Cookie": outcome.cookie, "Cache-Control": "no-store"}
        )

    application = web.Application(middlewares=[_without_body], client_max_size=0)
    application.add_routes(
        [
            web.get(JWKS_PATH, keys),
            *(web.get(path, about) for path in metadata_paths(issuer)),
            web.post("/session", session),
        ]
    )
    return application


@web.middleware
async def _without_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what has a body: no page here reads one."""
    if not request.body_exists:
        return await handler(request)
    response = web.Response(status=413, text="send no body\n")
    response.force_close()
    return response


def _published(request: web.Request, document: Document) -> web.Response:
    """The document, or that the client has it already, with the same headers (RFC 9110 §15.4.5)."""
    headers = {"ETag": document.etag, "Cache-Control": document.cache_control}
    # Several lines of a list are one (RFC 9110 §5.3).
    if document.is_known(",".join(request.headers.getall("If-None-Match", []))):
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=document.body, headers={**headers, "Content-Type": document.media_type}
    )


def _view(request: web.Request) -> RequestView:
    """The request as a check sees one, without mTLS: whoever asks is known by its credential."""
    headers = tuple((name.decode("latin-1").lower(), value) for name, value in request.raw_headers)
    hosts = [value for name, value in headers if name == "host"]
    return RequestView(
        method=request.method,
        path=request.raw_path,
        host=hosts[0].decode("latin-1") if len(hosts) == 1 else "",
        headers=headers,
    )


def _denied(deny: Deny, realm: str, request_id: str) -> web.Response:
    status, headers, body = problem(deny, realm, request_id)
    response = web.Response(status=status, body=body.encode(), headers=headers)
    if deny.cookie:
        response.headers.add("Set-Cookie", deny.cookie)
    return response
