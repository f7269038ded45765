"""A sidecar's configuration: its own keys, in addition to those of both roles."""

from collections.abc import Collection, Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from sidecar.check.rules import NamedTokens, TokenKinds
from sidecar.config.configuration import Configuration, LoadedFile
from sidecar.config.problems import Finding, format_names
from sidecar.config.rules import Draft, SectionRule, rule
from sidecar.config.section import written
from sidecar.config.sections.identity import IDENTITY_RULES, IDENTITY_WARNINGS, Identity
from sidecar.config.sections.root import RootSection
from sidecar.config.sections.routes import RouteAllow, RouteSection
from sidecar.config.sections.token_sources import TokenPlace, distinct_sources
from sidecar.config.sections.trust import Trust
from sidecar.config.values import AcceptedTokens, format_value
from sidecar.model import TokenKind


def _role(value: object) -> object:
    """Refuses any other role. A file with ``role: gateway`` is read with its own model."""
    if value != "sidecar":
        raise ValueError(f"{format_value(value)} is not a role; write sidecar or gateway")
    return value


class SidecarAllow(RouteAllow):
    """What a route requires of a request. All rules that are written must hold."""

    tokens: tuple[AcceptedTokens, ...] = written(
        (),
        "The kinds of token that are accepted; `external:NAME` accepts those of one trust entry. "
        "Without it, `request` where a trust entry is of that kind, or else `external` where "
        "there is one entry and it is external; anything else must be written. Beside `optional` "
        "it says which token a request may have, if it has one.",
        min_length=1,
    )

    def accepted(self, trust: Collection[Trust]) -> TokenKinds:
        """The tokens that are accepted under these trust entries, as written or by default."""
        named = frozenset(each for each in self.tokens if isinstance(each, NamedTokens))
        kinds = frozenset(each for each in self.tokens if isinstance(each, TokenKind))
        return TokenKinds(kinds if self.tokens else _default_kinds(trust), named)


def _default_kinds(trust: Collection[Trust]) -> frozenset[TokenKind]:
    """The kinds that a route accepts that names none; empty where it has to name them."""
    kinds = [entry.kind for entry in trust]
    if TokenKind.REQUEST in kinds:
        return frozenset({TokenKind.REQUEST})
    return frozenset(kinds) if kinds == [TokenKind.EXTERNAL] else frozenset()


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
def _tokens_are_provided(draft: Draft) -> Iterator[Finding]:
    trust = [entry for _, entry in draft.items("trust", Trust)]
    kinds = sorted({entry.kind.value for entry in trust})
    entries = {entry.name: NamedTokens(entry.kind, entry.name) for entry in trust}
    for location, item in draft.items("routes", SidecarRoute):
        here = (*location, "allow", "tokens")
        if item.allow.public or not trust:
            continue
        if not item.allow.tokens and not _default_kinds(trust):
            text = (
                'the key "tokens" is missing: no trust entry is of kind request, and none is '
                "external and the only one; write tokens, with those that are meant of: "
                f"{format_names([*kinds, *map(str, entries.values())])}"
            )
            yield Finding(here, text)
        for index, each in enumerate(item.allow.tokens):
            if isinstance(each, TokenKind):
                if each.value not in kinds:
                    text = (
                        f"no trust entry is of kind {each.value}; add one, or write one of: "
                        f"{format_names(kinds)}"
                    )
                    yield Finding((*here, index), text)
            elif entries.get(each.trust) != each:
                text = f'no trust entry of kind {each.kind.value} is called "{each.trust}"; '
                text += f"accepted: {format_names(map(str, entries.values()))}"
                yield Finding((*here, index), text)
            elif each.kind in item.allow.tokens:
                text = (
                    f"{each.kind.value} accepts the tokens of every such entry already; leave it "
                    f"out if {each} alone is meant, or leave this out"
                )
                yield Finding((*here, index), text)


@rule("token_sources")
def _token_sources(draft: Draft) -> Iterator[Finding]:
    return distinct_sources(draft, draft.items("token_sources", TokenPlace))


@rule()
def _subjects_of_one_issuer(draft: Draft) -> Iterator[Finding]:
    """Two entries of one issuer that take the subject from different claims."""
    entries = draft.items("trust", Trust)
    for index, (here, trust) in enumerate(entries):
        for at, other in entries[:index]:
            if trust.subject_claim != other.subject_claim and trust.has_issuers_of(other):
                text = (
                    f'its subjects are not those of "{other.name}" (line {draft.line(at)}), from '
                    f"the same issuer: the {'.'.join(trust.subject_claim)} of one person may be "
                    f"the {'.'.join(other.subject_claim)} of another; name one claim in both"
                )
                yield Finding((*here, "subject_claim"), text)
                break


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
        _tokens_are_provided,
        _token_sources,
    )
    warning_rules: ClassVar[tuple[SectionRule, ...]] = (
        *RootSection.warning_rules,
        *IDENTITY_WARNINGS,
        _subjects_of_one_issuer,
        _nothing_is_denied,
    )

    def settings(self, source: LoadedFile) -> Configuration:
        """The settings of the whole file."""
        routes = (item.settings(item.allow.accepted(self.trust)) for item in self.routes)
        check = self.check_settings(
            routes, self.identity.settings(), self.token_sources, shadow=self.mode == "shadow"
        )
        return self.configuration(source, check)
