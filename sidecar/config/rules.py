"""The rules between values: what each of them allows alone and the whole does not.

Each rule is a function from a draft to what it finds; ``RULES`` lists those of this module, which
hold for both roles. A draft may lack the parts that could not be read, so that every rule that can
be checked is checked in one run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from sidecar.check.conditions import REQUEST_FIELDS
from sidecar.check.identity import folded
from sidecar.check.routes import ties
from sidecar.config.build import accepted_types, route, rules
from sidecar.config.condition_fields import unknown_names
from sidecar.config.document import Document
from sidecar.config.problems import Location, Problem
from sidecar.config.sections.root import Configured, TokenSource, Trust
from sidecar.config.sections.routes import Allow, Route
from sidecar.model import TokenKind

R_co = TypeVar("R_co", bound=Configured, covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draft(Generic[R_co]):
    """A configuration in which every part can be read, or only those that ``root`` holds.

    ``places`` tells where in the document the readable items of a list stand, by the list's name;
    ``bad`` names the sections in which something could not be read: of those ``root`` has
    stand-ins, or for a list what could be read.
    """

    document: Document
    root: R_co
    places: Mapping[str, tuple[Location, ...]]
    bad: frozenset[str]

    @property
    def trust(self) -> Iterator[tuple[Location, Trust]]:
        """The readable trust entries with their places."""
        return self.located("trust", self.root.trust)

    @property
    def routes(self) -> Iterator[tuple[Location, Route]]:
        """The readable routes with their places."""
        return self.located("routes", self.root.routes)

    def located(self, name: str, items: Iterable[T]) -> Iterator[tuple[Location, T]]:
        """The readable items of the list of this name with their places."""
        return zip(self.places[name], items, strict=True)

    def line(self, location: Location) -> int:
        """The line a value begins on."""
        return self.document.at_value(location).line


class Finding(NamedTuple):
    """What a rule has against the value at a location."""

    location: Location
    text: str


Rule = Callable[[Draft[R_co]], Iterator[Finding]]


def check(draft: Draft[R_co], rules: Iterable[Rule[R_co]]) -> list[Problem]:
    """Everything that the rules find."""
    return [
        Problem(draft.document.at_value(location), text)
        for rule in rules
        for location, text in rule(draft)
    ]


def _trust_names(draft: Draft[Configured]) -> Iterator[Finding]:
    return duplicate_names(draft, draft.trust, "trust entries")


def _route_names(draft: Draft[Configured]) -> Iterator[Finding]:
    return duplicate_names(draft, draft.routes, "routes")


class Named(Protocol):
    """An item of a list that has a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


def duplicate_names(
    draft: Draft[Configured], items: Iterable[tuple[Location, Named]], what: str
) -> Iterator[Finding]:
    """Items of a list that have the name of an earlier one. ``what`` they are, in the plural."""
    first: dict[str, Location] = {}
    for location, item in items:
        here = (*location, "name")
        other = first.setdefault(item.name, here)
        if other is not here:
            text = f'"{item.name}" is the name on line {draft.line(other)} too'
            yield Finding(here, f"{text}; {what} need names of their own")


def _types_are_said(draft: Draft[Configured]) -> Iterator[Finding]:
    for location, trust in draft.trust:
        if not accepted_types(trust):
            text = (
                f'the key "types" is missing; kind {trust.kind.value} has no usual typ: write the '
                "one its tokens have, as in [jwt], or [none] if they have none"
            )
            yield Finding(location, text)


def _workloads_are_named(draft: Draft[Configured]) -> Iterator[Finding]:
    for location, trust in draft.trust:
        if trust.kind is TokenKind.WORKLOAD and not trust.subjects:
            text = (
                'kind workload needs "subjects"; without them every workload of the issuer is '
                'accepted: write patterns such as "system:serviceaccount:shop:*"'
            )
            yield Finding((*location, "subjects"), text)


def _types_do_not_overlap(draft: Draft[Configured]) -> Iterator[Finding]:
    first: dict[tuple[str, str], tuple[Location, Trust]] = {}
    for location, trust in draft.trust:
        for name in dict.fromkeys(accepted_types(trust)):
            at, other = first.setdefault((trust.issuer, name), (location, trust))
            if other is not trust:
                text = (
                    f'"{trust.name}" and "{other.name}" (line {draft.line(at)}) both accept the '
                    f"typ {name} from this issuer; issuer and typ must lead to one entry"
                )
                yield Finding((*location, "issuer"), text)


def _routes_are_needed(draft: Draft[Configured]) -> Iterator[Finding]:
    if not draft.root.routes and "routes" not in draft.bad:
        yield Finding(
            ("routes",), "there are no routes, so every request would be denied; write at least one"
        )


