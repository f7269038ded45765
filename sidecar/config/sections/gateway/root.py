"""A gateway's configuration: its own keys, in addition to those of both roles."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field

from sidecar.check.identity import folded
from sidecar.check.rules import Credentials, TokenKinds
from sidecar.config.addresses import IssuerUrl, Origin
from sidecar.config.configuration import Configuration, LoadedFile
from sidecar.config.header_names import IdentityHeader
from sidecar.config.key_files import ExaminedFiles, KeyFiles
from sidecar.config.problems import Finding
from sidecar.config.rules import Draft, SectionRule, rule
from sidecar.config.section import copied, written
from sidecar.config.sections.gateway.brought_claims import CLAIM_WARNINGS, claims_are_read
from sidecar.config.sections.gateway.credentials import (
    CREDENTIAL_RULES,
    CREDENTIAL_WARNINGS,
    CredentialSection,
)
from sidecar.config.sections.gateway.files import examine as examine_gateway
from sidecar.config.sections.gateway.listen import GatewayListen
from sidecar.config.sections.gateway.request_tokens import REQUEST_TOKEN_RULES, RequestTokens
from sidecar.config.sections.gateway.routes import GATEWAY_ROUTE_RULES, GatewayRoute
from sidecar.config.sections.gateway.subject_prefixes import subjects_carry_their_issuer
from sidecar.config.sections.identity import Identity
from sidecar.config.sections.root import RootSection
from sidecar.config.sections.routes import others_headers
from sidecar.config.sections.token_sources import carriers, spelt_once
from sidecar.config.sections.trust import Trust
from sidecar.gateway.settings import GatewaySettings, ServerTlsFiles
from sidecar.model import TokenKind

# The gateway removes these headers from every request, whatever is configured.
_ALWAYS_STRIPPED: Final = frozenset({"authorization", "txn-token"})


def _enforce(value: object) -> object:
    if value == "shadow":
        raise ValueError(
            "a gateway that lets everyone through has no token to give them, and behind it every "
            "request would be refused; leave mode out, and use shadow in the sidecars"
        )
    return value


@rule()
def _no_request_tokens_at_the_front_door(draft: Draft) -> Iterator[Finding]:
    for here, trust in draft.items("trust", Trust):
        if trust.kind is TokenKind.REQUEST:
            text = (
                "a gateway accepts no request tokens: it makes them; write kind: external, or "
                "workload"
            )
            yield Finding((*here, "kind"), text)


@rule("issuer")
def _the_gateway_is_not_trusted(draft: Draft) -> Iterator[Finding]:
    for here, trust in draft.items("trust", Trust):
        if trust.accepts(draft.section("issuer", str)):
            text = (
                "this is the gateway itself: it would accept its own request tokens at the front "
                "door, and a stolen one would buy the next; leave the entry out"
            )
            yield Finding((*here, trust.issuer_key), text)


@rule("strip", "credentials")
def _stripped_headers_carry_nothing(draft: Draft) -> Iterator[Finding]:
    credentials = [each for _, each in draft.items("credentials", CredentialSection)]
    carrying = carriers(credentials) - _ALWAYS_STRIPPED
    stripped = draft.items("strip", str)
    yield from spelt_once(draft, stripped)
    for here, name in stripped:
        if folded(name) in _ALWAYS_STRIPPED:
            yield Finding(
                here, f"what a client sends in {name} goes no further anyway; leave it out"
            )
        elif folded(name) in carrying:
            text = f"{name} carries a credential, which goes no further anyway; leave it out"
            yield Finding(here, text)


@rule("strip", "credentials")
def _conditions_read_other_headers(draft: Draft) -> Iterator[Finding]:
    credentials = [each for _, each in draft.items("credentials", CredentialSection)]
    stripped = [name for _, name in draft.items("strip", str)]
    return others_headers(draft, carriers(credentials), stripped)


class Gateway(RootSection):
    """A gateway's configuration."""

    role: Literal["gateway"] = Field(description="What the program does.")
    issuer: IssuerUrl = Field(description="The `iss` of its tokens: an https URL.")
    listen: GatewayListen = Field(default_factory=GatewayListen, description="Where it listens.")
    credentials: tuple[CredentialSection, ...] = Field(
        description="What a client may bring, in the order in which it is looked for. Two in one "
        "request are refused."
    )
    request_tokens: RequestTokens = Field(description="The tokens that services get.")
    routes: tuple[GatewayRoute, ...] = Field(
        description="The rules. The most specific match wins; without a match the request is "
        "denied."
    )
    origins: tuple[Origin, ...] = written(
        (), "The origins besides the request's own whose pages may change something with a cookie."
    )
    strip: tuple[IdentityHeader, ...] = written((), "Further headers that a client may not send.")
    mode: Annotated[Literal["enforce"], BeforeValidator(_enforce)] = written(
        "enforce", "A gateway enforces; `shadow` is for sidecars."
    )

    lists: ClassVar[tuple[str, ...]] = ("trust", "routes", "credentials")
    rules: ClassVar[tuple[SectionRule, ...]] = (
        *RootSection.rules,
        *CREDENTIAL_RULES,
        *REQUEST_TOKEN_RULES,
        *GATEWAY_ROUTE_RULES,
        claims_are_read,
        subjects_carry_their_issuer,
        _no_request_tokens_at_the_front_door,
        _the_gateway_is_not_trusted,
        _stripped_headers_carry_nothing,
        _conditions_read_other_headers,
    )
    warning_rules: ClassVar[tuple[SectionRule, ...]] = (
        *RootSection.warning_rules,
        *CREDENTIAL_WARNINGS,
        *CLAIM_WARNINGS,
    )

    @classmethod
    def examine(cls, draft: Draft, expectation: KeyFiles) -> ExaminedFiles:
        """In addition to the files of trust entries: rings, TLS files and secrets."""
        return examine_gateway(draft, super().examine(draft, expectation), expectation)

    def settings(self, source: LoadedFile) -> Configuration:
        """The settings of the whole file."""
        kinds = TokenKinds(frozenset({TokenKind.EXTERNAL, TokenKind.WORKLOAD}))
        check = self.check_settings(
            (item.settings(kinds, *_accepted(item)) for item in self.routes),
            Identity(strip=self.strip, forward_token=False).settings(),
            self.credentials,
        )
        tokens, tls, proxy = self.request_tokens, self.listen.internal_tls, self.proxy_settings()
        claims = [path[0] for path in tokens.claims.values()]
        gateway = copied(
            GatewaySettings,
            self,
            credentials=tuple(
                each.settings(self.issuer, self.limits.token_bytes, claims, proxy)
                for each in self.credentials
            ),
            request_tokens=tokens.settings(self.issuer),
            request_ring=tokens.keys.settings(tokens.timings(), proxy),
            grants={
                item.name: item.token.settings(tokens.audiences)
                for item in self.routes
                if item.token is not None
            },
            subject_prefixes={each.name: each.subject_prefix for each in self.credentials},
            attributes={
                each.name: None if each.session else each.attributes.settings()
                for each in self.credentials
            },
            exchange_only=frozenset(each.name for each in self.credentials if each.exchange_only),
            internal_tls=copied(ServerTlsFiles, tls) if tls else None,
        )
        return self.configuration(source, check, gateway, self.listen.internal)


def _accepted(item: GatewayRoute) -> Iterator[Credentials]:
    """The rule for a route's ``credentials``; none where any credential is accepted."""
    if item.allow.credentials:
        yield Credentials(frozenset(item.allow.credentials))
