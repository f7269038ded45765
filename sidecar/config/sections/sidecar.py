"""A sidecar's configuration: its own keys, in addition to those of both roles."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from sidecar.check.rules import DEFAULT_KINDS, TokenKinds
from sidecar.config.configuration import Configuration, LoadedFile
from sidecar.config.problems import Finding, format_names
from sidecar.config.rules import Draft, SectionRule, rule
from sidecar.config.section import written
from sidecar.config.sections.identity import IDENTITY_RULES, Identity
from sidecar.config.sections.root import RootSection
from sidecar.config.sections.routes import RouteAllow, RouteSection
from sidecar.config.sections.token_sources import TokenPlace, distinct_sources
from sidecar.config.sections.trust import Trust
from sidecar.config.values import format_value
from sidecar.model import TokenKind


def _role(value: object) -> object:
    """Refuses any other role. A file with ``role: gateway`` is read with its own model."""
    if value != "sidecar":
        raise ValueError(f"{format_value(value)} is not a role; write sidecar or gateway")
    return value


class SidecarAllow(RouteAllow):
    """What a route requires of a request. All rules that are written must hold."""

    tokens: tuple[TokenKind, ...] = written(
        (), "The kinds of token that are accepted; without it, `[request]`.", min_length=1
    )

    @property
    def kinds(self) -> frozenset[TokenKind]:
        """The kinds of token that are accepted, as written or by default."""
        return frozenset(self.tokens) or DEFAULT_KINDS


class SidecarRoute(RouteSection):
    """A rule, and the requests it is for."""

    allow: SidecarAllow = Field(description="What it asks of them.")


@rule("trust", "routes")
def _trust_is_needed(draft: Draft) -> Iterator[Finding]:
    routes = draft.items("routes", SidecarRoute)
    if not draft.items("trust", Trust) and not all(item.allow.public for _, item in routes):
        text = "no issuer is trusted; write at least one entry, or make every route public"
        yield Finding(("trust",), text)


@rule("trust")
def _kinds_are_provided(draft: Draft) -> Iterator[Finding]:
    provided = {trust.kind for _, trust in draft.items("trust", Trust)}
    for location, item in draft.items("routes", SidecarRoute):
        if item.allow.public or not provided:
            continue
        for kind in sorted(item.allow.kinds - provided, key=lambda kind: kind.value):
            default = "" if item.allow.tokens else " (which is what a route accepts by default)"
            text = (
                f"no trust entry is of kind {kind.value}{default}; add one, or name in tokens: "
                f"{format_names(sorted(kind.value for kind in provided))}"
            )
            yield Finding((*location, "allow", "tokens"), text)


@rule("token_sources")
def _token_sources(draft: Draft) -> Iterator[Finding]:
    return distinct_sources(draft, draft.items("token_sources", TokenPlace))


@rule()
def _nothing_is_denied(draft: Draft) -> Iterator[Finding]:
    if draft.section("mode", str) == "shadow":
        text = "mode is shadow: every request is let through, whatever is decided about it"
        yield Finding(("mode",), text)


class Sidecar(RootSection):
    """A sidecar's configuration."""

    role: Annotated[Literal["sidecar"], BeforeValidator(_role)] = Field(
        description="What the program does."
    )
    token_sources: tuple[TokenPlace, ...] = written(
        ({"header": "authorization", "scheme": "Bearer"},),
        "Where a request may carry its token. Two tokens in one request are refused.",
        min_length=1,
    )
    identity: Identity = Field(
        default_factory=Identity, description="How a verified identity is passed to the service."
    )
    routes: tuple[SidecarRoute, ...] = Field(
        description="The rules. The most specific match wins; without a match the request is "
        "denied."
    )
    mode: Literal["enforce", "shadow"] = written(
        "enforce",
        "In `shadow` mode denials are decided, logged and counted, and not enforced; no "
        "identity is passed on for them. A request above `limits`, or one that cannot be "
        "read, is refused even so. What Envoy refuses or answers itself, as the shipped "
        "configurations have it, never reaches the sidecar and stays as it is: a path with `%2F` "
        "or `%5C`, a header with an underscore in its name, a preflight. `sidecar test` and "
        "`sidecar check` decide as if enforced.",
    )

    rules: ClassVar[tuple[SectionRule, ...]] = (
        *RootSection.rules,
        *IDENTITY_RULES,
        _trust_is_needed,
        _kinds_are_provided,
        _token_sources,
    )
    warning_rules: ClassVar[tuple[SectionRule, ...]] = (
        *RootSection.warning_rules,
        _nothing_is_denied,
    )

    def settings(self, source: LoadedFile) -> Configuration:
        """The settings of the whole file."""
        routes = (item.settings(TokenKinds(item.allow.kinds)) for item in self.routes)
        check = self.check_settings(
            routes, self.identity.settings(), self.token_sources, shadow=self.mode == "shadow"
        )
        return self.configuration(source, check)
