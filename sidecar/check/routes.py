"""The routes of a service, and the matching of requests: the most specific match wins.

They are compiled once, into a trie.

Specific means, in this order: the host (exact, then the longest wildcard, then any), the path
segment by segment (literal, then a parameter between literal texts, the longest texts first, then
one wildcard segment, then the rest), the method (named, then GET for a HEAD, then any). Two routes
that are equally specific for some request are a tie, which the configuration refuses.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, NamedTuple

from sidecar.check.path import ENCODED_SLASH, canonical, decoded
from sidecar.check.refusal import Refusal
from sidecar.check.request_headers import read_headers
from sidecar.check.rules import Rule, Subject, TokenKinds
from sidecar.check.templates import Affixed, PathTemplate, Segment, Wild
from sidecar.check.trace import Trace
from sidecar.model import Reason, RequestView, Step, TokenKind, VerifiedToken

# RFC 3986 §3.2.2, only with the characters of service names: a name or an IP literal, and a port.
_AUTHORITY: Final = re.compile(r"([a-z0-9._-]*|\[[0-9a-f:.]+\]\.?)(?::[0-9]*)?")

# Methods are case-sensitive (RFC 9110 §9.1), but some services ignore case. All registered methods
# have this form (https://www.iana.org/assignments/http-methods), except `*`, which is not used in
# requests.
METHOD: Final = re.compile(r"[A-Z-]+")


def canonical_host(authority: str) -> str | None:
    """The host of an authority as routes match it: in lower case, no port, no dot at the end.

    None for an authority that is not a host and a port. Empty where there is none.
    """
    # ASCII alone: lower-casing turns some other characters into ASCII letters (U+212A into k).
    found = _AUTHORITY.fullmatch(authority.lower()) if authority.isascii() else None
    return found and found[1].removesuffix(".")


@dataclass(frozen=True, slots=True)
class Match:
    """What a route matches. No hosts: any host. No methods: any method.

    Hosts are in lower case without port; ``*.example.org`` matches any number of labels in front.
    With ``encoded_slashes`` a parameter's value may hold some, and stays as it is in the path.
    """

    template: PathTemplate
    methods: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    encoded_slashes: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A named route: the requests it matches, and its ``rules``, all of which must hold.

    A ``public`` route checks no credential and no rule. An ``optional`` one allows a request
    without a credential if the rules that need no token hold. Without ``match`` a route is selected
    only by its name in Envoy's configuration. ``headers`` are those that its condition may read, in
    lower case.
    """

    name: str
    match: Match | None = None
    rules: tuple[Rule, ...] = (TokenKinds(frozenset({TokenKind.REQUEST})),)
    public: bool = False
    optional: bool = False
    headers: tuple[str, ...] = ()

    def parameters(self, path: str) -> dict[str, str]:
        """The template's parameters in a canonical path: decoded, unless they may hold a slash.

        Empty when the path has another shape, as it may where Envoy's configuration names the
        route.
        """
        if self.match is None:
            return {}
        values = self.match.template.values(path)
        if self.match.encoded_slashes or "%" not in path:  # then there is nothing to decode
            return values
        return {name: decoded(value) for name, value in values.items()}

    def keeps_slashes_of(self, path: str) -> bool:
        """Whether the encoded slashes of a canonical path may stay where they are."""
        match = self.match
        return match is not None and match.encoded_slashes and match.template.encloses_slashes(path)


def headers_read(routes: Iterable[Route]) -> frozenset[str]:
    """The headers that the conditions of routes may read."""
    return frozenset(name for route in routes for name in route.headers)