def _allow_says_something(draft: Draft[Configured]) -> Iterator[Finding]:
    for location, item in draft.routes:
        if not _named(item.allow):
            text = (
                "allow names nothing, and nothing is allowed by default; write authenticated: true "
                "for any valid token, or public: true for no token at all"
            )
            yield Finding((*location, "allow"), text)


def _public_stands_alone(draft: Draft[Configured]) -> Iterator[Finding]:
    for location, item in draft.routes:
        others = [name for name in _named(item.allow) if name != "public"]
        if item.allow.public and others:
            text = "a public route looks at no token and no caller; leave out"
            where = (*location, "allow", "public")
            yield Finding(where, f"{text} {listed(others)}, or public")


def _optional_asks_for_no_token(draft: Draft[Configured]) -> Iterator[Finding]:
    for location, item in draft.routes:
        named = rules(item.allow)
        # What is no rule of ``check.rules`` says which tokens are accepted.
        others = [
            name
            for name in _named(item.allow)
            if name not in ("public", "optional") and (name not in named or named[name].needs_token)
        ]
        if item.allow.optional and others:
            text = (
                "an optional route accepts requests without a token, which could never have "
                f"{listed(others)}; leave out one or the other"
            )
            yield Finding((*location, "allow", "optional"), text)


def _routes_do_not_tie(draft: Draft[Configured]) -> Iterator[Finding]:
    built = [(route(item), location) for location, item in draft.routes]
    places = {id(item): location for item, location in built}
    for one, other in ties(item for item, _ in built):
        first = f'"{one.name}" (line {draft.line(places[id(one)])})'
        text = (
            f'"{other.name}" and {first} match the same requests, and neither is more specific; '
            "change a method, host or path, or leave one out"
        )
        yield Finding((*places[id(other)], "match"), text)


def _conditions_read_what_is_there(draft: Draft[Configured]) -> Iterator[Finding]:
    for location, item in draft.routes:
        if item.allow.when is None:
            continue
        template = item.match.path if item.match is not None else None
        parameters = [name for name, _ in template.parameters] if template is not None else []
        there = {"request": REQUEST_FIELDS, "request.params": parameters}
        for name, of, line, column in unknown_names(item.allow.when, parameters):
            text = (
                f'the expression cannot be used: at {line}:{column}: {of} never has "{name}"; '
                f"it has: {listed(there[of]) or 'nothing, as the path has no parameters'}"
            )
            yield Finding((*location, "allow", "when"), text)


def sources_are_one_thing(
    draft: Draft[Configured], sources: Iterable[tuple[Location, TokenSource]]
) -> Iterator[Finding]:
    """Each place where a token may be is a header or a cookie, and named once."""
    first: dict[tuple[str, str | None], tuple[Location, TokenSource]] = {}
    for here, source in sources:
        if (source.header is None) == (source.cookie is None):
            yield Finding(here, "a token is in a header or in a cookie; write one of the two")
            continue
        if source.cookie is not None and source.scheme is not None:
            yield Finding((*here, "scheme"), "a cookie has no scheme; leave it out")
            continue
        place = (folded(source.header or ""), source.cookie)
        there, other = first.setdefault(place, (here, source))
        if there is here:
            continue
        text = f"this is the place on line {draft.line(there)} again; name each once"
        if source.header is not None and source.header != other.header:
            text = _one_to_servers(draft, source.header, other.header or "", there)
        yield Finding(here, text)


def headers_are_distinct(
    draft: Draft[Configured], headers: Iterable[tuple[Location, str]]
) -> Iterator[Finding]:
    """Each header is named once, and none is another spelling of an earlier one."""
    first: dict[str, tuple[Location, str]] = {}
    for here, name in headers:
        there, other = first.setdefault(folded(name), (here, name))
        if there is here:
            continue
        text = f"{name} is listed already; a header is named once"
        yield Finding(here, text if name == other else _one_to_servers(draft, name, other, there))


def _one_to_servers(draft: Draft[Configured], name: str, other: str, there: Location) -> str:
    return (
        f"some servers read {name} and {other} (line {draft.line(there)}) as one "
        "header; leave one out"
    )


def carriers(sources: Iterable[TokenSource]) -> frozenset[str]:
    """The headers that carry a token, in the form that all spellings of a name share."""
    return frozenset(folded(source.header or "cookie") for source in sources)


def _named(allow: Allow) -> list[str]:
    """The rules a route names; what is false is not named."""
    return [name for name in type(allow).model_fields if getattr(allow, name)]


def listed(names: Iterable[str]) -> str:
    """Names in a message."""
    return ", ".join(names)


RULES: Final[tuple[Rule[Configured], ...]] = (
    _trust_names,
    _route_names,
    _types_are_said,
    _workloads_are_named,
    _types_do_not_overlap,
    _routes_are_needed,
    _allow_says_something,
    _public_stands_alone,
    _optional_asks_for_no_token,
    _routes_do_not_tie,
    _conditions_read_what_is_there,
)
