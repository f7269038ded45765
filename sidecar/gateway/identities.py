"""The identity of a credential: its subject with a prefix, and the attributes it may bring.

An issuer may claim anything about its subjects. Only what the configuration declares for each
credential is used, equally in routes' rules, conditions, sessions and request tokens.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sidecar.check.claims import find
from sidecar.check.patterns import matching
from sidecar.gateway.settings import Attributes
from sidecar.model import VerifiedToken

# Claims that were verified, or that limit the credential itself; they identify nobody else.
_KEPT: Final = ("iss", "aud", "exp", "nbf", "iat", "jti", "scope")
# Names that another issuer may use for somebody else; subject_prefix distinguishes them.
_PREFIXED: Final = ("client_id", "azp")

# The claims that every credential brings, besides its roles and groups.
ALWAYS_BROUGHT: Final = frozenset({*_KEPT, "sub", *_PREFIXED})


_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


class SubjectPrefix(NamedTuple):
    """What stands in front of subjects and clients: a text, in which a claim may stand.

    The claim is ``iss``, or the one that a trust entry's pattern finds in the issuer. Both have
    been compared with the configuration.
    """

    before: str
    claim: str | None = None
    after: str = ""

    @classmethod
    def parse(cls, text: str) -> "SubjectPrefix":
        """Read a text in which one claim may stand in braces."""
        match = _PLACEHOLDER.search(text)
        return cls(text[: match.start()], match[1], text[match.end() :]) if match else cls(text)

    def of(self, claims: Mapping[str, object]) -> str:
        """The prefix of a token with these claims."""
        if self.claim is None:
            return self.before
        return f"{self.before}{claims[self.claim]}{self.after}"


class Identities:
    """Reads the identities of credentials, under one configuration.

    ``subject_prefixes`` and ``attributes`` are those of ``GatewaySettings``.
    """

    def __init__(
        self, subject_prefixes: Mapping[str, str], attributes: Mapping[str, Attributes | None]
    ) -> None:
        prefixes = {name: SubjectPrefix.parse(text) for name, text in subject_prefixes.items()}
        # Only one with a claim is computed for each token.
        self._prefixes = {
            name: each.before if each.claim is None else each for name, each in prefixes.items()
        }
        self._attributes = attributes

    def of(self, credential: str, token: VerifiedToken) -> VerifiedToken:
        """The token of the credential with this name, reduced to what is declared.

        Its claims are those of ``ALWAYS_BROUGHT`` and the declared ones, and its roles and groups
        under these names. ``act`` is never among them: an issuer must not name workloads of the
        cluster, and earlier actors are informational only (RFC 8693 §4.1).
        """
        attributes = self._attributes[credential]
        if attributes is None:
            return token
        prefix = self._prefixes.get(credential, "")
        if isinstance(prefix, SubjectPrefix):
            prefix = prefix.of(token.claims)
        roles = matching(attributes.roles, token.roles)
        groups = matching(attributes.groups, token.groups)
        claims = _claims(token.claims, attributes, prefix)
        # Whichever claim it was read from: nothing here reads a sub that is somebody else.
        claims["sub"] = prefix + token.subject
        for name, names in (("roles", roles), ("groups", groups)):
            if names:
                claims[name] = sorted(names)
        return token._replace(
            subject=prefix + token.subject,
            claims=claims,
            roles=roles,
            groups=groups,
            credential=credential,
        )


def _claims(source: Mapping[str, object], attributes: Attributes, prefix: str) -> dict[str, Any]:
    claims: dict[str, Any] = {name: source[name] for name in _KEPT if name in source}
    for name in _PREFIXED:
        if isinstance(value := source.get(name), str) and value:
            claims[name] = prefix + value
    for *parents, last in attributes.claims:
        value = find(source, (*parents, last))
        if value is not None:
            holder = claims
            for parent in parents:
                holder = holder.setdefault(parent, {})
            holder[last] = value
    return claims
