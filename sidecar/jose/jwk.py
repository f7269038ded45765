"""A public key as a JWK (RFC 7517), and its RFC 7638 thumbprint, which serves as its kid."""

import json
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from sidecar.jose import base64url
from sidecar.jose.algorithms import PublicKey

# RFC 7638 §3.2 and RFC 8037 §2: the members that make a key the key it is.
_MEMBERS: Final = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}


def members(key: PublicKey) -> dict[str, Any]:
    """The JWK members that make the key the key it is, and no others."""
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
