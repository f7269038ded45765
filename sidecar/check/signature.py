"""Whether a key signed a message, for every accepted algorithm (RFC 7518 §3, RFC 8037 §3.1).

The cryptography is OpenSSL's, through ``cryptography``. HMAC and ``none`` do not exist here.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from sidecar.snapshots.keys import PublicKey

RSA: Final = {
    "RS256": (PKCS1v15(), SHA256()),
    "RS384": (PKCS1v15(), SHA384()),
    "RS512": (PKCS1v15(), SHA512()),
    # RFC 7518 §3.5: the salt is as long as the hash.
    "PS256": (PSS(MGF1(SHA256()), SHA256.digest_size), SHA256()),
    "PS384": (PSS(MGF1(SHA384()), SHA384.digest_size), SHA384()),
    "PS512": (PSS(MGF1(SHA512()), SHA512.digest_size), SHA512()),
}
# RFC 7518 §3.4: R and S, each as many bytes as the order of the curve.
EC: Final = {
    "ES256": (32, ECDSA(SHA256())),
    "ES384": (48, ECDSA(SHA384())),
    "ES512": (66, ECDSA(SHA512())),
}


def holds(algorithm: str, key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is ``key``'s over ``message``.

    The caller has made sure that the key may be used with the algorithm
    (``snapshots.keys.algorithms_for``).
    """
    try:
        if isinstance(key, EllipticCurvePublicKey):
            size, scheme = EC[algorithm]
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
            key.verify(encode_dss_signature(r, s), message, scheme)
        elif isinstance(key, RSAPublicKey):
            padding, digest = RSA[algorithm]
            key.verify(signature, message, padding, digest)
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
