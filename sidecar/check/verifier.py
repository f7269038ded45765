"""Verifies tokens: steps 4 to 8 of a check, in every role.

A valid signature is remembered under the token's SHA-256. Dates, audience, subject and the presence
of the key in the snapshot are checked every time.

The key of a token may be missing from the snapshot. Then this module asks for it, verifies again,
and distinguishes an unknown key from keys that are unavailable.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple, Protocol

from sidecar.caches import LruCache
from sidecar.check import claims, jws
from sidecar.check.claims import SignedToken
from sidecar.check.refusal import Refusal
from sidecar.check.trace import Trace
from sidecar.check.trust import ClaimPath, TrustedIssuers, TrustEntry
from sidecar.jose.algorithms import verify
from sidecar.jose.issuers import IssuerTemplate
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.strict_json import load_again
from sidecar.model import LATE, KeyQuestion, Late, Pending, Reason, Step, Tried, VerifiedToken
from sidecar.snapshots.keys import KeySet, KeySnapshot


class VerificationObserver(Protocol):
    """Told about the tokens that are verified."""

    def verified(self, trust: str, result: str) -> None:
        """A token of a trust entry was verified (``valid``) or refused (the reason's label)."""

    def remembered(self, *, hit: bool) -> None:
        """A token was looked up among those remembered."""


class VerifiedSignature(NamedTuple):
    """A valid signature: its trust entry, its key and the payload it covers.

    The payload is kept as bytes, which are several times smaller than the claims and parsed again
    in microseconds.
    """

    trust: TrustEntry
    key: VerificationKey
    payload: bytes


Verified = VerifiedToken | Refusal


_ByType = dict[str | None, tuple[TrustEntry, ...]]


class TrustTable:
    """Finds the trust entry for a token by its issuer, its type and its required values.

    Raises:
        ValueError: two entries accept the same tokens.
    """

    def __init__(self, entries: Iterable[TrustEntry]) -> None:
        entries = tuple(entries)
        self._trusted = TrustedIssuers(entries)
        self._by_issuer: dict[str, _ByType] = {}
        # The patterns of which any value is accepted. No issuer is accepted by two of them.
        self._by_pattern: dict[IssuerTemplate, _ByType] = {}
        for entry in entries:
            # One for all issuers of the entry, of which there may be thousands.
            alone: _ByType = dict.fromkeys(entry.types, (entry,))
            for issuer in entry.issuers:
                self._by_issuer[issuer] = _joined(self._by_issuer.get(issuer), alone)
            if entry.pattern is not None and not entry.issuers:
                others = self._by_pattern.get(entry.pattern)
                self._by_pattern[entry.pattern] = _joined(others, alone)

    def select(self, token: jws.UnverifiedToken) -> TrustEntry | Refusal:
        """The entry that decides about this token. The issuer is compared exactly.

        What the token says of itself is unverified; the entry's own keys and required values are
        what it is verified with.
        """
        issuer = token.claims.get("iss")
        by_type = self._by_issuer.get(issuer) if isinstance(issuer, str) else None
        if by_type is None:
            by_type = self._of_pattern(issuer)
        if by_type is None:
            return Refusal(Reason.UNTRUSTED_ISSUER, self._trusted.without(issuer))
        entries = by_type.get(token.header.type)
        if entries is None:
            accepted = ", ".join(sorted(type_ or "none" for type_ in by_type))
            return Refusal(
                Reason.WRONG_TOKEN_TYPE, f"this issuer's tokens may have the typ: {accepted}"
            )
        entry = entries[0] if len(entries) == 1 else _with_required_values(token, entries)
        if isinstance(entry, TrustEntry) and entry.pattern is not None:
            return _bound(entry, entry.pattern, token.claims)
        return entry

    def _of_pattern(self, issuer: object) -> _ByType | None:
        for pattern, by_type in self._by_pattern.items():
            if isinstance(issuer, str) and pattern.matches(issuer):
                return by_type
        return None


def _joined(others: _ByType | None, alone: _ByType) -> _ByType:
    """The entries of an issuer, and one more; ``alone`` itself where there are no others."""
    if others is None:
        return alone
    joined = dict(others)
    for type_, (entry,) in alone.items():
        for other in joined.get(type_, ()):
            if not entry.differs_from(other):
                raise ValueError(f"{other.name} and {entry.name} accept the same tokens")
        joined[type_] = (*joined.get(type_, ()), entry)
    return joined


def _with_required_values(
    token: jws.UnverifiedToken, entries: tuple[TrustEntry, ...]
) -> TrustEntry | Refusal:
    """The one entry, of an issuer and type, whose required values are in the token's claims."""
    for entry in entries:
        if claims.first_wrong(token.claims, entry.claim_values) is None:
            return entry
    problems: dict[ClaimPath, str] = {}
    for required in (each for entry in entries for each in entry.claim_values):
        value = claims.find(token.claims, required.claim)
        if required.accepts(value):
            continue
        problem = "is missing" if value is None else required.difference(value)
        # Of the problems with one claim the longest is told: that it differs in its type alone.
        problems[required.claim] = max(problems.get(required.claim, ""), problem, key=len)
    told = (f"{'.'.join(path)} {problem}" for path, problem in problems.items())
    return Refusal(
        Reason.WRONG_TOKEN_TYPE,
        f"it has the claim_values of none of {', '.join(entry.name for entry in entries)}: "
        f"{', '.join(told)}",
    )


def _bound(
    entry: TrustEntry, pattern: IssuerTemplate, found: Mapping[str, object]
) -> TrustEntry | Refusal:
    """The entry, if the claim that its pattern names is what stands in the issuer."""
    name = pattern.placeholder
    value = found.get(name)
    if isinstance(value, str) and pattern.filled(value) == found["iss"]:
        return entry
    problem = "is not what stands in iss" if name in found else "is missing"
    return Refusal(
        Reason.UNTRUSTED_ISSUER,
        f"{name} {problem}; {entry.name} accepts {pattern} with the claim {name} in this place",
    )


class Verifier:
    """Verifies tokens against the trust entries. Its only state are the tokens it remembers."""

    def __init__(
        self,
        trust: Iterable[TrustEntry],
        observer: VerificationObserver,
        *,
        token_bytes: int,
        token_values: int,
        remembered_tokens: int,
    ) -> None:
        self._trust = TrustTable(trust)
        self._observer = observer
        self._maximum_token_bytes = token_bytes
        self._maximum_token_values = token_values
        self._remembered: LruCache[bytes, VerifiedSignature] = LruCache(remembered_tokens)

    @property
    def remembered_tokens(self) -> int:
        """How many tokens are remembered at this moment."""
        return len(self._remembered)

    def verify(
        self,
        text: str,
        digest: bytes,
        keys: KeySnapshot,
        now: float,
        trace: Trace | None = None,
    ) -> Verified | Pending[Verified]:
        """Verify a token, or ask for its key.

        Args:
            text: what the client sent as its token; any text.
            digest: the SHA-256 of its bytes.
            keys: the public keys known at this moment.
            now: Unix seconds.
            trace: told what is found at each step.
        """
        signed = self._signed(text, digest, keys, now, trace)
        if isinstance(signed, Refusal):
            return signed
        if isinstance(signed, _Missing):
            return self._ask(signed, text, digest, trace)
        if trace:
            trace.note(Step.CLAIMS, signed)
        token = claims.verify(signed, now)
        if isinstance(token, Refusal):
            self._observer.verified(signed.trust.name, token.reason.label)
            trust = signed.trust
            if trust.has_many_issuers:  # then a subject alone does not say whose it is
                iss = ("iss", str(signed.claims["iss"]))
                token = token._replace(held=(*token.held, iss))
            return claims.about(signed.claims, trust.name, token, trust.subject_claim)
        self._observer.verified(signed.trust.name, "valid")
        return token

    def _ask(
        self, missing: "_Missing", text: str, digest: bytes, trace: Trace | None
    ) -> Pending[Verified]:
        """Ask for a key once, and verify the token again with the keys of the answer."""
        unknown = Refusal(Reason.UNKNOWN_KEY, missing.unknown)

        def resume(keys: KeySnapshot | Late | None, now: float) -> Verified:
            if keys is LATE:
                return Refusal(Reason.KEYS_UNAVAILABLE, missing.late)
            verified = unknown if keys is None else self.verify(text, digest, keys, now, trace)
            return unknown if isinstance(verified, Pending) else verified

        return Pending(missing.question, resume)

    def _signed(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None
    ) -> "SignedToken | _Missing | Refusal":
        remembered = self._remembered.get(digest)
        self._observer.remembered(hit=remembered is not None)
        if remembered is not None:
            key_set = keys.usable(remembered.trust.name, now)
            if key_set is not None and remembered.key in key_set.keys:
                if trace:
                    trace.note(Step.SIGNATURE, remembered.key, True)
                payload = load_again(remembered.payload)
                return SignedToken(remembered.trust, payload, digest[:8].hex())
            self._remembered.forget(digest)

        token = jws.parse(text, self._maximum_token_bytes, self._maximum_token_values)
        if trace:
            trace.note(Step.PARSE, text, None if isinstance(token, Refusal) else token)
        if isinstance(token, Refusal):
            return token
        trust = self._trust.select(token)
        if trace:
            trace.note(Step.TRUST, token, None if isinstance(trust, Refusal) else trust)
        if isinstance(trust, Refusal):
            return trust
        key = _verifying_key(token, digest, trust, keys.usable(trust.name, now), trace)
        if isinstance(key, Refusal):
            self._observer.verified(trust.name, key.reason.label)
            return key
        if isinstance(key, _Missing):
            return key
        self._remembered.add(digest, VerifiedSignature(trust, key, token.payload))
        return SignedToken(trust, token.claims, digest[:8].hex())


class _Missing(NamedTuple):
    """A key that is not among those known: the question for it, and the details of a refusal.

    ``unknown`` is for the case that a fetch does not bring it, ``late`` for no fetch in time.
    """

    question: KeyQuestion
    unknown: str
    late: str


def _verifying_key(
    token: jws.UnverifiedToken,
    digest: bytes,
    trust: TrustEntry,
    key_set: KeySet | None,
    trace: Trace | None,
) -> VerificationKey | _Missing | Refusal:
    """The key that has signed the token; ``digest`` is the SHA-256 of the token's bytes."""
    header = token.header
    if trace:
        trace.note(Step.KEY, trust, key_set)
    if header.algorithm not in trust.algorithms:
        return Refusal(
            Reason.ALGORITHM_NOT_ALLOWED,
            f"{trust.name} allows: {', '.join(sorted(trust.algorithms))}",
        )
    if key_set is None:
        no_keys = f"the keys of {trust.name} were never read or are too old"
        return _Missing(KeyQuestion(trust.name, header.kid), _no_such_key(trust), no_keys)

    candidates = key_set.candidates(header.kid, header.algorithm, str(token.claims["iss"]))
    tried = 0
    for key in islice(candidates, trust.key_candidates):
        tried += 1
        holds = verify(header.algorithm, key.public_key, token.signing_input, token.signature)
        if trace:
            trace.note(Step.SIGNATURE, key, holds)
        if holds:
            return key
    untried = ""
    if next(candidates, None) is not None:
        untried = f"only {tried} of the keys that fit were tried; key_candidates allows more"

    if header.kid is not None and not key_set.knows(header.kid):
        no_such_key = _no_such_key(trust)
        detail = f"{no_such_key}; {untried}" if untried else no_such_key
        return _Missing(KeyQuestion(trust.name, header.kid), detail, detail)
    if header.kid is None and trust.without_kid:
        detail = untried or f"no key of {trust.name} has signed it"
        tried_keys = Tried(digest, key_set.keys)
        return _Missing(KeyQuestion(trust.name, None, tried_keys), detail, detail)
    if not tried:
        return _unfit(token, trust, key_set)
    return Refusal(Reason.BAD_SIGNATURE, untried)


def _no_such_key(trust: TrustEntry) -> str:
    return f"{trust.name} has no key of this id"


def _unfit(token: jws.UnverifiedToken, trust: TrustEntry, key_set: KeySet) -> Refusal:
    """Why none of the known keys could have signed the token."""
    if any(key_set.candidates(token.header.kid, token.header.algorithm)):
        return Refusal(
            Reason.UNKNOWN_KEY, f"the key is in the set of {trust.name}, for another issuer alone"
        )
    return Refusal(Reason.ALGORITHM_NOT_ALLOWED, f"no key of {trust.name} is for it")
