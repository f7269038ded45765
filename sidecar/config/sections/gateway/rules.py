"""The rules between values that hold for a gateway alone."""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from sidecar.check.identity import folded
from sidecar.config import rules as semantics
from sidecar.config.problems import Location
from sidecar.config.rules import Draft, Finding, Rule, carriers, listed
from sidecar.config.sections import key_rules
from sidecar.config.sections.gateway import attributes as attribute_rules
from sidecar.config.sections.gateway import credential_rules
from sidecar.config.sections.gateway.build import request_timings
from sidecar.config.sections.gateway.root import Gateway, RequestTokens
from sidecar.config.sections.keys import InVault, Reached
from sidecar.errors import ConfigurationFault
from sidecar.model import TokenKind

# What a token says by its own rules (RFC 9068 §2.2, RFC 8693 §4, RFC 7800 §3.1) and what services
# would take for it.
_NOT_COPIED: Final = frozenset(
    {
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "client_id", "txn", "cnf"),
        *("scope", "groups", "roles", "act", "may_act", "auth_time", "acr", "amr", "status", "wf"),
    }
)
# The gateway takes away what a client sends in these, whatever is configured.
_ALWAYS_STRIPPED: Final = frozenset({"authorization", "txn-token"})


def _no_request_tokens_at_the_front_door(draft: Draft[Gateway]) -> Iterator[Finding]:
    for here, trust in draft.trust:
        if trust.kind is TokenKind.REQUEST:
            text = (
                "a gateway accepts no request tokens: it makes them; write kind: external, or "
                "workload"
            )
            yield Finding((*here, "kind"), text)
        if "issuer" not in draft.bad and trust.issuer == draft.root.issuer:
            text = (
                "this is the gateway itself: it would accept its own request tokens at the front "
                "door, and a stolen one would buy the next; leave the entry out"
            )
            yield Finding((*here, "issuer"), text)


def _credentials_are_needed(draft: Draft[Gateway]) -> Iterator[Finding]:
    if draft.root.credentials or draft.bad & {"credentials", "routes"}:
        return
    if not all(item.allow.public for item in draft.root.routes):
        text = "a client could bring nothing; write at least one, or make every route public"
        yield Finding(("credentials",), text)


