"""Where a request may carry a token, and which headers are read as one."""

from collections.abc import Iterable, Iterator

from sidecar.check.extract import CookieSource, HeaderSource, TokenSource, WebSocketProtocolSource
from sidecar.check.identity import folded
from sidecar.check.websocket_protocols import HEADER as PROTOCOLS
from sidecar.config.header_names import SourceHeader
from sidecar.config.problems import Finding, Location
from sidecar.config.rules import Draft, Items
from sidecar.config.section import Section, written
from sidecar.config.values import HttpToken


class TokenPlace(Section):
    """A place where a request may carry its token: a header or a cookie."""

    header: SourceHeader = written(None, "The header's name.")
    scheme: HttpToken = written(
        None,
        "The authentication scheme in front of the token, compared without case; "
        "without it the header holds the token alone.",
    )
    cookie: HttpToken = written(None, "The cookie's name.")
    prefix: HttpToken = written(
        None,
        "For `sec-websocket-protocol`, with which a browser's WebSocket can send a token: what the "
        "protocol begins with that is the token, compared with case. The service gets the other "
        "protocols alone.",
    )

    def findings(self) -> Iterator[Finding]:
        """Either a header or a cookie is written, and a scheme only for a header."""
        yield from super().findings()
        if not self.is_one_place:
            yield Finding((), "a token is in a header or in a cookie; write one of the two")
        elif self.cookie is not None and self.scheme is not None:
            yield Finding(("scheme",), "a cookie has no scheme; leave it out")
        elif self.scheme is not None and self.scheme.lower() == "dpop":
            text = (
                "a token behind DPoP is bound to a key (RFC 9449), and no proof of it is checked "
                "here; write scheme: Bearer, and accept_bound_tokens: true where bound tokens are "
                "accepted from everybody who has one"
            )
            yield Finding(("scheme",), text)
        elif folded(self.header or "") == "dpop":
            text = (
                f"{self.header} holds the proof of a client's key (RFC 9449), which is not checked "
                "here, and no token; write {header: authorization, scheme: Bearer}"
            )
            yield Finding(("header",), text)
        elif self.header == PROTOCOLS:
            yield from self._protocol_has_a_prefix()
        elif self.prefix is not None:
            text = f"only a token in {PROTOCOLS} has a prefix; leave it out"
            yield Finding(("prefix",), text)
        if self.header != PROTOCOLS and folded(self.header or "") == PROTOCOLS:
            yield Finding(("header",), f"some servers read it as {PROTOCOLS}; write that")

    def _protocol_has_a_prefix(self) -> Iterator[Finding]:
        if self.prefix is None:
            text = (
                f"{PROTOCOLS} is a list of protocols; say which of them is the token, as in "
                'prefix: "bearer."'
            )
            yield Finding(("header",), text)
        if self.scheme is not None:
            yield Finding(("scheme",), "a protocol has no scheme; leave it out")

    @property
    def is_one_place(self) -> bool:
        """Whether exactly one of header and cookie is written."""
        return (self.header is None) != (self.cookie is None)

    def source_settings(self) -> TokenSource:
        """Where the check looks for a token."""
        if self.cookie is not None:
            return CookieSource(self.cookie)
        if self.prefix is not None:
            return WebSocketProtocolSource(self.prefix)
        return HeaderSource(self.header or "", self.scheme)


def distinct_sources(draft: Draft, sources: Items[TokenPlace]) -> Iterator[Finding]:
    """Each token source is named once."""
    first: dict[tuple[str, str | None], tuple[Location, TokenPlace]] = {}
    for here, source in sources:
        if not source.is_one_place:
            continue
        place = (folded(source.header or ""), source.cookie)
        there, other = first.setdefault(place, (here, source))
        if there is here:
            continue
        text = f"this is the place on line {draft.line(there)} again; name each once"
        if source.header is not None and source.header != other.header:
            text = one_to_servers(draft, source.header, other.header or "", there)
        yield Finding(here, text)


def spelt_once(draft: Draft, headers: Items[str]) -> Iterator[Finding]:
    """Each header is named once, and none is another spelling of an earlier one."""
    first: dict[str, tuple[Location, str]] = {}
    for here, name in headers:
        there, other = first.setdefault(folded(name), (here, name))
        if there is here:
            continue
        text = f"{name} is listed already; a header is named once"
        yield Finding(here, text if name == other else one_to_servers(draft, name, other, there))


def one_to_servers(draft: Draft, name: str, other: str, there: Location) -> str:
    """The message about two names of one header. ``there`` is the location of ``other``."""
    return (
        f"some servers read {name} and {other} (line {draft.line(there)}) as one "
        "header; leave one out"
    )


def carriers(sources: Iterable[TokenPlace]) -> frozenset[str]:
    """The headers that carry a token, in the form that all spellings of a name share."""
    return frozenset(folded(source.header or "cookie") for source in sources)
