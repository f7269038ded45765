"""Warnings about requests that look protected by a route but match a public one."""

from collections.abc import Iterable, Iterator
from typing import Final

from sidecar.check.routes import Match, Route, RouteTable
from sidecar.check.templates import Affixed, Segment, Wild
from sidecar.config.problems import Finding, Location, format_names
from sidecar.config.rules import Draft, rule
from sidecar.config.sections.routes import RouteSection

# RFC 9110 §9.3 and RFC 5789, without CONNECT (it has no path).
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@rule()
def left_to_public_routes(draft: Draft) -> Iterator[Finding]:
    """Other methods of a protected path, or the path with a trailing slash, are public."""
    routes = [item.settings() for _, item in draft.items("routes", RouteSection)]
    table = RouteTable(routes)
    for index, protected in enumerate(routes):
        if protected.match is not None and not protected.public:
            here = ("routes", index, "match")
            yield from _methods_left_to_a_public_route(table, protected.match, here)
            yield from _paths_left_to_a_public_route(table, protected.match, here)


def _methods_left_to_a_public_route(
    table: RouteTable, match: Match, here: Location
) -> Iterator[Finding]:
    """The methods of a protected path that match a less specific, public route."""
    others = [method for method in _METHODS if match.methods and method not in match.methods]
    for taken, methods in _public_routes(table, match, match.template.segments, others):
        text = (
            f"{format_names(methods)} on {match.template.text} can reach the public route "
            f'"{taken.name}"; leave methods out to cover them all, or give them a route of their '
            "own"
        )
        yield Finding((*here, "methods"), text)


def _paths_left_to_a_public_route(
    table: RouteTable, match: Match, here: Location
) -> Iterator[Finding]:
    """A path that many services treat as the protected one, and that matches a public route."""
    *before, last = match.template.segments
    text = match.template.text
    if last is Wild.REST or not last:
        # /admin/** begins below /admin, and /admin/ is not /admin.
        neighbour, segments = text.rpartition("/")[0], before
    else:
        neighbour, segments = f"{text}/", [*before, last, ""]
    if not segments:
        return
    methods = [method for method in _METHODS if not match.methods or method in match.methods]
    for taken, _ in _public_routes(table, match, segments, methods):
        if taken.match is not None and taken.match.template.segments == tuple(segments):
            continue  # the public route is written for exactly this path
        warning = (
            f'{text} does not cover {neighbour}, which the public route "{taken.name}" takes; if '
            "it is not meant to be public, write a route with the same rules and the path "
            f"{neighbour}"
        )
        yield Finding((*here, "path"), warning)


def _public_routes(
    table: RouteTable, match: Match, segments: Iterable[Segment], methods: Iterable[str]
) -> Iterable[tuple[Route, list[str]]]:
    """The public routes that take a path of these segments on the hosts of ``match``.

    Each comes with those of ``methods`` that it takes; HEAD is left out if it takes GET too.
    """
    path = "/" + "/".join(map(_example, segments))
    found: dict[str, tuple[Route, list[str]]] = {}
    for method in methods:
        for host in sorted(match.hosts) or [""]:
            taken = table.find(host.replace("*", "any"), path, method)
            if taken is None or not taken.public:
                continue
            _, taken_for = found.setdefault(taken.name, (taken, []))
            if method not in taken_for and not (method == "HEAD" and "GET" in taken_for):
                taken_for.append(method)
    return found.values()


def _example(segment: Segment) -> str:
    """A segment of a path that matches this one of a template."""
    if isinstance(segment, Affixed):
        return f"{segment.prefix}any{segment.suffix}"
    return "any" if isinstance(segment, Wild) else segment
