"""The gateway's internal listener: its public keys, its metadata, and sessions for login pages.

It is reachable only inside the cluster: the edge Envoy has no route to it. Keys and metadata are
public; ``POST /session`` needs a client's credential in its headers.
"""

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from sidecar.gateway.exchange import Exchanged
from sidecar.gateway.publishing import JWKS_PATH, Document, metadata_paths
from sidecar.model import Deny, Reason, RequestView
from sidecar.pages.listener import MALFORMED
from sidecar.shell.check import printable_id
from sidecar.wire.denials import problem

_log = logging.getLogger(__name__)

# Room for the largest credential, and for other cookies in the same header.
LARGEST_HEADER: Final = 16 * 1024

# Reported for a request that could not be read.
_UNREADABLE: Final = RequestView("", "", "", ())
_UNFOUND: Final = {404: "there is no such page", 405: "the page is not for this method"}


class InternalGateway(Protocol):
    """What the pages need of the gateway (``app.gateway``)."""

    @property
    def challenge(self) -> tuple[tuple[str, str], ...]:
        """The parameters of every challenge (``wire.denials``)."""
        ...

    def jwks(self) -> Document | None:
        """The public keys of request tokens; None as long as there are none."""
        ...

    def metadata(self) -> Document:
        """The metadata of its issuer."""
        ...

    async def begin_session(self, request: RequestView) -> Exchanged:
        """A session in exchange for the request's credential."""
        ...


class InternalObserver(Protocol):
    """Told about requests for sessions, and about every other request that is refused."""

    def exchanged(
        self, request: RequestView, request_id: str, exchanged: Exchanged, duration: float
    ) -> None:
        """A session was asked for; ``duration`` is in seconds, from the request to its answer."""
        ...

    def refused(self, request: RequestView, request_id: str, denial: Deny, status: int) -> None:
        """Another request was refused with this HTTP status."""
        ...


def internal_pages(
    issuer: str, gateway: Callable[[], InternalGateway], observer: InternalObserver
) -> web.Application:
    """The pages of ``issuer``. ``gateway`` returns the role in use when a page is requested."""

    async def keys(request: web.Request) -> web.Response:
        document = gateway().jwks()
        if document is None:
            observer.refused(*_received(request), Deny(Reason.KEYS_UNAVAILABLE), 503)
            # With an empty set, verifiers would refuse every token.
            return web.Response(
                status=503,
                text="no keys yet\n",
                headers={"Cache-Control": "no-store", "Retry-After": "1"},
            )
        return _published(request, document)

    async def about(request: web.Request) -> web.Response:
        return _published(request, gateway().metadata())

    async def session(request: web.Request) -> web.Response:
        started, (view, request_id) = time.perf_counter(), _received(request)
        try:
            exchanged = await gateway().begin_session(view)
        except Exception:
            _log.exception("a session could not be begun", extra={"request_id": request_id})
            exchanged = Exchanged("", Deny(Reason.INTERNAL_ERROR))
        observer.exchanged(view, request_id, exchanged, time.perf_counter() - started)
        outcome = exchanged.outcome
        if isinstance(outcome, Deny):
            return _denied(outcome, gateway().challenge, request_id)
        return web.Response(
            status=204, headers={"Set-Cookie": outcome.cookie, "Cache-Control": "no-store"}
        )

    @web.middleware
    async def refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests with a body, which no page reads, and report unknown pages."""
        if request.body_exists:
            observer.refused(*_received(request), Deny(Reason.UNEXPECTED_BODY), 413)
            response = web.Response(status=413, text="send no body\n")
            response.force_close()
            return response
        try:
            return await handler(request)
        except web.HTTPException as unfound:
            denial = Deny(Reason.NO_ROUTE, detail=_UNFOUND.get(unfound.status, ""))
            observer.refused(*_received(request), denial, unfound.status)
            raise

    def malformed() -> None:
        observer.refused(_UNREADABLE, "", Deny(Reason.MALFORMED_REQUEST), 400)

    application = web.Application(middlewares=[refusing], client_max_size=0)
    application[MALFORMED] = malformed
    application.add_routes(
        [
            web.get(JWKS_PATH, keys),
            *(web.get(path, about) for path in metadata_paths(issuer)),
            web.post("/session", session),
        ]
    )
    return application


def _published(request: web.Request, document: Document) -> web.Response:
    """The document, or a 304 with the same headers if the client has it (RFC 9110 §15.4.5)."""
    headers = {"ETag": document.etag, "Cache-Control": document.cache_control}
    # Several lines of a list are one (RFC 9110 §5.3).
    if document.is_known(",".join(request.headers.getall("If-None-Match", []))):
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=document.body, headers={**headers, "Content-Type": document.media_type}
    )


def _received(request: web.Request) -> tuple[RequestView, str]:
    """The request as a check sees it, without a principal, and its id."""
    headers = tuple((name.decode("latin-1").lower(), value) for name, value in request.raw_headers)
    hosts = [value for name, value in headers if name == "host"]
    view = RequestView(
        method=request.method,
        path=request.raw_path,
        host=hosts[0].decode("latin-1") if len(hosts) == 1 else "",
        headers=headers,
    )
    called = request.headers.get("X-Request-ID", "").encode(errors="replace")
    return view, printable_id(called)


def _denied(deny: Deny, challenge: tuple[tuple[str, str], ...], request_id: str) -> web.Response:
    status, headers, body = problem(deny, challenge, request_id)
    response = web.Response(status=status, body=body.encode(), headers=headers)
    if deny.cookie:
        response.headers.add("Set-Cookie", deny.cookie)
    return response
