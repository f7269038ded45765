"""The trust entries: which issuers are trusted, for which tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from sidecar.model import TokenKind

ClaimPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequiredValue:
    """A claim that must have one of these values. A list has none of them, whatever is in it.

    ``accepted`` has each value with its type, because ``True == 1`` in Python and not in JSON.
    """

    claim: ClaimPath
    accepted: frozenset[tuple[type, str | int]]

    @classmethod
    def of(cls, claim: ClaimPath, values: Iterable[str | int]) -> Self:
        """The claim with its accepted values: strings, booleans or integers."""
        return cls(claim, frozenset((type(value), value) for value in values))

    @property
    def values(self) -> tuple[str, ...]:
        """The accepted values, as a message names them."""
        return tuple(sorted(_format(value) for _, value in self.accepted))

    @property
    def example(self) -> str | int:
        """One of the accepted values, the same at any time."""
        return min(self.accepted, key=lambda each: _format(each[1]))[1]

    def accepts(self, value: object) -> bool:
        """Whether it is one of the values; None, for a claim that is missing, is none."""
        return isinstance(value, str | int) and (type(value), value) in self.accepted


def _format(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One issuer that is trusted for one kind of token.

    ``leeway`` is in seconds. ``types`` holds media types without ``application/``, and None for
    tokens without a ``typ``. ``audience_claim`` is the claim with the audience: ``aud``, or another
    for issuers that set none. ``claim_values`` are required, and tell entries of one issuer and
    type apart. ``subjects`` are patterns; empty accepts every subject. ``accept_bound_tokens``
    accepts tokens that are bound to a key (``cnf``, RFC 7800 §3.1) as bearer tokens.
    """

    name: str
    kind: TokenKind
    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    types: frozenset[str | None]
    audience_claim: ClaimPath
    leeway: float
    claim_values: tuple[RequiredValue, ...]
    subjects: tuple[str, ...]
    required_claims: tuple[ClaimPath, ...]
    scope_claim: ClaimPath
    roles_claim: ClaimPath
    groups_claim: ClaimPath
    accept_bound_tokens: bool

    def differs_from(self, other: "TrustEntry") -> bool:
        """Whether no token can have the ``claim_values`` of both: a claim of both has other values.

        Unlike entries of two issuers or types, these accept tokens that are otherwise alike.
        """
        return any(
            one.claim == another.claim and one.accepted.isdisjoint(another.accepted)
            for one in self.claim_values
            for another in other.claim_values
        )
