"""Whether a page of another site makes a browser send its cookie (cross-site request forgery).

A browser adds the cookie to whatever request any page makes. ``SameSite=Lax`` keeps it out of most
of them where the cookie is ours; that of an SSO may say nothing. What a browser says about the page
itself decides here: ``Origin`` (RFC 6454 §7.3), or else ``Sec-Fetch-Site``. A client that sends
neither is no browser that could be misled.
"""

from typing import Final

from sidecar.check.extract import CookieSource, TokenSource
from sidecar.check.refusal import Refusal
from sidecar.model import Reason, RequestView

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 §9.2.1
_FETCH_SITE: Final = "sec-fetch-site"
_DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}  # RFC 9110 §4.2
_OWN: Final = frozenset({b"same-origin", b"none"})  # "none": the user, not a page
# What a browser sends again by itself, once its user has logged in (RFC 7617 §2.2, RFC 4559 §6).
_REMEMBERED: Final = frozenset({"basic", "digest", "negotiate", "ntlm"})


def refuse_cross_site(
    request: RequestView, source: TokenSource, origins: frozenset[str]
) -> Refusal | None:
    """Refuse what another site's page may not do with what a browser sends by itself.

    None for everything else.

    Args:
        request: the request.
        source: where its credential stands.
        origins: the origins besides the request's own whose pages may.
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

    The edge writes into ``x-forwarded-proto`` how the request came, in place of what a client says
    there; ``:scheme`` is the client's own over HTTP/2. Without it, the request came over TLS.
    """
    scheme = "http" if request.values("x-forwarded-proto") == [b"http"] else "https"
    host = _without_default(request.host.lower(), scheme)
    return bool(host) and _without_default(origin, scheme) == f"{scheme}://{host}"


def _without_default(authority: str, scheme: str) -> str:
    """Without the port of the scheme, and without a dot behind the host: Envoy takes it away."""
    return authority.removesuffix(_DEFAULT_PORTS[scheme]).replace(".:", ":").removesuffix(".")


def _is_sent_by_itself(source: TokenSource) -> bool:
    return isinstance(source, CookieSource) or (source.scheme or "").lower() in _REMEMBERED


def _refused(detail: str, name: str, value: str) -> Refusal:
    return Refusal(Reason.CROSS_SITE_REQUEST, detail, held=((name, value),))
