"""Generated keys that stand in for the keys of issuers, so that policy tests need no real ones."""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import get_algorithm_by_name

from sidecar.check.trust import ClaimPath, TrustEntry
from sidecar.cli.policy_tests import Token
from sidecar.jose import base64url
from sidecar.jose.algorithms import algorithms_for
from sidecar.jose.jwk import VerificationKey, thumbprint
from sidecar.keys.settings import SourceSettings
from sidecar.snapshots.keys import KeySet, KeySnapshot

_PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


class StandIn:
    """An issuer that exists for the length of a test run."""

    def __init__(self, trust: TrustEntry) -> None:
        self._algorithm = min(trust.algorithms, key=_effort)
        self._trust = trust
        self._private = _new_key(self._algorithm)
        public = self._private.public_key()
        self._kid = thumbprint(public)
        self.key = VerificationKey(self._kid, self._kid, algorithms_for(public), public)

    def token_for(self, token: Token, now: float) -> str:
        """The token of a test; ``now`` in Unix seconds."""
        return self.token(
            token.claims, now=now, expires_in=token.expires_in, type_=token.type, kid=token.kid
        )

    def token(
        self,
        claims: Mapping[str, Any],
        *,
        now: float,
        expires_in: float,
        type_: str = "",
        kid: str = "",
    ) -> str:
        """A signed token.

        Args:
            claims: claims that replace the defaults of the entry; None leaves a claim out.
            now: Unix seconds.
            expires_in: seconds from ``now``; may be negative.
            type_: the ``typ``, ``none`` for none, empty for one that the entry accepts.
            kid: the key id, empty for the key's own, or for none where the entry's have none.
        """
        members = {**self._defaults(now, expires_in), **claims}
        header = {
            "alg": self._algorithm,
            "kid": kid or (None if self._trust.without_kid else self._kid),
            "typ": None if type_ == "none" else type_ or self._type(),
        }
        message = f"{_segment(header)}.{_segment(members)}"
        # RFC 9864 renamed EdDSA with this curve; PyJWT knows the old name.
        name = "EdDSA" if self._algorithm == "Ed25519" else self._algorithm
        method: Any = get_algorithm_by_name(name)  # Any: each class types its own kind of key
        signature = method.sign(message.encode(), self._private)
        return f"{message}.{base64url.encode(signature)}"

    def _defaults(self, now: float, expires_in: float) -> dict[str, object]:
        trust = self._trust
        subject = trust.subjects[0].replace("*", "test") if trust.subjects else "test"
        members: dict[str, Any] = {
            **_issuer(trust),
            "sub": "test",
            "iat": now,
            "exp": now + expires_in,
        }
        _put(members, trust.subject_claim, subject)
        _put(members, trust.audience_claim, min(trust.audiences))
        for each in trust.claim_values:
            _put(members, each.claim, min((value for _, value in each.accepted), key=str))
        return members

    def _type(self) -> str | None:
        return min((name for name in self._trust.types if name is not None), default=None)


def _issuer(trust: TrustEntry) -> dict[str, object]:
    """The first of an entry's issuers, with the claim that stands in it if there is one."""
    issuer, pattern = min(trust.issuers, default=""), trust.pattern
    if pattern is None:
        return {"iss": issuer}
    value = issuer[len(pattern.before) : len(issuer) - len(pattern.after)] if issuer else "test"
    return {"iss": pattern.filled(value), pattern.placeholder: value}


def _put(members: dict[str, Any], path: ClaimPath, value: object) -> None:
    """Set the claim at a path; objects on the way are created."""
    *parents, last = path
    for name in parents:
        members = members.setdefault(name, {})
    members[last] = value


def snapshot(
    stand_ins: Mapping[str, StandIn], sources: Mapping[str, SourceSettings]
) -> KeySnapshot:
    """The public keys of all stand-ins.

    ``stand_ins`` and ``sources`` are by trust entry. A key is one of every entry that has the same
    source as the stand-in's own: the issuer would publish it to all of them.
    """
    keys = {
        name: tuple(each.key for of, each in stand_ins.items() if sources[of] == source)
        for name, source in sources.items()
    }
    return KeySnapshot({name: KeySet.of(found, math.inf) for name, found in keys.items() if found})


def _effort(algorithm: str) -> tuple[bool, str]:
    """The sort key of algorithms by the time that key generation takes; RSA takes longest."""
    return algorithm.startswith(("RS", "PS")), algorithm


def _new_key(algorithm: str) -> _PrivateKey:
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm in {"EdDSA", "Ed25519"}:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _segment(members: Mapping[str, object]) -> str:
    present = {name: value for name, value in members.items() if value is not None}
    return base64url.encode(json.dumps(present).encode())
