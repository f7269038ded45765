"""The one credential of a request, or why there is not exactly one (RFC 6750 §2).

An empty header or cookie is no credential. Lines are counted first: two are ambiguous even if one
of them is empty, because the next server may use either.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from sidecar.check import websocket_protocols
from sidecar.check.cookies import CookieFinder, TokenCookies
from sidecar.check.refusal import Refusal
from sidecar.model import Reason, RequestView


@dataclass(frozen=True, slots=True)
class HeaderSource:
    """A header that carries the token, behind an authentication scheme or bare.

    ``name`` is in lower case; ``scheme`` is compared without case (RFC 9110 §11.1).
    """

    name: str
    scheme: str | None = None


@dataclass(frozen=True, slots=True)
class CookieSource:
    """A cookie that carries the token."""

    name: str


@dataclass(frozen=True, slots=True)
class WebSocketProtocolSource:
    """A protocol that a WebSocket's client offers, with the token behind ``prefix``."""

    prefix: str


TokenSource = HeaderSource | CookieSource | WebSocketProtocolSource
BEARER: Final = HeaderSource("authorization", "bearer")


class Credential(NamedTuple):
    """What the client sent as its token, and where. ``text`` may be any text.

    It is decoded as Latin-1, which maps every byte to one character. A text that is not ASCII is
    refused when the token is parsed.
    """

    source: TokenSource
    text: str


_SCHEME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# The scheme in front of a token, where the token alone belongs; some clients encode cookies.
_PASTED_SCHEME: Final = re.compile(rb"bearer(?: |%20)", re.IGNORECASE)


def cookie_finder(sources: Iterable[TokenSource], maximum: int) -> CookieFinder:
    """Finds the cookies among ``sources``, in requests of at most ``maximum`` cookies."""
    names = [source.name for source in sources if isinstance(source, CookieSource)]
    return CookieFinder(names, maximum)


def extract(
    request: RequestView, sources: tuple[TokenSource, ...], cookies: TokenCookies
) -> Credential | Refusal | None:
    """The request's credential; None when it has none.

    Args:
        request: the request.
        sources: where a credential may stand.
        cookies: the token cookies of the request, found for at least ``sources``.
    """
    found: Credential | None = None
    for source in sources:
        if isinstance(source, HeaderSource):
            values = [value for name, value in request.headers if name == source.name]
            result = _from_header(values, source)
        elif isinstance(source, CookieSource):
            result = _from_cookie(cookies, source)
        else:
            result = _from_protocols(request, source)
        if result is None:
            continue
        if isinstance(result, Refusal):
            return result
        if found is not None:
            return _ambiguous("there is a token in two places")
        found = result
    return found


def _from_header(values: list[bytes], source: HeaderSource) -> Credential | Refusal | None:
    if not values:
        return None
    # Envoy joins repeated lines with a comma where it sends headers as a map.
    if len(values) > 1 or b"," in values[0]:
        return _ambiguous(f"{source.name} is there more than once")
    value = values[0]
    if source.scheme is None:
        return _credential(source, value) if _is_written(value) else None
    scheme, _, token = value.partition(b" ")
    if scheme.lower() == source.scheme.lower().encode():
        token = token.lstrip(b" ")
        if not token:
            # The value is not empty: it announces a token (RFC 6750 §2.1).
            detail = f"{source.name} has the scheme {source.scheme} and no token behind it"
            return Refusal(Reason.MALFORMED_TOKEN, detail)
        return _credential(source, token)
    if not _is_written(value):
        return None
    if not _SCHEME.fullmatch(scheme):
        return Refusal(Reason.MALFORMED_TOKEN, f"{source.name} is not a scheme and a token")
    return Refusal(Reason.UNSUPPORTED_SCHEME, f"{source.name} takes only {source.scheme}")


def _is_written(value: bytes) -> bool:
    """Whether there is anything besides white space (RFC 9110 §5.5)."""
    return bool(value.strip(b" \t"))


def _from_cookie(cookies: TokenCookies, source: CookieSource) -> Credential | Refusal | None:
    if source.name in cookies.misplaced:
        return _ambiguous(f"only some servers find the cookie {source.name} where it stands")
    values = cookies.values(source.name)
    if not values:
        return None
    if len(values) > 1:
        return _ambiguous(f"the cookie {source.name} is there more than once")
    return _credential(source, values[0]) if values[0] else None


def _from_protocols(
    request: RequestView, source: WebSocketProtocolSource
) -> Credential | Refusal | None:
    found = websocket_protocols.offered(request, source.prefix.encode())
    if isinstance(found, Refusal):
        return found
    name = websocket_protocols.HEADER
    if found.misplaced:
        return _ambiguous(f"only some servers find the token in {name} where it stands")
    if not found.tokens:
        return None
    if len(found.tokens) > 1:
        return _ambiguous(f"there is more than one token in {name}")
    if not found.tokens[0]:
        detail = f"{name} has the prefix {source.prefix} and no token behind it"
        return Refusal(Reason.MALFORMED_TOKEN, detail)
    return _credential(source, found.tokens[0])


def _credential(source: TokenSource, value: bytes) -> Credential | Refusal:
    # The first byte is compared because it costs less than the expression.
    if value[0] in b"Bb" and _PASTED_SCHEME.match(value):
        place = "behind the scheme" if _has_scheme(source) else "in front of the token"
        return Refusal(Reason.MALFORMED_TOKEN, f"there is Bearer {place}; send the token alone")
    return Credential(source, value.decode("latin-1"))


def _has_scheme(source: TokenSource) -> bool:
    return isinstance(source, HeaderSource) and source.scheme is not None


def _ambiguous(detail: str) -> Refusal:
    return Refusal(Reason.AMBIGUOUS_REQUEST, detail)
