"""The rules and doubts about ``attributes``: what each credential may bring, and who reads it."""

import re
from collections.abc import Iterator
from typing import Final

from sidecar.check.patterns import matches_any
from sidecar.check.trust import ClaimPath
from sidecar.config.problems import Location
from sidecar.config.rules import Draft, Finding, Rule, listed
from sidecar.config.sections.gateway.credential_rules import credentials
from sidecar.config.sections.gateway.credentials import Credential
from sidecar.config.sections.gateway.root import Gateway
from sidecar.gateway.identities import ALWAYS_BROUGHT
from sidecar.gateway.settings import EVERY_NAME
from sidecar.session.tokens import OWN_CLAIMS

# How and when the subject was authenticated (RFC 9068 §2.2.1), which request tokens always say.
_AUTHENTICATION: Final = frozenset({"acr", "amr", "auth_time"})
_LISTS: Final = ("roles", "groups")
# RFC 8693 §4.1 and §4.4, RFC 7800 §3.1: who acts, who may, and who holds a key is proved here.
_NEVER_BROUGHT: Final = frozenset({"act", "may_act", "cnf"})
_READ_BY_CONDITION: Final = re.compile(
    r"""\bclaims(?:\.([A-Za-z_][A-Za-z0-9_]*)|\[\s*["']([^"'\\]+)["']\s*\])"""
)


def _a_session_has_those_of_its_credential(draft: Draft[Gateway]) -> Iterator[Finding]:
    for here, credential in credentials(draft):
        if credential.session is not None and "attributes" in credential.model_fields_set:
            text = (
                "a session has what the credential it was issued for might bring; leave "
                "attributes out"
            )
            yield Finding((*here, "attributes"), text)


def _claims_can_be_brought(draft: Draft[Gateway]) -> Iterator[Finding]:
    for here, credential in credentials(draft):
        for index, path in enumerate(credential.attributes.claims):
            if path[0] in ALWAYS_BROUGHT:
                text = f"every credential brings {path[0]}; leave it out"
            elif path[0] in _LISTS:
                text = f"name the {path[0]} themselves, under {path[0]}; leave this out"
            elif path[0] in _NEVER_BROUGHT:
                text = f"no credential may bring {path[0]}; leave it out"
            else:
                continue
            yield Finding((*here, "attributes", "claims", index), text)


def _claims_are_read(draft: Draft[Gateway]) -> Iterator[Finding]:
    if draft.bad & {"credentials", "request_tokens", "routes"}:
        return
    read = [*((name,) for name in _AUTHENTICATION), *(path for _, path in _read(draft.root))]
    for here, credential in credentials(draft):
        for index, path in enumerate(credential.attributes.claims):
            unknown = path[0] not in ALWAYS_BROUGHT | _NEVER_BROUGHT | frozenset(_LISTS)
            if unknown and not any(_overlap(path, other) for other in read):
                text = (
                    f"nothing reads {'.'.join(path)}; write acr, amr, auth_time, a source of "
                    "request_tokens.claims, one of a session's claims or one that a condition "
                    "reads, or leave it out"
                )
                yield Finding((*here, "attributes", "claims", index), text)


def doubts(gateway: Gateway) -> Iterator[Finding]:
    """What is declared too widely, and what is read and declared nowhere."""
    for index, each in enumerate(gateway.credentials):
        here = ("credentials", index)
        yield from _everything_of_a_partner(here, each)
        yield from _lists_that_are_dropped(gateway, here, each)
    yield from _claims_nobody_brings(gateway)
    yield from _names_nobody_brings(gateway)


def _everything_of_a_partner(here: Location, credential: Credential) -> Iterator[Finding]:
    """An issuer whose subjects are told apart, and whose roles or groups are not."""
    for name in _LISTS:
        if credential.subject_prefix and EVERY_NAME in getattr(credential.attributes, name):
            text = (
                f"subject_prefix tells its subjects from others, and nothing tells its {name} from "
                "those of your own; name the ones it may bring"
            )
            yield Finding((*here, "attributes", name), text)


def _lists_that_are_dropped(
    gateway: Gateway, here: Location, credential: Credential
) -> Iterator[Finding]:
    """A claim that is said to hold roles or groups, none of which the credential may bring."""
    entries = {entry.name: (number, entry) for number, entry in enumerate(gateway.trust)}
    for name in _LISTS:
        if getattr(credential.attributes, name):
            continue
        places: list[Location] = []
        asked = credential.introspection
        if asked is not None and f"{name}_claim" in asked.model_fields_set:
            places.append((*here, "introspection", f"{name}_claim"))
        for number, entry in map(
            entries.__getitem__, credential.jwt.trust if credential.jwt else ()
        ):
            if f"{name}_claim" in entry.model_fields_set:
                places.append(("trust", number, f"{name}_claim"))
        for place in places:
            text = (
                f'the {name} found here are dropped, because "{credential.name}" may bring none; '
                f"list them in its attributes, or leave {name}_claim out"
            )
            yield Finding(place, text)


def _claims_nobody_brings(gateway: Gateway) -> Iterator[Finding]:
    brought = [path for each in gateway.credentials for path in each.attributes.claims]
    known = {*ALWAYS_BROUGHT, *_LISTS}
    if any(each.session for each in gateway.credentials):
        known |= OWN_CLAIMS
    for place, path in _read(gateway):
        if path[0] not in known and not any(_overlap(path, other) for other in brought):
            text = f"no credential may bring {'.'.join(path)}; "
            possible = path[0] not in _NEVER_BROUGHT
            text += "list it in the attributes of those that may" if possible else "leave it out"
            yield Finding(place, text)


def _names_nobody_brings(gateway: Gateway) -> Iterator[Finding]:
    """A route that asks for roles or groups of which no credential may bring one."""
    for name, asked in (("roles", "any_role"), ("groups", "any_group")):
        patterns = tuple(
            pattern for each in gateway.credentials for pattern in getattr(each.attributes, name)
        )
        for index, item in enumerate(gateway.routes):
            wanted = getattr(item.allow, asked)
            met = EVERY_NAME in patterns or any(matches_any(patterns, each) for each in wanted)
            if wanted and not met:
                text = (
                    f"no credential may bring any of: {listed(wanted)}; list them in the "
                    "attributes of those that may"
                )
                yield Finding(("routes", index, "allow", asked), text)


def _read(gateway: Gateway) -> Iterator[tuple[Location, ClaimPath]]:
    """The claims of credentials that something reads, and where."""
    for name, path in gateway.request_tokens.claims.items():
        yield ("request_tokens", "claims", name), path
    for index, each in enumerate(gateway.credentials):
        for number, name in enumerate(each.session.claims if each.session else ()):
            yield ("credentials", index, "session", "claims", number), (name,)
    for index, item in enumerate(gateway.routes):
        if item.allow.when is not None:
            for found in _READ_BY_CONDITION.finditer(item.allow.when.expression):
                yield ("routes", index, "allow", "when"), (found[1] or found[2],)


def _overlap(one: ClaimPath, other: ClaimPath) -> bool:
    """Whether one of two claims is the other, or in it."""
    return all(first == second for first, second in zip(one, other, strict=False))


RULES: Final[tuple[Rule[Gateway], ...]] = (
    _a_session_has_those_of_its_credential,
    _claims_can_be_brought,
    _claims_are_read,
)
