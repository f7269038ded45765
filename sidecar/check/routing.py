"""Which route takes a request, and what its rules say: the steps of a check around its token."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sidecar.check.path import canonical
from sidecar.check.refusal import Refusal
from sidecar.check.routes import METHOD, Route, RouteTable, canonical_host
from sidecar.check.rules import Subject
from sidecar.check.trace import Trace
from sidecar.model import Reason, RequestView, Step, VerifiedToken


class Routed(NamedTuple):
    """A request, its route, and the canonical form of its path."""

    request: RequestView
    route: Route
    path: str

    def refusal(self, token: VerifiedToken | None, now: float) -> Refusal | None:
        """What the route's rules have against a token, or against there being none.

        ``now`` is in Unix seconds.
        """
        subject = Subject(token, self.request.principal, now, self.facts)
        for rule in self.route.rules:
            if token is not None or not rule.needs_token:
                refusal = rule.refusal(subject)
                if refusal is not None:
                    return refusal
        return None

    def facts(self) -> Mapping[str, object]:
        """The request as conditions see it: as routes match it, wherever they do.

        Where Envoy names the route, the authority may be no host and a port. There is no ``host``
        then, and a condition that asks for it fails.
        """
        facts: dict[str, object] = {
            "method": self.request.method,
            "path": self.path,
            "params": self.route.parameters(self.path),
            "caller": self.request.principal,
        }
        host = canonical_host(self.request.host)
        return facts if host is None else facts | {"host": host}


class Router:
    """Finds the route of a request. Built once per configuration."""

    def __init__(self, routes: Iterable[Route], *, literal_semicolons: bool) -> None:
        self._routes = RouteTable(routes)
        self._literal_semicolons = literal_semicolons

    def find(self, request: RequestView, trace: Trace | None = None) -> Routed | Refusal:
        """The route, named by Envoy's configuration or found by host, path and method.

        Path and method must have one form on every route: rules and service must see the same.
        """
        path = canonical(request.path, literal_semicolons=self._literal_semicolons)
        if trace:
            trace.note(Step.PATH, request.path if isinstance(path, Refusal) else path)
        if isinstance(path, Refusal):
            return path
        if not METHOD.fullmatch(request.method):
            if trace:
                trace.note(Step.ROUTE, request, None)
            return Refusal(Reason.INVALID_METHOD)
        detail = ""
        if request.route is None:
            route = self._routes.find(request.host, path, request.method)
        else:
            route = self._routes.named(request.route)
            detail = "Envoy's context_extensions name a route that is not configured"
        if trace:
            trace.note(Step.ROUTE, request, route)
        return Routed(request, route, path) if route else Refusal(Reason.NO_ROUTE, detail)
