"""What is allowed in a configuration and seldom meant: warnings for whoever wrote it."""

from collections.abc import Iterator
from typing import Final

from sidecar.check.routes import Match, RouteTable
from sidecar.check.templates import Wild
from sidecar.config.build import route
from sidecar.config.common_models import Configured
from sidecar.config.semantics import Finding

# RFC 9110 §9.3 and RFC 5789, without HEAD (it follows GET) and CONNECT (it has no path).
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def doubts(root: Configured) -> Iterator[Finding]:
    """Everything in a good configuration that deserves a second look."""
    yield from _methods_left_to_a_public_route(root)


def _methods_left_to_a_public_route(root: Configured) -> Iterator[Finding]:
    """A protected path of which some methods fall through to a wider, public route."""
    routes = [route(item) for item in root.routes]
    table = RouteTable(routes)
    for index, candidate in enumerate(routes):
        match = candidate.match
        if match is None or not match.methods or candidate.requirement.public:
            continue
        left: dict[str, list[str]] = {}
        for method in _METHODS:
            found = table.find(*_example(match), method)
            if method not in match.methods and found and found.requirement.public:
                left.setdefault(found.name, []).append(method)
        for name, methods in left.items():
            text = (
                f"{', '.join(methods)} on {match.template.text} can reach the public route "
                f'"{name}"; leave methods out to cover them all, or give them a route of their own'
            )
            yield Finding(("routes", index, "match", "methods"), text)


def _example(match: Match) -> tuple[str, str]:
    """A host and a path that the match covers."""
    host = min(match.hosts, default="").replace("*", "any")
    segments = ("any" if isinstance(part, Wild) else part for part in match.template.segments)
    return host, "/" + "/".join(segments)
