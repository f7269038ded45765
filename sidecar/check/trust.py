"""Whose tokens are believed: the trust entries, and which of them decides about a token."""

from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.check.jws import UnverifiedToken
from sidecar.check.refusal import Refusal
from sidecar.model import Reason, TokenKind

ClaimPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One issuer that is believed for one kind of token.

    ``leeway`` is in seconds. ``types`` holds media types without ``application/``, and None for
    tokens without a ``typ``. ``audience_claim`` says whom a token is for; it differs from ``aud``
    for issuers that have none. ``subjects`` are patterns; empty accepts every subject.
    """

    name: str
    kind: TokenKind
    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    types: frozenset[str | None]
    audience_claim: ClaimPath
    leeway: float
    subjects: tuple[str, ...]
    required_claims: tuple[ClaimPath, ...]
    scope_claim: ClaimPath
    roles_claim: ClaimPath
    groups_claim: ClaimPath


class TrustTable:
    """Finds the trust entry for a token by its issuer and its type.

    Raises:
        ValueError: two entries accept the same type from the same issuer.
    """

    def __init__(self, entries: Iterable[TrustEntry]) -> None:
        self._by_issuer: dict[str, dict[str | None, TrustEntry]] = {}
        for entry in entries:
            by_type = self._by_issuer.setdefault(entry.issuer, {})
            for type_ in entry.types:
                if type_ in by_type:
                    raise ValueError(
                        f"{by_type[type_].name} and {entry.name} accept the same tokens"
                    )
                by_type[type_] = entry

    def select(self, token: UnverifiedToken) -> TrustEntry | Refusal:
        """The entry that decides about this token. The issuer is compared exactly."""
        issuer = token.claims.get("iss")
        by_type = self._by_issuer.get(issuer) if isinstance(issuer, str) else None
        if by_type is None:
            return Refusal(Reason.UNTRUSTED_ISSUER)
        entry = by_type.get(token.header.type)
        if entry is None:
            accepted = ", ".join(sorted(type_ or "none" for type_ in by_type))
            return Refusal(
                Reason.WRONG_TOKEN_TYPE, f"this issuer's tokens may have the typ: {accepted}"
            )
        return entry
