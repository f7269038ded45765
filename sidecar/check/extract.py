"""The one credential of a request, or why there is not exactly one (RFC 6750 §2)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

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


TokenSource = HeaderSource | CookieSource
BEARER: Final = HeaderSource("authorization", "bearer")


class Credential(NamedTuple):
    """What the client sent as its token, and where. ``text`` may be any text.

    It is decoded as Latin-1, which maps every byte to one character. A text that is not ASCII is
    refused when the token is parsed.
    """

    source: TokenSource
    text: str


_SCHEME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


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
        else:
            result = _from_cookie(cookies, source)
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
        return Credential(source, value.decode("latin-1"))
    scheme, _, token = value.partition(b" ")
    if scheme.lower() == source.scheme.lower().encode():
        return Credential(source, token.lstrip(b" ").decode("latin-1"))
    if not _SCHEME.fullmatch(scheme):
        return Refusal(Reason.MALFORMED_TOKEN, f"{source.name} is not a scheme and a token")
    return Refusal(Reason.UNSUPPORTED_SCHEME, f"{source.name} takes only {source.scheme}")


def _from_cookie(cookies: TokenCookies, source: CookieSource) -> Credential | Refusal | None:
    if source.name in cookies.misplaced:
        return _ambiguous(f"only some servers find the cookie {source.name} where it stands")
    values = cookies.values(source.name)
    if not values:
        return None
    if len(values) > 1:
        return _ambiguous(f"the cookie {source.name} is there more than once")
    return Credential(source, values[0].decode("latin-1"))


def _ambiguous(detail: str) -> Refusal:
    return Refusal(Reason.AMBIGUOUS_REQUEST, detail)
