"""From a published document, a JWKS (RFC 7517) or PEM, to verification keys."""

import re
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from sidecar.check.strict_json import StrictJsonError, load_object
from sidecar.errors import SourceFault
from sidecar.keys.thumbprint import thumbprint
from sidecar.snapshots.keys import ED25519_NAMES, PublicKey, VerificationKey, algorithms_for

MAXIMUM_KEYS: Final = 1000
# RFC 7518 §6.2.2, §6.3.2, §6.4.1 and RFC 8037 §2: what only a private or a shared key has.
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PEM_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_FROM_JWK: Final[dict[str, Callable[[dict[str, object]], object]]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


def parse(document: bytes) -> tuple[VerificationKey, ...]:
    """Read every usable key of a JWKS or of one or more PEM blocks.

    A JWK of an unknown type, for encryption or with missing members is passed over (RFC 7517 §5);
    the set stays usable.

    Raises:
        SourceFault: the document is neither, holds private or shared key material, holds no key
            that can be used here, or more than 1,000.
    """
    if document.lstrip().startswith(b"-----BEGIN"):
        keys = _from_pem(document)
    else:
        keys = _from_jwks(document)
    if not keys:
        raise SourceFault(
            "holds no usable public key; usable are RSA of at least 2,048 bits, "
            "P-256, P-384, P-521 and Ed25519, for signatures"
        )
    return keys


def _from_pem(document: bytes) -> tuple[VerificationKey, ...]:
    if b"PRIVATE KEY-----" in document:
        raise SourceFault(
            "holds a private key; publish the public half alone and replace the key pair"
        )
    blocks = list(_PEM_BLOCK.finditer(document))
    if len(blocks) != document.count(b"-----BEGIN "):
        raise SourceFault("holds a PEM block without its end")
    _bound(len(blocks))
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm) as fault:
            raise SourceFault(f"holds a PEM block that is not a public key ({fault})") from fault
        usable = _verification_key(key, kid=None, algorithm=None)
        if usable is not None:
            keys.append(usable)
    return tuple(keys)


def _from_jwks(document: bytes) -> tuple[VerificationKey, ...]:
    try:
        jwks = load_object(document)
    except StrictJsonError as fault:
        raise SourceFault(f"is neither PEM nor a JWKS: it {fault}") from fault
    members = jwks.get("keys")
    if not isinstance(members, list):
        raise SourceFault('is not a JWKS: it has no list "keys"')
    _bound(len(members))
    keys = []
    for jwk in members:
        if not isinstance(jwk, dict):
            continue
        if not _PRIVATE_MEMBERS.isdisjoint(jwk):
            raise SourceFault(
                "holds private or shared key material; publish the public half alone "
                "and replace the key"
            )
        key = _from_jwk(jwk)
        if key is not None:
            keys.append(key)
    return tuple(keys)


def _bound(keys: int) -> None:
    if keys > MAXIMUM_KEYS:
        raise SourceFault(f"holds {keys} keys; at most {MAXIMUM_KEYS} are read")


def _from_jwk(jwk: dict[str, object]) -> VerificationKey | None:
    kind, kid, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(kind, str) or kind not in _FROM_JWK:
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if jwk.get("use", "sig") != "sig":
        return None
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    try:
        key = _FROM_JWK[kind](jwk)
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError, KeyError, TypeError, AttributeError):
        # PyJWT lets through what binascii and cryptography raise about odd members.
        return None
    return _verification_key(key, kid=kid, algorithm=algorithm)


def _verification_key(
    key: object, *, kid: str | None, algorithm: str | None
) -> VerificationKey | None:
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        return None
    algorithms = _restricted(key, algorithm)
    return VerificationKey(kid, thumbprint(key), algorithms, key) if algorithms else None


def _restricted(key: PublicKey, algorithm: str | None) -> frozenset[str]:
    """The algorithms a key may verify: all that fit, or the one it names for itself."""
    fitting = algorithms_for(key)
    if algorithm is None:
        return fitting
    named = ED25519_NAMES if algorithm in ED25519_NAMES else frozenset({algorithm})
    return fitting & named
