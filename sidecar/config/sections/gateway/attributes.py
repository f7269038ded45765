"""``credentials[].attributes``: what a credential may bring, and who reads it."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sidecar.check.patterns import matches_any
from sidecar.check.trust import ClaimPath
from sidecar.config.problems import Finding, Location, format_names
from sidecar.config.section import Section, copied, written
from sidecar.config.values import Claim, Pattern
from sidecar.gateway.identities import ALWAYS_BROUGHT
from sidecar.gateway.settings import EVERY_NAME, Attributes
from sidecar.session.tokens import OWN_CLAIMS

if TYPE_CHECKING:  # both are made of attributes
    from sidecar.config.sections.gateway.credentials import CredentialSection
    from sidecar.config.sections.gateway.root import Gateway

# How and when the subject was authenticated (RFC 9068 §2.2.1), which request tokens always say.
_AUTHENTICATION: Final = frozenset({"acr", "amr", "auth_time"})
LISTS: Final = ("roles", "groups")
# RFC 8693 §4.1 and §4.4, RFC 7800 §3.1: who acts, who may, and who holds a key is proved here.
_NEVER_BROUGHT: Final = frozenset({"act", "may_act", "cnf"})
_READ_BY_CONDITION: Final = re.compile(
    r"""\bclaims(?:\.([A-Za-z_][A-Za-z0-9_]*)|\[\s*["']([^"'\\]+)["']\s*\])"""
)


class AttributesSection(Section):
    """What a credential may bring besides its subject and scopes. All else in it is dropped."""

    roles: tuple[Pattern, ...] = written(
        (),
        "The roles, by name or pattern; `*` stands for one part between `:` or `/`, "
        "and alone for every role.",
        min_length=1,
    )
    groups: tuple[Pattern, ...] = written((), "The groups, in the same way.", min_length=1)
    claims: tuple[Claim, ...] = written(
        (),
        "Further claims: `acr`, `amr`, `auth_time`, and what `request_tokens.claims`, "
        "the `claims` of a session and conditions read.",
        min_length=1,
    )

    def findings(self) -> Iterator[Finding]:
        """The claims are ones that a credential can bring."""
        for index, path in enumerate(self.claims):
            if path[0] in ALWAYS_BROUGHT:
                text = f"every credential brings {path[0]}; leave it out"
            elif path[0] in LISTS:
                text = f"name the {path[0]} themselves, under {path[0]}; leave this out"
            elif path[0] in _NEVER_BROUGHT:
                text = f"no credential may bring {path[0]}; leave it out"
            else:
                continue
            yield Finding(("claims", index), text)

    def settings(self) -> Attributes:
        """What the gateway needs of them."""
        # What lies deeper comes first: the whole object, where it is listed too, replaces its part.
        return copied(Attributes, self, claims=tuple(sorted(self.claims, key=len, reverse=True)))


def claims_are_read(gateway: "Gateway") -> Iterator[Finding]:
    """Something reads each claim that a credential may bring."""
    read = [*((name,) for name in _AUTHENTICATION), *(path for _, path in _read(gateway))]
    for here, credential in enumerate(gateway.credentials):
        for index, path in enumerate(credential.attributes.claims):
            unknown = path[0] not in ALWAYS_BROUGHT | _NEVER_BROUGHT | frozenset(LISTS)
            if unknown and not any(_overlap(path, other) for other in read):
                text = (
                    f"nothing reads {'.'.join(path)}; write acr, amr, auth_time, a source of "
                    "request_tokens.claims, one of a session's claims or one that a condition "
                    "reads, or leave it out"
                )
                yield Finding(("credentials", here, "attributes", "claims", index), text)


def warnings(gateway: "Gateway") -> Iterator[Finding]:
    """What is read and declared nowhere."""
    for index, each in enumerate(gateway.credentials):
        yield from _lists_that_are_dropped(gateway, ("credentials", index), each)
    yield from _claims_nobody_brings(gateway)
    yield from _names_nobody_brings(gateway)


def _lists_that_are_dropped(
    gateway: "Gateway", here: Location, credential: "CredentialSection"
) -> Iterator[Finding]:
    """A claim that is said to hold roles or groups, none of which the credential may bring."""
    entries = {entry.name: (number, entry) for number, entry in enumerate(gateway.trust)}
    for name in LISTS:
        if getattr(credential.attributes, name):
            continue
        places: list[Location] = []
        asked = credential.introspection
        if asked is not None and f"{name}_claim" in asked.model_fields_set:
            places.append((*here, "introspection", f"{name}_claim"))
        for number, entry in map(entries.__getitem__, credential.trusts):
            if f"{name}_claim" in entry.model_fields_set:
                places.append(("trust", number, f"{name}_claim"))
        for place in places:
            text = (
                f'the {name} found here are dropped, because "{credential.name}" may bring none; '
                f"list them in its attributes, or leave {name}_claim out"
            )
            yield Finding(place, text)


def _claims_nobody_brings(gateway: "Gateway") -> Iterator[Finding]:
    brought = [path for each in gateway.credentials for path in each.attributes.claims]
    known = {*ALWAYS_BROUGHT, *LISTS}
    if any(each.session for each in gateway.credentials):
        known |= OWN_CLAIMS
    for place, path in _read(gateway):
        if path[0] not in known and not any(_overlap(path, other) for other in brought):
            text = f"no credential may bring {'.'.join(path)}; "
            possible = path[0] not in _NEVER_BROUGHT
            text += "list it in the attributes of those that may" if possible else "leave it out"
            yield Finding(place, text)


def _names_nobody_brings(gateway: "Gateway") -> Iterator[Finding]:
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
                    f"no credential may bring any of: {format_names(wanted)}; list them in the "
                    "attributes of those that may"
                )
                yield Finding(("routes", index, "allow", asked), text)


def _read(gateway: "Gateway") -> Iterator[tuple[Location, ClaimPath]]:
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
