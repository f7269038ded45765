"""From the text of a token to a verified one: steps 4 to 8 of a check, for every role.

A signature that held is remembered; everything else about a token is looked at every time.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from sidecar.caches import LruCache
from sidecar.check import claims, jws
from sidecar.check.claims import SignedToken
from sidecar.check.refusal import Refusal, deny
from sidecar.check.remembered import Remembered
from sidecar.check.trust import TrustEntry, TrustTable
from sidecar.jose.algorithms import verify
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.strict_json import load_again
from sidecar.model import KeyNeeded, Reason, VerifiedToken
from sidecar.snapshots.keys import KeySnapshot


class VerificationObserver(Protocol):
    """Told about the tokens that are verified."""

    def verified(self, trust: str, result: str) -> None:
        """A token of a trust entry was verified (``valid``) or refused (the reason's label)."""

    def remembered(self, *, hit: bool) -> None:
        """A token was looked up among those remembered."""


class MissingKey(NamedTuple):
    """The key of a token is not in the snapshot, or no key of its trust entry can be used.

    ``kid`` is the one the token names, None where it names none. ``unknown`` is the verdict when
    the entry's keys are fetched and it is not among them, ``unavailable`` when they cannot be had.
    """

    trust: str
    kid: str | None
    unknown: Refusal
    unavailable: Refusal

    def needed(self, route: str, fingerprint: str) -> KeyNeeded:
        """What the shell has to do about it, for a check of this route."""
        return KeyNeeded(
            self.trust,
            self.kid,
            unknown=deny(self.unknown, route, fingerprint),
            unavailable=deny(self.unavailable, route, fingerprint),
        )


class Verifier:
    """Verifies tokens against the trust entries. Holds no state but the tokens it remembers."""

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
        self._remembered: LruCache[bytes, Remembered] = LruCache(remembered_tokens)

    @property
    def remembered_tokens(self) -> int:
        """How many tokens are remembered at this moment."""
        return len(self._remembered)

    def verify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float
    ) -> VerifiedToken | MissingKey | Refusal:
        """Verify a token here and now.

        Args:
            text: what the client sent as its token; any text.
            digest: the SHA-256 of its bytes.
            keys: the public keys known at this moment.
            now: Unix seconds.
        """
        signed = self._signed(text, digest, keys, now)
        if not isinstance(signed, SignedToken):
            return signed
        token = claims.verify(signed, now)
        if isinstance(token, Refusal):
            self._observer.verified(signed.trust.name, token.reason.label)
            return claims.about(signed.claims, signed.trust.name, token)
        self._observer.verified(signed.trust.name, "valid")
        return token

    def _signed(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float
    ) -> SignedToken | MissingKey | Refusal:
        remembered = self._remembered.get(digest)
        self._observer.remembered(hit=remembered is not None)
        if remembered is not None:
            key_set = keys.usable(remembered.trust.name, now)
            if key_set is not None and remembered.key in key_set.keys:
                payload = load_again(remembered.payload)
                return SignedToken(remembered.trust, payload, digest[:8].hex())
            self._remembered.forget(digest)

        token = jws.parse(text, self._maximum_token_bytes, self._maximum_token_values)
        if isinstance(token, Refusal):
            return token
        trust = self._trust.select(token)
        if isinstance(trust, Refusal):
            return trust
        key = _verifying_key(token, trust, keys, now)
        if isinstance(key, Refusal):
            self._observer.verified(trust.name, key.reason.label)
            return key
        if isinstance(key, MissingKey):
            return key
        self._remembered.add(digest, Remembered(trust, key, token.payload))
        return SignedToken(trust, token.claims, digest[:8].hex())


def _verifying_key(
    token: jws.UnverifiedToken, trust: TrustEntry, keys: KeySnapshot, now: float
) -> VerificationKey | MissingKey | Refusal:
    header = token.header
    if header.algorithm not in trust.algorithms:
        return Refusal(
            Reason.ALGORITHM_NOT_ALLOWED, f"{trust.name} allows: {_listed(trust.algorithms)}"
        )
    key_set = keys.usable(trust.name, now)
    if key_set is None:
        return _missing(
            trust.name, header.kid, f"the keys of {trust.name} were never read or are too old"
        )
    for key in key_set.candidates(header.kid, header.algorithm):
        if verify(header.algorithm, key.public_key, token.signing_input, token.signature):
            return key
    if header.kid is not None and not key_set.knows(header.kid):
        return _missing(trust.name, header.kid, f"{trust.name} has no key of this id")
    if not key_set.candidates(header.kid, header.algorithm):
        return Refusal(Reason.ALGORITHM_NOT_ALLOWED, f"no key of {trust.name} is for it")
    return Refusal(Reason.BAD_SIGNATURE)


def _missing(trust: str, kid: str | None, present: str) -> MissingKey:
    """``present`` says what there is at the moment."""
    return MissingKey(
        trust,
        kid,
        unknown=Refusal(Reason.UNKNOWN_KEY, f"{trust} has no key of this id"),
        unavailable=Refusal(Reason.KEYS_UNAVAILABLE, present),
    )


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
