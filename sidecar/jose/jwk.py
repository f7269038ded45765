"""Public keys: as JWKs (RFC 7517), by their RFC 7638 thumbprint, and ready to verify with."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from sidecar.jose import base64url
from sidecar.jose.algorithms import PublicKey
from sidecar.jose.issuers import IssuerTemplate

# The required members of a public key (RFC 7638 §3.2, RFC 8037 §2).
_MEMBERS: Final = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key of one issuer, and the algorithms it may verify.

    ``thumbprint`` is the RFC 7638 SHA-256 thumbprint in base64url. Two keys are equal if their kid,
    thumbprint, algorithms and issuer are: a remembered token stays valid if its key is fetched
    again. ``issuer`` is the only issuer that the key signs for, where its publisher names one: the
    Microsoft identity platform does, in a member ``issuer`` of the JWK, which may be a template.
    """

    kid: str | None
    thumbprint: str
    algorithms: frozenset[str]
    public_key: PublicKey = field(compare=False, repr=False)
    issuer: str | IssuerTemplate | None = None

    def signs_for(self, issuer: str) -> bool:
        """Whether the key may sign tokens of this issuer, as far as its publisher says."""
        mine = self.issuer
        if mine is None or mine == issuer:
            return True
        return isinstance(mine, IssuerTemplate) and mine.matches(issuer)


def members(key: PublicKey) -> dict[str, Any]:
    """The required JWK members of the key, and no others (RFC 7638 §3.2)."""
    if isinstance(key, RSAPublicKey):
        jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    elif isinstance(key, EllipticCurvePublicKey):
        jwk = ECAlgorithm.to_jwk(key, as_dict=True)
    else:
        jwk = OKPAlgorithm.to_jwk(key, as_dict=True)
    return {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}


def thumbprint(key: PublicKey) -> str:
    """SHA-256 over the key's required members in their canonical order, in base64url."""
    canonical = json.dumps(members(key), separators=(",", ":"), sort_keys=True)
    return base64url.encode(sha256(canonical.encode()).digest())
