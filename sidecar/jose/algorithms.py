"""JWS algorithms: which keys each is for, how it verifies and how it signs (RFC 7518 §3, RFC 8037).

The cryptography is OpenSSL's, through ``cryptography``. HMAC and ``none`` are not supported.
"""

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
Sign = Callable[[bytes], bytes]

MINIMUM_RSA_BITS: Final = 2048  # RFC 7518 §3.3
MAXIMUM_RSA_BITS: Final = 8192  # a larger one costs milliseconds per check

_RSA: Final = {
    "RS256": (PKCS1v15(), SHA256()),
    "RS384": (PKCS1v15(), SHA384()),
    "RS512": (PKCS1v15(), SHA512()),
    # RFC 7518 §3.5: the salt is as long as the hash.
    "PS256": (PSS(MGF1(SHA256()), SHA256.digest_size), SHA256()),
    "PS384": (PSS(MGF1(SHA384()), SHA384.digest_size), SHA384()),
    "PS512": (PSS(MGF1(SHA512()), SHA512.digest_size), SHA512()),
}
# RFC 7518 §3.4: R and S, each as many bytes as the order of the curve.
_EC: Final = {
    "ES256": (32, ECDSA(SHA256())),
    "ES384": (48, ECDSA(SHA384())),
    "ES512": (66, ECDSA(SHA512())),
}
_RSA_NAMES: Final = frozenset(_RSA)
_EC_BY_CURVE: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
# RFC 9864 names per curve what RFC 8037 calls EdDSA: for this curve, one algorithm with two names.
ED25519_NAMES: Final = frozenset({"EdDSA", "Ed25519"})
SUPPORTED_ALGORITHMS: Final = _RSA_NAMES | frozenset(_EC) | ED25519_NAMES


def algorithms_for(key: PublicKey) -> frozenset[str]:
    """The JWS algorithms a key can be used with (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864).

    Empty for a key that must not be used at all: another curve, or an RSA key below 2,048 or above
    8,192 bits.
    """
    if isinstance(key, RSAPublicKey):
        return _RSA_NAMES if MINIMUM_RSA_BITS <= key.key_size <= MAXIMUM_RSA_BITS else frozenset()
    if isinstance(key, EllipticCurvePublicKey):
        name = _EC_BY_CURVE.get(key.curve.name)
        return frozenset({name}) if name else frozenset()
    return ED25519_NAMES


def verify(algorithm: str, key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is a valid signature over ``message`` by ``key``.

    The caller has checked that the key may be used with the algorithm (``algorithms_for``).
    """
    try:
        if isinstance(key, EllipticCurvePublicKey):
            size, scheme = _EC[algorithm]
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
            key.verify(encode_dss_signature(r, s), message, scheme)
        elif isinstance(key, RSAPublicKey):
            padding, digest = _RSA[algorithm]
            key.verify(signature, message, padding, digest)
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def signer(private: PrivateKey, algorithm: str) -> Sign:
    """A function that signs messages, on any thread.

    What depends only on the key is prepared here, once.

    Args:
        private: the key.
        algorithm: a JWS ``alg`` that fits it (``algorithms_for``).
    """
    if isinstance(private, EllipticCurvePrivateKey):
        return _ecdsa(private, *_EC[algorithm])
    if isinstance(private, RSAPrivateKey):
        padding, digest = _RSA[algorithm]
        return lambda message: private.sign(message, padding, digest)
    return private.sign


def _ecdsa(private: EllipticCurvePrivateKey, size: int, scheme: ECDSA) -> Sign:
    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, scheme))
        return r.to_bytes(size) + s.to_bytes(size)

    return sign
