"""``credentials[].attributes``: what a credential may bring besides subject and scopes."""

from collections.abc import Iterator
from typing import Final

from sidecar.config.problems import Finding
from sidecar.config.section import Section, copied, written
from sidecar.config.values import Claim, Pattern
from sidecar.gateway.identities import ALWAYS_BROUGHT
from sidecar.gateway.settings import Attributes

LISTS: Final = ("roles", "groups")
# The actor, who may act, and the key of the holder (RFC 8693 §4.1 and §4.4, RFC 7800 §3.1): the
# gateway verifies these itself.
NEVER_BROUGHT: Final = frozenset({"act", "may_act", "cnf"})


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
            elif path[0] in NEVER_BROUGHT:
                text = f"no credential may bring {path[0]}; leave it out"
            else:
                continue
            yield Finding(("claims", index), text)

    def settings(self) -> Attributes:
        """What the gateway needs of them."""
        # Deeper claims first: a whole object that is listed too replaces the part of it.
        return copied(Attributes, self, claims=tuple(sorted(self.claims, key=len, reverse=True)))