def _routes_name_credentials(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "credentials" in draft.bad:
        return
    only_exchanged = {each.name for each in draft.root.credentials if each.exchange_only}
    names = [each.name for each in draft.root.credentials if not each.exchange_only]
    for here, item in draft.located("routes", draft.root.routes):
        for index, name in enumerate(item.allow.credentials):
            place = (*here, "allow", "credentials", index)
            if name in only_exchanged:
                text = f'"{name}" only buys a session, and no request has it; name the session'
                yield Finding(place, text)
            elif name not in names:
                text = f'no credential is called "{name}"; accepted: {listed(names)}'
                yield Finding(place, text)


def _tokens_go_with_credentials(draft: Draft[Gateway]) -> Iterator[Finding]:
    for here, item in draft.located("routes", draft.root.routes):
        if item.allow.public and item.token is not None:
            text = (
                "a public route looks at no credential, so there is nobody a token could be about; "
                "leave token out, or write optional in place of public"
            )
            yield Finding((*here, "token"), text)
        elif not item.allow.public and item.token is None:
            text = (
                'the key "token" is missing: whom is the token for that the service gets? write '
                "token: {audiences: [...]}"
            )
            yield Finding(here, text)


def _audiences_are_services(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "request_tokens" in draft.bad:
        return
    for name in draft.root.request_tokens.audiences:
        here = ("request_tokens", "audiences", name)
        if "*" in name:
            text = "an audience is one service, and no pattern; name each"
            yield Finding(here, text)
        elif "issuer" not in draft.bad and name == draft.root.issuer:
            text = (
                "the gateway itself is no audience of request tokens: what is for it, is a "
                "session; name the services"
            )
            yield Finding(here, text)


def _tokens_stay_within_bounds(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "request_tokens" in draft.bad:
        return
    declared = draft.root.request_tokens.audiences
    for here, item in draft.located("routes", draft.root.routes):
        if item.token is None:
            continue
        for index, audience in enumerate(item.token.audiences):
            if audience not in declared:
                text = (
                    f'"{audience}" is not among the audiences of request_tokens; declare it there, '
                    f"or write one of: {listed(declared)}"
                )
                yield Finding((*here, "token", "audiences", index), text)
        known = {scope for name in item.token.audiences for scope in declared.get(name, ())}
        for index, scope in enumerate(item.token.scopes):
            if scope not in known and all(name in declared for name in item.token.audiences):
                text = (
                    f"none of the token's audiences knows the scope {scope}; known: "
                    f"{listed(sorted(known)) or 'none'}"
                )
                yield Finding((*here, "token", "scopes", index), text)


def _claims_are_not_the_tokens_own(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "request_tokens" in draft.bad:
        return
    for name in draft.root.request_tokens.claims:
        if name in _NOT_COPIED:
            text = (
                f"{name} is set by the gateway's own rules and copied from nowhere; give the "
                "claim another name"
            )
            yield Finding(("request_tokens", "claims", name), text)


def _token_times_fit(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "request_tokens" in draft.bad:
        return
    tokens = draft.root.request_tokens
    if tokens.reuse >= tokens.lifetime:
        text = "reuse is not shorter than lifetime: a reused token would have expired; write less"
        yield Finding(("request_tokens", "reuse"), text)
    try:
        request_timings(tokens)
    except ConfigurationFault as fault:
        here = ("request_tokens", "keys", tokens.keys.chosen, "rotate")
        yield Finding(here, f"rotate does not go with the other times; {fault}")


def _vault_is_reached_safely(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "request_tokens" in draft.bad:
        return
    for here, server, reached in _vaults(draft.root.request_tokens):
        yield from key_rules.https(
            (*here, "address"), server.address, reached, "could sign with the login"
        )
        yield from key_rules.private_key_alone(here, reached)


def _vaults(tokens: RequestTokens) -> Iterator[tuple[Location, InVault, Reached]]:
    for ring in (tokens.keys.transit, tokens.keys.ephemeral):
        if ring is not None:
            yield ("request_tokens", "keys", tokens.keys.chosen), ring, ring


def _stripped_headers_carry_nothing(draft: Draft[Gateway]) -> Iterator[Finding]:
    if draft.bad & {"strip", "credentials"}:
        return
    carrying = carriers(draft.root.credentials) - _ALWAYS_STRIPPED
    stripped = [(("strip", index), name) for index, name in enumerate(draft.root.strip)]
    yield from semantics.headers_are_distinct(draft, stripped)
    for here, name in stripped:
        if folded(name) in _ALWAYS_STRIPPED:
            yield Finding(
                here, f"what a client sends in {name} goes no further anyway; leave it out"
            )
        elif folded(name) in carrying:
            text = f"{name} carries a credential, which goes no further anyway; leave it out"
            yield Finding(here, text)


def _listeners_are_apart(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "listen" in draft.bad:
        return
    listen = draft.root.listen
    ends = [("metrics", listen.metrics), ("admin", listen.admin), ("internal", listen.internal)]
    for (first, one), (second, other) in combinations(ends, 2):
        if one is None or other is None or one.port != other.port or one.port == 0:
            continue
        text = f"{first} listens on port {one.port} already; give {second} one of its own"
        yield Finding(("listen", second), text)


RULES: Final[tuple[Rule[Gateway], ...]] = (
    *semantics.RULES,
    *key_rules.RULES,
    *credential_rules.RULES,
    *attribute_rules.RULES,
    _no_request_tokens_at_the_front_door,
    _credentials_are_needed,
    _routes_name_credentials,
    _tokens_go_with_credentials,
    _audiences_are_services,
    _tokens_stay_within_bounds,
    _claims_are_not_the_tokens_own,
    _token_times_fit,
    _vault_is_reached_safely,
    _stripped_headers_carry_nothing,
    _listeners_are_apart,
)
