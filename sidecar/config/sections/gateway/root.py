"""A gateway's configuration: what it has besides what both roles have."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field

from sidecar.check.identity import IdentitySettings, folded
from sidecar.check.rules import Issuers, TokenKinds
from sidecar.config.addresses import IssuerUrl, Origin
from sidecar.config.configuration import Configuration, LoadedFile
from sidecar.config.key_files import ExaminedFiles, KeyFiles
from sidecar.config.problems import Finding, format_names
from sidecar.config.rules import Draft, Items, SectionRule, rule
from sidecar.config.section import copied, written
from sidecar.config.sections.gateway import attributes
from sidecar.config.sections.gateway.credentials import (
    CredentialSection,
    distinct_names,
    one_session,
    sessions_are_issued_for_others,
    trust_is_there,
    trust_is_used_once,
)
from sidecar.config.sections.gateway.files import examine as examine_gateway
from sidecar.config.sections.gateway.listen import GatewayListen
from sidecar.config.sections.gateway.request_tokens import RequestTokens
from sidecar.config.sections.gateway.routes import GatewayRoute, tokens_within
from sidecar.config.sections.root import RULES, RootSection
from sidecar.config.sections.token_sources import carriers, distinct_sources, spelt_once
from sidecar.config.values import IdentityHeader
from sidecar.gateway.settings import GatewaySettings, ServerTlsFiles
from sidecar.model import TokenKind

# The gateway takes away what a client sends in these, whatever is configured.
_ALWAYS_STRIPPED: Final = frozenset({"authorization", "txn-token"})


def _enforce(value: object) -> object:
    if value == "shadow":
        raise ValueError(
            "a gateway that lets everyone through has no token to give them, and behind it every "
            "request would be refused; leave mode out, and use shadow in the sidecars"
        )
    return value


@rule()
def _no_request_tokens_at_the_front_door(draft: "Draft[Gateway]") -> Iterator[Finding]:
    for here, trust in draft.located("trust", draft.root.trust):
        if trust.kind is TokenKind.REQUEST:
            text = (
                "a gateway accepts no request tokens: it makes them; write kind: external, or "
                "workload"
            )
            yield Finding((*here, "kind"), text)


@rule("issuer")
def _the_gateway_is_not_trusted(draft: "Draft[Gateway]") -> Iterator[Finding]:
    for here, trust in draft.located("trust", draft.root.trust):
        if trust.issuer == draft.root.issuer:
            text = (
                "this is the gateway itself: it would accept its own request tokens at the front "
                "door, and a stolen one would buy the next; leave the entry out"
            )
            yield Finding((*here, "issuer"), text)


@rule("issuer", "request_tokens")
def _the_gateway_is_no_audience(draft: "Draft[Gateway]") -> Iterator[Finding]:
    if draft.root.issuer in draft.root.request_tokens.audiences:
        text = (
            "the gateway itself is no audience of request tokens: what is for it, is a "
            "session; name the services"
        )
        yield Finding(("request_tokens", "audiences", draft.root.issuer), text)


@rule()
def _credentials(draft: "Draft[Gateway]") -> Iterator[Finding]:
    each = draft.located("credentials", draft.root.credentials)
    yield from distinct_names(draft, each, draft.located("trust", draft.root.trust))
    yield from distinct_sources(draft, each)
    yield from one_session(draft, each)


@rule("trust")
def _trust_is_there(draft: "Draft[Gateway]") -> Iterator[Finding]:
    each = draft.located("credentials", draft.root.credentials)
    return trust_is_there(each, draft.root.trust)


@rule("credentials")
def _credentials_are_used(draft: "Draft[Gateway]") -> Iterator[Finding]:
    each = draft.located("credentials", draft.root.credentials)
    yield from trust_is_used_once(draft, each, draft.located("trust", draft.root.trust))
    yield from sessions_are_issued_for_others(each)


@rule("credentials", "routes")
def _credentials_are_needed(draft: "Draft[Gateway]") -> Iterator[Finding]:
    if not draft.root.credentials and not all(item.allow.public for item in draft.root.routes):
        text = "a client could bring nothing; write at least one, or make every route public"
        yield Finding(("credentials",), text)


@rule("credentials")
def _routes_name_credentials(draft: "Draft[Gateway]") -> Iterator[Finding]:
    only_exchanged = {each.name for each in draft.root.credentials if each.exchange_only}
    names = [each.name for each in draft.root.credentials if not each.exchange_only]
    for here, item in draft.located("routes", draft.root.routes):
        for index, name in enumerate(item.allow.credentials):
            place = (*here, "allow", "credentials", index)
            if name in only_exchanged:
                text = f'"{name}" only buys a session, and no request has it; name the session'
                yield Finding(place, text)
            elif name not in names:
                text = f'no credential is called "{name}"; accepted: {format_names(names)}'
                yield Finding(place, text)


@rule("request_tokens")
def _tokens_of_routes(draft: "Draft[Gateway]") -> Iterator[Finding]:
    routes = draft.located("routes", draft.root.routes)
    return tokens_within(routes, draft.root.request_tokens.audiences)


@rule("credentials", "request_tokens", "routes")
def _claims_are_read(draft: "Draft[Gateway]") -> Iterator[Finding]:
    return attributes.claims_are_read(draft.root)


@rule("strip", "credentials")
def _stripped_headers_carry_nothing(draft: "Draft[Gateway]") -> Iterator[Finding]:
    carrying = carriers(draft.root.credentials) - _ALWAYS_STRIPPED
    stripped: Items[str] = [(("strip", index), name) for index, name in enumerate(draft.root.strip)]
    yield from spelt_once(draft, stripped)
    for here, name in stripped:
        if folded(name) in _ALWAYS_STRIPPED:
            yield Finding(
                here, f"what a client sends in {name} goes no further anyway; leave it out"
            )
        elif folded(name) in carrying:
            text = f"{name} carries a credential, which goes no further anyway; leave it out"
            yield Finding(here, text)


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
        *RULES,
        _no_request_tokens_at_the_front_door,
        _the_gateway_is_not_trusted,
        _the_gateway_is_no_audience,
        _credentials,
        _trust_is_there,
        _credentials_are_used,
        _credentials_are_needed,
        _routes_name_credentials,
        _tokens_of_routes,
        _claims_are_read,
        _stripped_headers_carry_nothing,
    )

    def warnings(self) -> Iterator[Finding]:
        """Besides those of both roles: subjects and attributes that are mixed up or lost."""
        yield from super().warnings()
        yield from _subjects_that_look_alike(self)
        yield from attributes.warnings(self)

    @classmethod
    def examine(cls, draft: "Draft[Self]", expectation: KeyFiles) -> ExaminedFiles:
        """Besides the files of trust entries: the keys that sign and seal, TLS, and secrets."""
        return examine_gateway(draft, super().examine(draft, expectation), expectation)

    def settings(self, source: LoadedFile) -> Configuration:
        """What becomes of the file."""
        kinds = TokenKinds(frozenset({TokenKind.EXTERNAL, TokenKind.WORKLOAD}))
        check = self.check_settings(
            (item.settings(kinds, *self._issuers_of(item)) for item in self.routes),
            IdentitySettings(strip=self.strip, forward_token=False),
            self.credentials,
        )
        tokens, tls = self.request_tokens, self.listen.internal_tls
        claims = [path[0] for path in tokens.claims.values()]
        gateway = copied(
            GatewaySettings,
            self,
            credentials=tuple(
                each.settings(self.issuer, self.limits.token_bytes, claims)
                for each in self.credentials
            ),
            request_tokens=tokens.settings(self.issuer),
            request_ring=tokens.keys.settings(tokens.timings()),
            grants={
                item.name: item.token.settings(tokens.audiences)
                for item in self.routes
                if item.token is not None
            },
            prefixes={each.name: each.subject_prefix for each in self.credentials},
            attributes={
                each.name: None if each.session else each.attributes.settings()
                for each in self.credentials
            },
            only_exchanged=frozenset(each.name for each in self.credentials if each.exchange_only),
            origins=frozenset(self.origins),
            internal_tls=copied(ServerTlsFiles, tls) if tls else None,
        )
        return self.configuration(source, check, gateway, self.listen.internal)

    def _issuers_of(self, item: GatewayRoute) -> Iterator[Issuers]:
        """Whose tokens a route's ``credentials`` stand for; no rule where any will do."""
        named = [each for each in self.credentials if each.name in item.allow.credentials]
        if named:
            yield Issuers(frozenset(name for each in named for name in each.trusts or (each.name,)))


def _subjects_that_look_alike(gateway: "Gateway") -> Iterator[Finding]:
    """Credentials of several issuers whose subjects are told apart by nothing."""
    issuers = {trust.name: trust.issuer for trust in gateway.trust}
    owners: dict[str, tuple[str, str]] = {}
    for index, each in enumerate(gateway.credentials):
        found: tuple[str, ...] = ()
        if each.jwt is not None:
            found = tuple(issuers[name] for name in each.trusts)
        elif each.introspection is not None:
            found = (each.introspection.issuer or each.introspection.url,)
        for issuer in dict.fromkeys(found):
            other, name = owners.setdefault(each.subject_prefix, (issuer, each.name))
            if other != issuer:
                whose = "itself" if name == each.name else f'"{name}"'
                text = (
                    f"its subjects come from {issuer} and those of {whose} from {other}, and "
                    "nothing tells them apart; give each a subject_prefix of its own if one could "
                    "be in both"
                )
                yield Finding(("credentials", index, "name"), text)
                break
