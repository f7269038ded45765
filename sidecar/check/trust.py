"""The trust entries: which issuers are trusted, for which tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from sidecar.jose.issuers import IssuerTemplate
from sidecar.model import TokenKind

ClaimPath = tuple[str, ...]

_MOST_NAMED: Final = 5


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
        return tuple(sorted(format_single(value) for _, value in self.accepted))

    def accepts(self, value: object) -> bool:
        """Whether it is one of the values; None, for a claim that is missing, is none."""
        return isinstance(value, str | int) and (type(value), value) in self.accepted

    def difference(self, value: object) -> str:
        """How a value that is not accepted differs: maybe in its JSON type alone.

        No text of the token is in it that is not in the configuration.
        """
        text = format_single(value) if isinstance(value, str | int) else None
        if text not in self.values:
            return "differs"
        if isinstance(value, str):
            return f'differs in its JSON type alone: it is text, so write "{text}" in quotes'
        return f"differs in its JSON type alone: it is no text, so write {text} without quotes"


def format_single(value: str | int) -> str:
    """A text without quotes, or a boolean or whole number as JSON has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """The issuers that are trusted for one kind of token, and whose keys are in one set.

    ``issuers`` are accepted as they are written. With a ``pattern`` the token's claim of the
    placeholder's name has to be what stands in its issuer; ``issuers`` are then those of the
    values that are accepted, and none where any value is.

    ``without_kid`` says that tokens have no kid: one that no known key has signed is then no proof
    of a forgery. At most ``key_candidates`` keys are tried for a token whose kid does not name one.

    ``leeway`` is in seconds. ``types`` holds media types without ``application/``, and None for
    tokens without a ``typ``. ``audience_claim`` is the claim with the audience: ``aud``, or another
    for issuers that set none. ``claim_values`` are required, and tell entries of one issuer and
    type apart. ``subject_claim`` is the claim with the subject, and ``subjects`` are patterns of
    it; empty accepts every subject. ``accept_bound_tokens``
    accepts tokens that are bound to a key (``cnf``, RFC 7800 §3.1) as bearer tokens.
    """

    name: str
    kind: TokenKind
    issuers: frozenset[str]
    pattern: IssuerTemplate | None
    audiences: frozenset[str]
    algorithms: frozenset[str]
    types: frozenset[str | None]
    audience_claim: ClaimPath
    leeway: float
    claim_values: tuple[RequiredValue, ...]
    subject_claim: ClaimPath
    subjects: tuple[str, ...]
    required_claims: tuple[ClaimPath, ...]
    scope_claim: ClaimPath
    roles_claim: ClaimPath
    groups_claim: ClaimPath
    accept_bound_tokens: bool
    without_kid: bool
    key_candidates: int

    @property
    def has_many_issuers(self) -> bool:
        """Whether its tokens may be of several issuers."""
        return len(self.issuers) != 1

    @property
    def written_issuers(self) -> tuple[str, ...]:
        """Its issuers as the configuration has them: a pattern, or each of them."""
        return (str(self.pattern),) if self.pattern else tuple(sorted(self.issuers))

    def differs_from(self, other: "TrustEntry") -> bool:
        """Whether no token can have the ``claim_values`` of both: a claim of both has other values.

        Unlike entries of two issuers or types, these accept tokens that are otherwise alike.
        """
        return any(
            one.claim == another.claim and one.accepted.isdisjoint(another.accepted)
            for one in self.claim_values
            for another in other.claim_values
        )


class TrustedIssuers:
    """The trusted issuers, for the operators who read why an issuer is not among them."""

    def __init__(self, entries: Iterable[TrustEntry]) -> None:
        self._entries = tuple(entries)
        written = {text for entry in self._entries for text in entry.written_issuers}
        first = sorted(written)[:_MOST_NAMED]
        more = f" and {len(written) - len(first)} more" if len(written) > len(first) else ""
        self._trusted = f"trusted: {', '.join(first)}{more}"
        self._by_likeness = {
            _alike(text): text for entry in self._entries for text in sorted(entry.issuers)
        }

    def without(self, issuer: object) -> str:
        """What to know about a token whose issuer is not trusted. No text of the token is in it."""
        if issuer is None:
            return f"iss is missing; {self._trusted}"
        if not isinstance(issuer, str):
            return f"iss is not a string; {self._trusted}"
        for entry in self._entries:
            if entry.pattern is not None and entry.pattern.matches(issuer):
                return f"{entry.name} does not list this value of {entry.pattern.placeholder}"
        nearest = self._by_likeness.get(_alike(issuer)) or self._pattern_like(_alike(issuer))
        if nearest is None:
            return self._trusted
        near = f"it differs from {nearest} in slashes or the case of letters alone"
        return f"{near}; {self._trusted}"

    def _pattern_like(self, issuer: str) -> str | None:
        """The pattern that ``issuer`` matches but for what ``_alike`` removes."""
        for pattern in (entry.pattern for entry in self._entries):
            if pattern is not None:
                before, after = pattern.before.lower(), _alike(pattern.after)
                if IssuerTemplate(before, "", after).matches(issuer):
                    return str(pattern)
        return None


def _alike(issuer: str) -> str:
    """What issuers have in common that differ in slashes at the end and case of letters alone."""
    return issuer.lower().rstrip("/")
