"""``routes`` of a gateway: which credentials they accept, and the grants of their tokens."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import Field

from sidecar.check.patterns import EVERY_NAME
from sidecar.config.problems import Finding, format_names
from sidecar.config.rules import Draft, rule
from sidecar.config.section import Section, written
from sidecar.config.sections.gateway.credentials import CredentialSection
from sidecar.config.sections.gateway.request_tokens import RequestTokens
from sidecar.config.sections.routes import RouteAllow, RouteSection
from sidecar.config.values import Name, Pattern, Scope, Text
from sidecar.mint.settings import Grant


class RouteToken(Section):
    """The audiences of the tokens of a route, and what they carry."""

    audiences: tuple[Text, ...] = Field(
        min_length=1, description="Whom they are for: audiences of `request_tokens`."
    )
    scopes: tuple[Scope, ...] = written(
        (),
        "The scopes they may carry, where the credential has them; without it, all "
        "that the audiences know.",
        min_length=1,
    )
    roles: tuple[Pattern, ...] = written(
        (EVERY_NAME,),
        "The roles they carry, by name or pattern as in `attributes`, where the credential has "
        "them. The rules of the route see all that the credential may bring.",
        min_length=1,
    )
    groups: tuple[Pattern, ...] = written(
        (EVERY_NAME,), "The groups they carry, in the same way.", min_length=1
    )

    def settings(self, declared: Mapping[str, tuple[str, ...]]) -> Grant:
        """The grant. ``declared`` are the audiences of ``request_tokens``, each with its scopes."""
        known = frozenset(scope for name in self.audiences for scope in declared[name])
        return Grant(self.audiences, frozenset(self.scopes) or known, self.roles, self.groups)


class GatewayAllow(RouteAllow):
    """What a route requires of a request. All rules that are written must hold."""

    credentials: tuple[Name, ...] = written(
        (), "The credentials that are accepted, by name; without it, any.", min_length=1
    )


class GatewayRoute(RouteSection):
    """A rule, and the requests it is for."""

    allow: GatewayAllow = Field(description="What it asks of them.")
    token: RouteToken | None = written(
        None, "What the token is good for that the service gets; needed unless the route is public."
    )

    def findings(self) -> Iterator[Finding]:
        """A route has a token if and only if it is not public."""
        yield from super().findings()
        if self.allow.public and self.token is not None:
            text = (
                "a public route looks at no credential, so there is nobody a token could be about; "
                "leave token out, or write optional in place of public"
            )
            yield Finding(("token",), text)
        elif not self.allow.public and self.token is None:
            text = (
                'the key "token" is missing: whom is the token for that the service gets? write '
                "token: {audiences: [...]}"
            )
            yield Finding((), text)


@rule("request_tokens")
def _tokens_stay_within_bounds(draft: Draft) -> Iterator[Finding]:
    declared = draft.section("request_tokens", RequestTokens).audiences
    for here, item in draft.items("routes", GatewayRoute):
        if item.token is None:
            continue
        for index, audience in enumerate(item.token.audiences):
            if audience not in declared:
                text = (
                    f'"{audience}" is not among the audiences of request_tokens; declare it there, '
                    f"or write one of: {format_names(declared)}"
                )
                yield Finding((*here, "token", "audiences", index), text)
        known = {scope for name in item.token.audiences for scope in declared.get(name, ())}
        for index, scope in enumerate(item.token.scopes):
            if scope not in known and all(name in declared for name in item.token.audiences):
                text = (
                    f"none of the token's audiences knows the scope {scope}; known: "
                    f"{format_names(sorted(known)) or 'none'}"
                )
                yield Finding((*here, "token", "scopes", index), text)


@rule("credentials")
def _credentials_are_there(draft: Draft) -> Iterator[Finding]:
    credentials = [each for _, each in draft.items("credentials", CredentialSection)]
    exchange_only = {each.name for each in credentials if each.exchange_only}
    names = [each.name for each in credentials if not each.exchange_only]
    for here, item in draft.items("routes", GatewayRoute):
        for index, name in enumerate(item.allow.credentials):
            place = (*here, "allow", "credentials", index)
            if name in exchange_only:
                text = f'"{name}" only buys a session, and no request has it; name the session'
                yield Finding(place, text)
            elif name not in names:
                text = f'no credential is called "{name}"; accepted: {format_names(names)}'
                yield Finding(place, text)


@rule("credentials", "routes")
def _credentials_are_needed(draft: Draft) -> Iterator[Finding]:
    routes = draft.items("routes", GatewayRoute)
    credentials = draft.items("credentials", CredentialSection)
    if not credentials and not all(item.allow.public for _, item in routes):
        text = "a client could bring nothing; write at least one, or make every route public"
        yield Finding(("credentials",), text)


GATEWAY_ROUTE_RULES: Final = (
    _tokens_stay_within_bounds,
    _credentials_are_there,
    _credentials_are_needed,
)