def ties(routes: Iterable[Route]) -> list[tuple[Route, Route]]:
    """Pairs of routes that match the same request, and neither of which is more specific."""
    groups: dict[tuple[str | None, tuple[Segment, ...]], list[tuple[Route, frozenset[str]]]] = {}
    for route in routes:
        match = route.match
        if match is not None:
            for host in match.hosts or {None}:
                group = groups.setdefault((host, match.template.segments), [])
                group.append((route, match.methods))
    found = []
    for group in groups.values():
        for (one, methods), (other, others) in combinations(group, 2):
            if (not methods and not others) or methods & others:
                found.append((one, other))
    return list(dict.fromkeys(found))


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    affixed: "_AffixedNodes | None" = None
    one: "_Node | None" = None
    rest: "_Node | None" = None
    by_method: dict[str, Route] = field(default_factory=dict)
    any_method: Route | None = None
    # Whether there is another child than a literal and ``one``.
    has_others: bool = False

    def child(self, segment: Segment) -> "_Node":
        if segment is Wild.ONE:
            self.one = self.one or _Node()
            return self.one
        if isinstance(segment, str):
            return self.literals.setdefault(segment, _Node())
        self.has_others = True
        if segment is Wild.REST:
            self.rest = self.rest or _Node()
            return self.rest
        self.affixed = self.affixed or _AffixedNodes()
        return self.affixed.child(segment)

    def route_for(self, method: str) -> Route | None:
        found = self.by_method.get(method)
        if found is None and method == "HEAD":
            found = self.by_method.get("GET")
        return found or self.any_method

    def find(self, segments: list[str], index: int, method: str) -> Route | None:
        node = self
        while index < len(segments):
            segment = segments[index]
            index += 1
            literal = node.literals.get(segment)
            one = node.one if segment else None
            if not node.has_others and (literal is None or one is None):
                # Only one child can match, so no backtracking to this node is needed.
                child = literal or one
                if child is None:
                    return None
                node = child
                continue
            found = literal.find(segments, index, method) if literal else None
            if found is None and node.affixed is not None:
                for child in node.affixed.children_for(segment):
                    found = child.find(segments, index, method)
                    if found is not None:
                        break
            if found is None and one is not None:
                found = one.find(segments, index, method)
            if found is None and node.rest is not None:
                found = node.rest.route_for(method)
            return found
        return node.route_for(method)


class _AffixedNodes:
    """The children of a node for parameters between literal texts.

    A segment costs one look-up for each pair of lengths that the texts have, not one for each text.
    """

    def __init__(self) -> None:
        self._by_lengths: dict[tuple[int, int], dict[Affixed, _Node]] = {}

    def child(self, segment: Affixed) -> _Node:
        lengths = len(segment.prefix), len(segment.suffix)
        nodes = self._by_lengths.setdefault(lengths, {})
        # Of two that are equally long together, the longer prefix is first.
        longest_first = sorted(self._by_lengths, key=lambda pair: (sum(pair), pair), reverse=True)
        self._by_lengths = {pair: self._by_lengths[pair] for pair in longest_first}
        return nodes.setdefault(segment, _Node())

    def children_for(self, segment: str) -> Iterator[_Node]:
        """The nodes that a segment matches, the longest texts first."""
        for (prefix, suffix), nodes in self._by_lengths.items():
            affixed = Affixed(segment[:prefix], segment[len(segment) - suffix :])
            node = nodes.get(affixed)
            if node is not None and affixed.value_in(segment) is not None:
                yield node


