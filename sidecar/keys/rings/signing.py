"""JWS signatures with a private key in this process (RFC 7518 §3, RFC 8037 §3.1).

The counterpart of ``check.signature``. What depends on the key and not on the message is settled
once, when the key is made or read.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sidecar.check.signature import EC, RSA

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
Sign = Callable[[bytes], bytes]


def signing(private: PrivateKey, algorithm: str) -> Sign:
    """What turns a message into its signature, on any thread.

    Args:
        private: the key.
        algorithm: a JWS ``alg`` that fits it (``snapshots.keys.algorithms_for``).
    """
    if isinstance(private, EllipticCurvePrivateKey):
        return _ecdsa(private, *EC[algorithm])
    if isinstance(private, RSAPrivateKey):
        padding, digest = RSA[algorithm]
        return lambda message: private.sign(message, padding, digest)
    return private.sign


def _ecdsa(private: EllipticCurvePrivateKey, size: int, scheme: ECDSA) -> Sign:
    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, scheme))
        return r.to_bytes(size) + s.to_bytes(size)

    return sign
