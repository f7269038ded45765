"""Protection against cross-site request forgery (CSRF).

A browser adds a site's cookies to requests that any page makes. ``SameSite=Lax`` prevents most of
that for the gateway's own cookie; the cookie of an SSO may lack it. So the page's origin is checked
as the browser reports it: in ``Origin`` (RFC 6454 §7.3), or else in ``Sec-Fetch-Site``. A client
that sends neither header is not a browser.
"""

from typing import Final

from sidecar.check.extract import CookieSource, HeaderSource, TokenSource
from sidecar.check.refusal import Refusal
from sidecar.model import Reason, RequestView

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 §9.2.1
_FETCH_SITE: Final = "sec-fetch-site"
_DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}  # RFC 9110 §4.2
_OWN: Final = frozenset({b"same-origin", b"none"})  # "none": the user, not a page
# Schemes whose credentials a browser sends by itself after a login (RFC 7617 §2.2, RFC 4559 §6).
_REMEMBERED: Final = frozenset({"basic", "digest", "negotiate", "ntlm"})


def refuse_cross_site(
    request: RequestView, source: TokenSource, origins: frozenset[str]
) -> Refusal | None:
    """Refuse a cross-site request whose credential the browser has added by itself.

    None for every other request.

    Args:
        request: the request.
        source: the source of its credential.
        origins: the allowed origins, in addition to the request's own.
    """
    if not _is_sent_by_itself(source):
        return None
    # A WebSocket begins as a GET, and any page may open one.
    if request.method in _SAFE and not request.values("upgrade"):
        return None
    stated = request.values("origin")
    if len(stated) == 1:
        origin = stated[0].decode("latin-1")
        if origin in origins or _is_own(origin, request):
            return None
        return _refused("origins does not list the page's origin", "origin", origin)
    fetch_site = request.values(_FETCH_SITE)
    if stated or len(fetch_site) > 1:
        name = "origin" if stated else _FETCH_SITE
        lines = b", ".join(stated or fetch_site).decode("latin-1")
        return _refused("it says more than once where it comes from", name, lines)
    if fetch_site and fetch_site[0] not in _OWN:
        site = fetch_site[0].decode("latin-1")
        return _refused("the browser says that another site's page makes it", _FETCH_SITE, site)
    return None


def _is_own(origin: str, request: RequestView) -> bool:
    """Whether scheme, host and port are those of the request (RFC 6454 §5).

    The edge Envoy sets ``x-forwarded-proto`` and overwrites what the client sent; over HTTP/2 the
    client chooses ``:scheme``. Without the header, TLS is assumed.
    """
    scheme = "http" if request.values("x-forwarded-proto") == [b"http"] else "https"
    host = _without_default(request.host.lower(), scheme)
    return bool(host) and _without_default(origin, scheme) == f"{scheme}://{host}"


def _without_default(authority: str, scheme: str) -> str:
    """Without the scheme's default port, and without a trailing dot, which Envoy strips."""
    return authority.removesuffix(_DEFAULT_PORTS[scheme]).replace(".:", ":").removesuffix(".")


def _is_sent_by_itself(source: TokenSource) -> bool:
    if isinstance(source, HeaderSource):
        return (source.scheme or "").lower() in _REMEMBERED
    # The protocols of a WebSocket are written by the page, which knows the token then.
    return isinstance(source, CookieSource)


def _refused(detail: str, name: str, value: str) -> Refusal:
    return Refusal(Reason.CROSS_SITE_REQUEST, detail, held=((name, value),))
