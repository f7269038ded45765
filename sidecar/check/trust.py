"""The trust entries: which issuers are trusted, for which tokens."""

from dataclasses import dataclass

from sidecar.model import TokenKind

ClaimPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One issuer that is trusted for one kind of token.

    ``leeway`` is in seconds. ``types`` holds media types without ``application/``, and None for
    tokens without a ``typ``. ``audience_claim`` is the claim with the audience: ``aud``, or another
    for issuers that set none. ``subjects`` are patterns; empty accepts every subject.
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