class RouteTable:
    """Finds the route of a request. Built once per configuration."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_name: dict[str, Route] = {}
        self._hosts: dict[str, _Node] = {}
        self._any_host = _Node()
        self._depth = 0
        for route in routes:
            self._by_name[route.name] = route
            if route.match is not None:
                self._insert(route, route.match)
        self._wildcards = sorted(
            ((host[1:], node) for host, node in self._hosts.items() if host.startswith("*.")),
            key=lambda item: -len(item[0]),
        )

    def named(self, name: str) -> Route | None:
        """The route of this name."""
        return self._by_name.get(name)

    def find(self, host: str, path: str, method: str) -> Route | None:
        """The most specific route; none for an authority that is not a host and a port.

        Args:
            host: the request's authority, with or without a port; empty where there is none.
            path: the canonical path.
            method: the request's method, as it stands.
        """
        name = canonical_host(host)
        if name is None:
            # Two Host lines are received joined: `evil,x.shop.internal` ends like a known host.
            return None
        # No template is deeper: of the remaining segments only the presence matters.
        segments = path[1:].split("/", self._depth)
        for root in self._roots(name):
            found = root.find(segments, 0, method)
            if found is not None:
                return found
        return None

    def _insert(self, route: Route, match: Match) -> None:
        roots = [self._hosts.setdefault(host, _Node()) for host in match.hosts] or [self._any_host]
        for root in roots:
            node = root
            self._depth = max(self._depth, len(match.template.segments))
            for segment in match.template.segments:
                node = node.child(segment)
            for method in match.methods:
                node.by_method[method] = route
            if not match.methods:
                node.any_method = route

    def _roots(self, host: str) -> list[_Node]:
        if not self._hosts or not host:
            return [self._any_host]
        exact = [self._hosts[host]] if host in self._hosts else []
        wildcards = [
            node
            for suffix, node in self._wildcards
            if host.endswith(suffix) and len(host) > len(suffix)
        ]
        return [*exact, *wildcards, self._any_host]


class Routed(NamedTuple):
    """A request, its route, and the canonical form of its path."""

    request: RequestView
    route: Route
    path: str

    def refusal(self, token: VerifiedToken | None, now: float) -> Refusal | None:
        """Why the route's rules refuse a token, or a request without one; None if they hold.

        ``now`` is in Unix seconds.
        """
        subject = Subject(token, self.request.principal, now, self.facts)
        for rule in self.route.rules:
            if token is not None or not rule.needs_token:
                refusal = rule.refusal(subject)
                if refusal is not None:
                    return refusal
        return None

    def ambiguity(self) -> Refusal | None:
        """Why a header that the route's condition may read has no one value."""
        read = read_headers(self.request, self.route.headers)
        return read if isinstance(read, Refusal) else None

    def facts(self) -> Mapping[str, object]:
        """The request as conditions see it, in the form in which routes match it.

        If Envoy names the route, the authority may be invalid. Then there is no ``host``, and a
        condition that reads it fails. There are ``headers`` if the route declares some and none is
        ambiguous; a request with an ambiguous one is refused before.
        """
        facts: dict[str, object] = {
            "method": self.request.method,
            "path": self.path,
            "params": self.route.parameters(self.path),
            "caller": self.request.principal,
        }
        if self.route.headers:
            headers = read_headers(self.request, self.route.headers)
            if not isinstance(headers, Refusal):
                facts["headers"] = headers
        host = canonical_host(self.request.host)
        return facts if host is None else facts | {"host": host}


class Router:
    """Finds the route of a request. Built once per configuration."""

    def __init__(self, routes: Iterable[Route], *, literal_semicolons: bool) -> None:
        routes = tuple(routes)
        self._routes = RouteTable(routes)
        self._literal_semicolons = literal_semicolons
        self._encoded_slashes = any(each.match and each.match.encoded_slashes for each in routes)

    def find(self, request: RequestView, trace: Trace | None = None) -> Routed | Refusal:
        """The route, named by Envoy's configuration or found by host, path and method.

        Path and method must be canonical on every route, so that rules and service see the same.
        """
        path = canonical(
            request.path,
            literal_semicolons=self._literal_semicolons,
            encoded_slashes=self._encoded_slashes,
        )
        if trace:
            trace.note(Step.PATH, request.path if isinstance(path, Refusal) else path)
        if isinstance(path, Refusal):
            return path
        if not METHOD.fullmatch(request.method):
            if trace:
                trace.note(Step.ROUTE, request, None)
            return Refusal(Reason.INVALID_METHOD)
        if request.route is None:
            route = self._routes.find(request.host, path, request.method)
        else:
            route = self._routes.named(request.route)
        if trace:
            trace.note(Step.ROUTE, request, route)
        # The most specific route decides, and none that is less specific after it.
        slashes = self._encoded_slashes and ENCODED_SLASH in path
        if slashes and (route is None or not route.keeps_slashes_of(path)):
            return Refusal(Reason.UNSAFE_PATH, _why_not_kept(route))
        if route is None:
            return Refusal(Reason.NO_ROUTE, self._why_no_route(request, path))
        return Routed(request, route, path)

    def _why_no_route(self, request: RequestView, path: str) -> str:
        """What an operator should know about a request without a route."""
        if request.route is not None:
            return "Envoy's context_extensions name a route that is not configured"
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        near = self._routes.find(request.host, other, request.method) if other else None
        if near is None:
            return ""
        slash = "without the slash at its end" if path.endswith("/") else "with a slash at its end"
        return f'the path {slash} would match the route "{near.name}"'


def _why_not_kept(route: Route | None) -> str:
    """What an operator should know about a path whose encoded slash may not stay."""
    if route is None:
        return "it holds an encoded slash, and no route matches it"
    if route.match is None or not route.match.encoded_slashes:
        return f'it holds an encoded slash, and the route "{route.name}" does not keep them'
    return f'it holds an encoded slash that is not inside a parameter of the route "{route.name}"'
