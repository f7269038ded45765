"""``routes``, for both roles: the requests that routes match, and their rules."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StrictBool

from sidecar.check.identity import folded
from sidecar.check.routes import Match, Route, ties
from sidecar.check.rules import (
    Acr,
    AnyGroup,
    AnyRole,
    AnyScope,
    Callers,
    MaxAge,
    Rule,
    Scopes,
    When,
)
from sidecar.check.templates import Wild
from sidecar.config.condition_fields import reads_headers, reads_whole_request, unknown_names
from sidecar.config.header_names import ConditionHeader
from sidecar.config.problems import Finding, Location, format_names
from sidecar.config.rules import Draft, Items, duplicate_names, rule
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.claim_names import ONE_CLAIM, is_dotted
from sidecar.config.values import (
    ConditionText,
    Duration,
    Host,
    Method,
    Name,
    PatternOfParts,
    Scope,
    Template,
    Text,
)


def _not_nothing(value: object) -> object:
    """Refuses a key without a value, which would silently widen a rule."""
    if value is None:
        raise ValueError("nothing is written after the key; fill it in or leave the key out")
    return value


# How a rule is made of the keys of ``allow``, by the key it is for.
_RULES: Final[Mapping[str, Callable[[Any], Rule]]] = {
    "scopes": lambda allow: Scopes(allow.scopes),
    "any_scope": lambda allow: AnyScope(allow.any_scope, allow.scopes),
    "any_role": lambda allow: AnyRole(frozenset(allow.any_role)),
    "any_group": lambda allow: AnyGroup(frozenset(allow.any_group)),
    "max_age": lambda allow: MaxAge(allow.max_age),
    "acr": lambda allow: Acr(allow.acr),
    "callers": lambda allow: Callers(allow.callers),
    "when": lambda allow: When(allow.when),
}


class RouteMatch(Section):
    """The requests a route is for."""

    methods: tuple[Method, ...] = written(
        (), "The methods, in capitals; without it, any.", min_length=1
    )
    hosts: tuple[Host, ...] = written(
        (),
        "The hosts, without port; `*.example.org` stands for every host below "
        "example.org. Without it, any.",
        min_length=1,
    )
    path: Template = Field(
        description="`/orders/{id}`: a parameter in braces and `*` stand for one segment, `**` at "
        "the end for one or more. A parameter may have text before and after it in its segment, as "
        "in `/jobs/{id}:cancel`. Of several such routes the one with the longest text wins, and of "
        "two equally long the one with more of it in front."
    )

    encoded_slashes: Literal["reject", "keep"] = written(
        "reject",
        "Whether `%2F` may stand inside a parameter in braces, as in "
        "`/projects/group%2Fproject`. It may not anywhere else, `*` included, nor at the start or "
        "end of the parameter, doubled, beside a dot or semicolon, or in a path that holds `%25`. "
        "With `keep`, the route's `request.params` are as in `request.path`: nothing is decoded. "
        "A request whose most specific route does not keep it is refused. Envoy's "
        "`path_with_escaped_slashes_action` has to be `KEEP_UNCHANGED`.",
    )

    def findings(self) -> Iterator[Finding]:
        """An encoded slash can stay only where one parameter holds it."""
        if self.encoded_slashes == "reject":
            return
        if not self.path.parameters:
            text = (
                "an encoded slash stays inside a parameter, and the path has none; write one, as "
                "in /projects/{id}, or leave encoded_slashes out"
            )
            yield Finding(("encoded_slashes",), text)
        elif self.path.segments[-1] is Wild.REST:
            text = (
                "an encoded slash stays inside one segment, and ** stands for several; end the "
                "path otherwise, or leave encoded_slashes out"
            )
            yield Finding(("encoded_slashes",), text)


class RouteAllow(Section):
    """What a route asks of a request. All of what is named must hold."""

    public: StrictBool = written(False, "Let everyone through without a look at any token.")
    optional: StrictBool = written(
        False,
        "Let requests without a token through, too. A bad token, or one that is not accepted, is "
        "still refused.",
    )
    authenticated: StrictBool = written(False, "Any valid token of an accepted kind will do.")
    scopes: tuple[Scope, ...] = written((), "The token has all of these scopes.", min_length=1)
    any_scope: tuple[Scope, ...] = written(
        (),
        "The token has one of these scopes. A client that has none is told to ask for the first.",
        min_length=1,
    )
    any_role: tuple[Text, ...] = written((), "The token has one of these roles.", min_length=1)
    any_group: tuple[Text, ...] = written((), "The token has one of these groups.", min_length=1)
    max_age: Annotated[float | None, Duration("1s", "720h")] = written(
        None,
        "The user was authenticated at most so long ago, by the token's `auth_time`. A token "
        "without one is refused, and the client told to authenticate the user anew (RFC 9470).",
    )
    acr: tuple[Scope, ...] = written(
        (),
        "The token's `acr` is one of these. A token without one is refused, and the client told "
        "which there are (RFC 9470).",
        min_length=1,
    )
    callers: tuple[PatternOfParts, ...] = written(
        (),
        "Patterns of which the caller's mTLS principal matches one; `*` stands for one "
        "part between `:` or `/`, and `**` at the end for one or more.",
        min_length=1,
    )
    when: ConditionText = written(
        None,
        "A condition in CEL over `claims`, over `token.scopes`, `token.roles` and `token.groups` "
        "(sorted lists of what rules see, empty without a token), and over `request` (`method`, "
        "`host`, `path`, `params`, `caller`, and `headers`: those that are declared). The request "
        "is as routes match it: the host in lower case without port, the path without query. A "
        "HEAD is `HEAD`, on a route for GET as well.",
    )
    headers: tuple[ConditionHeader, ...] = written(
        (),
        'The request headers that `when` reads, as in `request.headers["x-scope-orgid"]`. One that '
        "is not sent is absent: a condition that reads it fails, and "
        '`"x-scope-orgid" in request.headers` is false. A request is refused (400) if one is there '
        "twice, or has a comma, other characters than printable ASCII, or a space at an end. What "
        "a client sends under other spellings of the name never reaches the service.",
        min_length=1,
    )

    def findings(self) -> Iterator[Finding]:
        """At least one rule is written, and the rules do not contradict each other."""
        named = self.named
        if not named:
            text = (
                "allow names nothing, and nothing is allowed by default; write authenticated: true "
                "for any valid token, or public: true for no token at all"
            )
            yield Finding((), text)
        others = [name for name in named if name != "public"]
        if self.public and others:
            text = "a public route looks at no token and no caller; leave out"
            yield Finding(("public",), f"{text} {format_names(others)}, or public")
        rules = self.rules()
        # An optional route may say which tokens are accepted, and what must hold without one, too.
        others = [
            name
            for name in others
            if name == "authenticated" or (name in rules and rules[name].needs_token)
        ]
        if self.optional and others:
            text = (
                "an optional route accepts requests without a token, which could never have "
                f"{format_names(others)}; leave out one or the other"
            )
            yield Finding(("optional",), text)

    def warnings(self) -> Iterator[Finding]:
        """One of several scopes, of which one is needed anyway."""
        both = [scope for scope in self.any_scope if scope in self.scopes]
        if both:
            text = (
                f"scopes asks for {format_names(both)} already, so any_scope asks for nothing "
                "more; leave it out, or the scope out of scopes"
            )
            yield Finding(("any_scope",), text)

    @property
    def named(self) -> list[str]:
        """The keys that ask for something; what is false does not."""
        return [name for name in type(self).model_fields if getattr(self, name)]

    def rules(self) -> dict[str, Rule]:
        """The rules by their keys, in the order in which they are asked."""
        return {key: make(self) for key, make in _RULES.items() if getattr(self, key)}


class RouteSection(Section):
    """A rule, and the requests it is for."""

    name: Name = Field(description="What it is called in metrics, logs and answers.")
    match: Annotated[RouteMatch | None, BeforeValidator(_not_nothing)] = written(
        None,
        "The requests it is for. Without it the route is reached only by its name in "
        "Envoy's `context_extensions`.",
    )
    allow: RouteAllow = Field(description="What it asks of them.")

    def findings(self) -> Iterator[Finding]:
        """The condition reads only fields that exist."""
        when = self.allow.when
        template = self.match.path if self.match is not None else None
        parameters = [name for name, _ in template.parameters] if template is not None else []
        unknown = [*unknown_names(when, parameters, self.allow.headers)] if when else []
        # A misspelt name may be the one that was to read them.
        if self.allow.headers and not unknown and (when is None or not reads_headers(when)):
            text = "headers are for a condition, and when reads none; leave them out"
            yield Finding(("allow", "headers"), text)
        for index, header in enumerate(self.allow.headers):
            if header in self.allow.headers[:index]:
                text = f"{header} is listed already; a header is named once"
                yield Finding(("allow", "headers", index), text)
        for name in unknown:
            place = f"at {name.line}:{name.column}"
            text = f"the expression cannot be used: {place}: {name.format()}"
            yield Finding(("allow", "when"), text)

    def warnings(self) -> Iterator[Finding]:
        """A condition that most likely was meant otherwise."""
        reads = self.allow.when.reads if self.allow.when is not None else ()
        names = (read.path[1] for read in reads if read.path[0] == "claims" and read.path[1:])
        for name in filter(is_dotted, dict.fromkeys(names)):
            yield Finding(("allow", "when"), f"{ONE_CLAIM.format(name)}; write claims.{name}")
        if self.allow.when is not None and reads_whole_request(self.allow.when):
            text = (
                "request is read as a whole, so a misspelt name below it is not found here, and "
                "the condition fails or is true by mistake; write request.NAME where it is read"
            )
            yield Finding(("allow", "when"), text)

    def settings(self, *accepted: Rule) -> Route:
        """What the check needs of the route. ``accepted`` says which tokens are."""
        match = None
        if self.match is not None:
            methods, hosts = frozenset(self.match.methods), frozenset(self.match.hosts)
            keeps = self.match.encoded_slashes == "keep"
            match = Match(self.match.path, methods, hosts, keeps)
        return copied(
            Route, self, self.allow, match=match, rules=(*accepted, *self.allow.rules().values())
        )


@rule()
def _names(draft: Draft) -> Iterator[Finding]:
    return duplicate_names(draft, draft.items("routes", RouteSection), "routes")


@rule("routes")
def _routes_are_needed(draft: Draft) -> Iterator[Finding]:
    if not draft.items("routes", RouteSection):
        text = "there are no routes, so every request would be denied; write at least one"
        yield Finding(("routes",), text)


def headers_of_conditions(draft: Draft) -> Items[str]:
    """The headers that routes declare for their conditions, with their locations."""
    return [
        ((*here, "allow", "headers", index), name)
        for here, item in draft.items("routes", RouteSection)
        for index, name in enumerate(item.allow.headers)
    ]


def others_headers(
    draft: Draft, carrying: Collection[str], owned: Iterable[str]
) -> Iterator[Finding]:
    """Headers that no condition may read, because a client has no say in them.

    Args:
        draft: the configuration.
        carrying: the headers that carry a token, as ``folded`` gives them.
        owned: the headers that no client may send.
    """
    removed = frozenset(map(folded, owned))
    for here, name in headers_of_conditions(draft):
        if folded(name) in carrying:
            text = f"{name} carries a token; a condition reads what is verified of it, in claims"
            yield Finding(here, text)
        elif folded(name) in removed:
            text = (
                f"what a client sends in {name} goes no further, so no condition may rest on it; "
                "a condition reads claims"
            )
            yield Finding(here, text)


@rule()
def _headers_are_spelt_alike(draft: Draft) -> Iterator[Finding]:
    """Each header has one spelling in all routes: the others never reach the service."""
    first: dict[str, tuple[Location, str]] = {}
    for here, name in headers_of_conditions(draft):
        there, other = first.setdefault(folded(name), (here, name))
        if name != other:
            text = (
                f"some servers read {name} and {other} (line {draft.line(there)}) as one header; "
                "write one of them in both places"
            )
            yield Finding(here, text)


@rule()
def _one_route_is_more_specific(draft: Draft) -> Iterator[Finding]:
    built = [(item.settings(), here) for here, item in draft.items("routes", RouteSection)]
    places = {id(route): here for route, here in built}
    for one, other in ties(route for route, _ in built):
        first = f'"{one.name}" (line {draft.line(places[id(one)])})'
        text = (
            f'"{other.name}" and {first} match the same requests, and neither is more specific; '
            "change a method, host or path, or leave one out"
        )
        yield Finding((*places[id(other)], "match"), text)


@rule("paths")
def _semicolons_can_match(draft: Draft) -> Iterator[Finding]:
    if draft.section("paths", Paths).semicolons == "literal":
        return
    for here, item in draft.items("routes", RouteSection):
        if item.match is not None and ";" in item.match.path.text:
            text = (
                f'"{item.name}" could never match: a path with ; is refused; write '
                "paths: {semicolons: literal} if the service takes ; for an ordinary character, "
                "or leave it out of the path"
            )
            yield Finding((*here, "match", "path"), text)


ROUTE_RULES: Final = (
    _names,
    _routes_are_needed,
    _headers_are_spelt_alike,
    _one_route_is_more_specific,
    _semicolons_can_match,
)


class Paths(Section):
    """How paths are read."""

    semicolons: Literal["reject", "literal"] = written(
        "reject",
        "A path with `;` is refused, because some services cut it off there, or the "
        "semicolon is an ordinary character.",
    )
