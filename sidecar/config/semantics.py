"""The rules between values: what each of them allows alone and the whole does not.

Each rule is a function from a draft to what it finds; ``RULES`` lists those of this module. A draft
may lack the parts that could not be read, so that every rule that can be checked is checked in one
run.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from sidecar.check.routes import ties
from sidecar.config.build import accepted_kinds, accepted_types, route
from sidecar.config.document import Document
from sidecar.config.models import Allow, Route, Sidecar, Trust
from sidecar.config.problems import Location, Problem
from sidecar.model import TokenKind


@dataclass(frozen=True, slots=True)
class Draft:
    """A configuration in which every part can be read, or only those that are listed here.

    ``trust`` and ``routes`` are the readable items with their places in the document; ``bad``
    names the sections in which something could not be read.
    """

    document: Document
    sidecar: Sidecar
    trust: tuple[tuple[Location, Trust], ...]
    routes: tuple[tuple[Location, Route], ...]
    bad: frozenset[str]

    def line(self, location: Location) -> int:
        """The line a value begins on."""
        return self.document.at_value(location).line


class Finding(NamedTuple):
    """What a rule has against the value at a location."""

    location: Location
    text: str


Rule = Callable[[Draft], Iterator[Finding]]


def check(draft: Draft, rules: Iterable[Rule]) -> list[Problem]:
    """Everything that the rules find."""
    return [
        Problem(draft.document.at_value(location), text)
        for rule in rules
        for location, text in rule(draft)
    ]


def _trust_names(draft: Draft) -> Iterator[Finding]:
    return _duplicate_names(draft, draft.trust, "trust entries")


def _route_names(draft: Draft) -> Iterator[Finding]:
    return _duplicate_names(draft, draft.routes, "routes")


def _duplicate_names(
    draft: Draft, items: Iterable[tuple[Location, Trust | Route]], what: str
) -> Iterator[Finding]:
    first: dict[str, Location] = {}
    for location, item in items:
        here = (*location, "name")
        other = first.setdefault(item.name, here)
        if other is not here:
            text = f'"{item.name}" is the name on line {draft.line(other)} too'
            yield Finding(here, f"{text}; {what} need names of their own")


def _types_are_said(draft: Draft) -> Iterator[Finding]:
    for location, trust in draft.trust:
        if not accepted_types(trust):
            text = (
                f'the key "types" is missing; kind {trust.kind.value} has no usual typ: write the '
                "one its tokens have, as in [jwt], or [none] if they have none"
            )
            yield Finding(location, text)


def _workloads_are_named(draft: Draft) -> Iterator[Finding]:
    for location, trust in draft.trust:
        if trust.kind is TokenKind.WORKLOAD and not trust.subjects:
            text = (
                'kind workload needs "subjects"; without them every workload of the issuer is '
                'accepted: write patterns such as "system:serviceaccount:shop:*"'
            )
            yield Finding((*location, "subjects"), text)


def _types_do_not_overlap(draft: Draft) -> Iterator[Finding]:
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


def _trust_is_needed(draft: Draft) -> Iterator[Finding]:
    if draft.sidecar.trust or draft.bad & {"trust", "routes"}:
        return
    if not all(item.allow.public for _, item in draft.routes):
        yield Finding(
            ("trust",), "no issuer is trusted; write at least one entry, or make every route public"
        )


def _routes_are_needed(draft: Draft) -> Iterator[Finding]:
    if not draft.routes and "routes" not in draft.bad:
        yield Finding(
            ("routes",), "there are no routes, so every request would be denied; write at least one"
        )


def _allow_says_something(draft: Draft) -> Iterator[Finding]:
    for location, item in draft.routes:
        if not _named(item.allow):
            text = (
                "allow names nothing, and nothing is allowed by default; write authenticated: true "
                "for any valid token, or public: true for no token at all"
            )
            yield Finding((*location, "allow"), text)


def _public_stands_alone(draft: Draft) -> Iterator[Finding]:
    for location, item in draft.routes:
        others = [name for name in _named(item.allow) if name != "public"]
        if item.allow.public and others:
            text = "a public route looks at no token and no caller; leave out"
            where = (*location, "allow", "public")
            yield Finding(where, f"{text} {_listed(others)}, or public")


def _optional_asks_for_no_token(draft: Draft) -> Iterator[Finding]:
    about_tokens = ("authenticated", "scopes", "any_role", "any_group", "tokens")
    for location, item in draft.routes:
        others = [name for name in _named(item.allow) if name in about_tokens]
        if item.allow.optional and others:
            text = (
                "an optional route accepts requests without a token, which could never have "
                f"{_listed(others)}; leave out one or the other"
            )
            yield Finding((*location, "allow", "optional"), text)


def _routes_do_not_tie(draft: Draft) -> Iterator[Finding]:
    built = [(route(item), location) for location, item in draft.routes]
    places = {id(item): location for item, location in built}
    for one, other in ties(item for item, _ in built):
        first = f'"{one.name}" (line {draft.line(places[id(one)])})'
        text = (
            f'"{other.name}" and {first} match the same requests, and neither is more specific; '
            "change a method, host or path, or leave one out"
        )
        yield Finding((*places[id(other)], "match"), text)


def _kinds_are_provided(draft: Draft) -> Iterator[Finding]:
    if "trust" in draft.bad or not draft.trust:
        return
    provided = {trust.kind for _, trust in draft.trust}
    for location, item in draft.routes:
        if item.allow.public:
            continue
        for kind in sorted(accepted_kinds(item.allow) - provided, key=lambda kind: kind.value):
            default = "" if item.allow.tokens else " (which is what a route accepts by default)"
            text = (
                f"no trust entry is of kind {kind.value}{default}; add one, or name in tokens: "
                f"{_listed(sorted(kind.value for kind in provided))}"
            )
            yield Finding((*location, "allow", "tokens"), text)


def _sources_are_one_thing(draft: Draft) -> Iterator[Finding]:
    if "token_sources" in draft.bad:
        return
    first: dict[tuple[str, str | None], Location] = {}
    for index, source in enumerate(draft.sidecar.token_sources):
        here = ("token_sources", index)
        if (source.header is None) == (source.cookie is None):
            yield Finding(here, "a token source is a header or a cookie; write one of the two")
        elif source.cookie is not None and source.scheme is not None:
            yield Finding((*here, "scheme"), "a cookie has no scheme; leave it out")
        elif (other := first.setdefault((source.header or "", source.cookie), here)) is not here:
            text = f"this is the source on line {draft.line(other)} again; name each once"
            yield Finding(here, text)


def _identity_has_its_own_headers(draft: Draft) -> Iterator[Finding]:
    if "identity" in draft.bad:
        return
    identity = draft.sidecar.identity
    owned: list[tuple[Location, str]] = [
        (("identity", "headers", name), name) for name in identity.headers
    ]
    for index, name in enumerate(identity.strip):
        here = ("identity", "strip", index)
        if name in identity.headers or name in identity.strip[:index]:
            yield Finding(here, f"{name} is listed already; a header is named once")
        owned.append((here, name))
    if "token_sources" in draft.bad:
        return
    sources = {source.header for source in draft.sidecar.token_sources if source.header}
    folded = {name.replace("_", "-") for name in sources}
    if any(source.cookie for source in draft.sidecar.token_sources):
        folded.add("cookie")
    for location, name in owned:
        if name in folded:
            yield Finding(location, f"{name} carries the token; choose another header")


def _named(allow: Allow) -> list[str]:
    """The rules a route names; what is false is not named."""
    return [name for name in type(allow).model_fields if getattr(allow, name)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


RULES: Final[tuple[Rule, ...]] = (
    _trust_names,
    _route_names,
    _types_are_said,
    _workloads_are_named,
    _types_do_not_overlap,
    _trust_is_needed,
    _routes_are_needed,
    _allow_says_something,
    _public_stands_alone,
    _optional_asks_for_no_token,
    _routes_do_not_tie,
    _kinds_are_provided,
    _sources_are_one_thing,
    _identity_has_its_own_headers,
)
