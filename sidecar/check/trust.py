"""Whose tokens are believed: the trust entries."""

from dataclasses import dataclass

from sidecar.model import TokenKind

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
