"""The one credential of a request, or why there is not exactly one (RFC 6750 §2)."""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

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
    """What the client sent as its token, and where. ``text`` may be anything at all."""

    source: TokenSource
    text: str


_SCHEME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def extract(request: RequestView, sources: tuple[TokenSource, ...]) -> Credential | Refusal | None:
    """The request's credential; None when it has none."""
    found: Credential | None = None
    cookies: list[Cookie] | None = None  # taken apart once, and only for who asks
    for source in sources:
        if isinstance(source, HeaderSource):
            result = _from_header(request.values(source.name), source)
        else:
            if cookies is None:
                cookies = cookies_of(request)
            result = _from_cookie(cookies, source)
        if result is None:
            continue
        if isinstance(result, Refusal):
            return result
        if found is not None:
            return _ambiguous("there is a token in two places")
        found = result
    return found


class Cookie(NamedTuple):
    """A cookie of a request. ``text`` is the whole as it stands; one may have no name."""

    name: bytes
    value: bytes
    text: bytes


def cookies_of(request: RequestView) -> list[Cookie]:
    """The cookies of a request in their order (RFC 6265 §4.2.1)."""
    found = []
    for line in request.values("cookie"):
        for part in line.split(b";"):
            text = part.strip(b" \t")
            name, equals, value = text.partition(b"=")
            if equals:
                # Servers trim the name: "token =…" is the cookie "token" to them.
                found.append(Cookie(name.rstrip(), value, text))
            elif text:
                found.append(Cookie(b"", text, text))
    return found


def _from_header(values: list[bytes], source: HeaderSource) -> Credential | Refusal | None:
    if not values:
        return None
    # Envoy joins repeated lines with a comma where it sends headers as a map.
    if len(values) > 1 or b"," in values[0]:
        return _ambiguous(f"{source.name} is there more than once")
    value = values[0]
    if source.scheme is None:
        return Credential(source, _text(value))
    scheme, _, token = value.partition(b" ")
    if scheme.lower() == source.scheme.lower().encode():
        return Credential(source, _text(token.lstrip(b" ")))
    if not _SCHEME.fullmatch(scheme):
        return Refusal(Reason.MALFORMED_TOKEN, f"{source.name} is not a scheme and a token")
    return Refusal(Reason.UNSUPPORTED_SCHEME, f"{source.name} takes only {source.scheme}")


def _from_cookie(cookies: list[Cookie], source: CookieSource) -> Credential | Refusal | None:
    name = source.name.encode()
    values = [cookie.value for cookie in cookies if cookie.name == name]
    if not values:
        return None
    if len(values) > 1:
        return _ambiguous(f"the cookie {source.name} is there more than once")
    return Credential(source, _text(values[0]))


def _text(value: bytes) -> str:
    # Latin-1 maps every byte to one character: nothing is lost, and whatever is not ASCII is
    # refused when the token is parsed.
    return value.decode("latin-1")


def _ambiguous(detail: str) -> Refusal:
    return Refusal(Reason.AMBIGUOUS_REQUEST, detail)
