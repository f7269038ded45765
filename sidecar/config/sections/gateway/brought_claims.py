"""Compares the claims that credentials may bring with those that something reads.

A claim that only one of the two sides names is a mistake.
"""

from collections.abc import Iterator
from typing import Final

from sidecar.check.patterns import EVERY_NAME, matches_any, matching
from sidecar.check.trust import ClaimPath
from sidecar.config.problems import Finding, Location, format_names
from sidecar.config.rules import Draft, rule
from sidecar.config.section import Section
from sidecar.config.sections.gateway.attributes import LISTS, NEVER_BROUGHT
from sidecar.config.sections.gateway.credentials import CredentialSection
from sidecar.config.sections.gateway.request_tokens import RequestTokens
from sidecar.config.sections.gateway.routes import GatewayRoute
from sidecar.config.sections.trust import Trust
from sidecar.gateway.identities import ALWAYS_BROUGHT
from sidecar.session.tokens import OWN_CLAIMS

# How and when the subject was authenticated (RFC 9068 §2.2.1): always copied to request tokens.
_AUTHENTICATION: Final = frozenset({"acr", "amr", "auth_time"})


@rule("credentials", "request_tokens", "routes")
def claims_are_read(draft: Draft) -> Iterator[Finding]:
    """Something reads each claim that a credential may bring."""
    read = [*((name,) for name in _AUTHENTICATION), *(path for _, path in _read(draft))]
    for here, credential in draft.items("credentials", CredentialSection):
        for index, path in enumerate(credential.attributes.claims):
            unknown = path[0] not in ALWAYS_BROUGHT | NEVER_BROUGHT | frozenset(LISTS)
            if unknown and not any(_overlap(path, other) for other in read):
                text = (
                    f"nothing reads {'.'.join(path)}; write acr, amr, auth_time, a source of "
                    "request_tokens.claims, one of a session's claims or one that a condition "
                    "reads, or leave it out"
                )
                yield Finding((*here, "attributes", "claims", index), text)


@rule()
def lists_are_dropped(draft: Draft) -> Iterator[Finding]:
    """A claim is configured for roles or groups, none of which the credential may bring."""
    entries = {entry.name: (here, entry) for here, entry in draft.items("trust", Trust)}
    for here, credential in draft.items("credentials", CredentialSection):
        claims: list[tuple[Location, Section]] = [entries[name] for name in credential.trusts]
        if credential.introspection is not None:
            claims.append(((*here, "introspection"), credential.introspection))
        for name in LISTS:
            key = f"{name}_claim"
            if getattr(credential.attributes, name):
                continue
            for place, section in claims:
                if key in section.model_fields_set:
                    text = (
                        f'the {name} found here are dropped, because "{credential.name}" may bring '
                        f"none; list them in its attributes, or leave {key} out"
                    )
                    yield Finding((*place, key), text)


@rule()
def claims_without_source(draft: Draft) -> Iterator[Finding]:
    """A claim that something reads and no credential may bring."""
    credentials = [each for _, each in draft.items("credentials", CredentialSection)]
    brought = [path for each in credentials for path in each.attributes.claims]
    known = {*ALWAYS_BROUGHT, *LISTS}
    if any(each.session for each in credentials):
        known |= OWN_CLAIMS
    for place, path in _read(draft):
        if path[0] not in known and not any(_overlap(path, other) for other in brought):
            text = f"no credential may bring {'.'.join(path)}; "
            possible = path[0] not in NEVER_BROUGHT
            text += "list it in the attributes of those that may" if possible else "leave it out"
            yield Finding(place, text)


@rule()
def names_without_source(draft: Draft) -> Iterator[Finding]:
    """A route that asks for roles or groups that no credential may bring."""
    credentials = [each for _, each in draft.items("credentials", CredentialSection)]
    for name, asked in (("roles", "any_role"), ("groups", "any_group")):
        patterns = tuple(
            pattern for each in credentials for pattern in getattr(each.attributes, name)
        )
        for here, item in draft.items("routes", GatewayRoute):
            wanted = getattr(item.allow, asked)
            met = EVERY_NAME in patterns or any(matches_any(patterns, each) for each in wanted)
            if wanted and not met:
                text = (
                    f"no credential may bring any of: {format_names(wanted)}; list them in the "
                    "attributes of those that may"
                )
                yield Finding((*here, "allow", asked), text)
            reads = item.allow.when.reads if item.allow.when is not None else ()
            if not patterns and any(read.path == (f"token.{name}",) for read in reads):
                text = (
                    f"no credential may bring {name}; list them in the attributes of those that may"
                )
                yield Finding((*here, "allow", "when"), text)
            carried = getattr(item.token, name) if item.token is not None else ()
            lost = [each for each in carried if "*" not in each and not matches_any(patterns, each)]
            if lost and EVERY_NAME not in patterns:
                text = (
                    f"no credential may bring: {format_names(lost)}; list them in the attributes "
                    "of those that may, or leave them out"
                )
                yield Finding((*here, "token", name), text)


@rule()
def names_that_sessions_drop(draft: Draft) -> Iterator[Finding]:
    """A route that asks for roles or groups of which a session keeps none."""
    credentials = [each for _, each in draft.items("credentials", CredentialSection)]
    for credential in credentials:
        for here, item in draft.items("routes", GatewayRoute):
            accepted = item.allow.credentials or (credential.name,)
            if credential.session is None or credential.name not in accepted:
                continue
            for name, asked in (("roles", "any_role"), ("groups", "any_group")):
                kept, wanted = getattr(credential.session, name), getattr(item.allow, asked)
                if wanted and not matching(kept, frozenset(wanted)):
                    text = (
                        f'a session of "{credential.name}" keeps none of: {format_names(wanted)}; '
                        f"add one to its {name}, or name the other credentials"
                    )
                    yield Finding((*here, "allow", asked), text)


@rule()
def issuers_under_any_name(draft: Draft) -> Iterator[Finding]:
    """An issuer of sessions whose answers may name another issuer."""
    if any(path[0] == "iss" for _, path in _read(draft)):
        for here, each in draft.items("credentials", CredentialSection):
            if each.introspection is not None and each.introspection.issuer is None:
                text = "its answers may name any issuer, and iss is read elsewhere; write issuer"
                yield Finding((*here, "introspection"), text)


def _read(draft: Draft) -> Iterator[tuple[Location, ClaimPath]]:
    """The claims of credentials that something reads, and where."""
    for name, path in draft.section("request_tokens", RequestTokens).claims.items():
        yield ("request_tokens", "claims", name), path
    for here, each in draft.items("credentials", CredentialSection):
        for number, name in enumerate(each.session.claims if each.session else ()):
            yield (*here, "session", "claims", number), (name,)
    for here, item in draft.items("routes", GatewayRoute):
        for key, asked in item.allow.rules().items():
            yield from (((*here, "allow", key), (name,)) for name in asked.claims)
        if item.allow.when is not None:
            read = [
                path[1] for path, *_ in item.allow.when.reads if path[0] == "claims" and path[1:]
            ]
            yield from (((*here, "allow", "when"), (name,)) for name in dict.fromkeys(read))


def _overlap(one: ClaimPath, other: ClaimPath) -> bool:
    """Whether one of two claims is the other, or in it."""
    return all(first == second for first, second in zip(one, other, strict=False))


CLAIM_WARNINGS: Final = (
    lists_are_dropped,
    claims_without_source,
    names_without_source,
    names_that_sessions_drop,
    issuers_under_any_name,
)
