"""Tokens and key sets for tests: right ones, and wrong in any way a test can think of."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import get_algorithm_by_name

Json = dict[str, Any]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519"),
)

_CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and the names its public half goes by."""

    kid: str
    algorithm: str
    private: PrivateKey

    def sign(self, message: bytes) -> bytes:
        signature: bytes = self._method.sign(message, self.private)
        return signature

    def jwk(self, **changes: object) -> Json:
        """The public half; a change to None leaves the member out."""
        members = self._method.to_jwk(self.private.public_key(), as_dict=True)
        # PyJWT gives key_ops for a key it takes for a private one only.
        document = {**members, "kid": self.kid, "alg": self.algorithm, "use": "sig", **changes}
        return {name: value for name, value in document.items() if value is not None}

    @property
    def _method(self) -> Any:
        # RFC 9864 renamed EdDSA with this curve; PyJWT knows the old name.
        return get_algorithm_by_name("EdDSA" if self.algorithm == "Ed25519" else self.algorithm)


def new_key(algorithm: str, kid: str, *, rsa_bits: int = 2048) -> SigningKey:
    """A fresh key."""
    private: PrivateKey
    if algorithm in _CURVES:
        private = ec.generate_private_key(_CURVES[algorithm])
    elif algorithm in {"EdDSA", "Ed25519"}:
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    return SigningKey(kid, algorithm, private)


@cache
def key_for(algorithm: str) -> SigningKey:
    """The key of this algorithm that all tests of a process share."""
    return new_key(algorithm, f"test-{algorithm}")


def jwks(*keys: SigningKey) -> Json:
    return {"keys": [key.jwk() for key in keys]}


def claims(
    *,
    issuer: str,
    audience: str | list[str],
    subject: str,
    now: float | None = None,
    lifetime: float = 60,
    **others: object,
) -> Json:
    """The claims of a token that is valid from now on; one given as None is left out."""
    issued = int(time.time() if now is None else now)
    document = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": issued,
        "exp": issued + lifetime,
        **others,
    }
    return {name: value for name, value in document.items() if value is not None}


def sign(payload: Mapping[str, object] | bytes, key: SigningKey, **header: object) -> str:
    """A compact JWS. ``header`` changes or, with None, leaves out members of the usual one."""
    members = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt", **header}
    present = {name: value for name, value in members.items() if value is not None}
    return compact(present, payload, key)


def compact(
    header: Mapping[str, object] | bytes, payload: Mapping[str, object] | bytes, key: SigningKey
) -> str:
    """A compact JWS of exactly this header and payload: bytes stay as they are."""
    message = f"{segment(header)}.{segment(payload)}"
    return f"{message}.{segment(key.sign(message.encode()))}"


def resigned(token: str, signature: bytes) -> str:
    """The token with another signature."""
    return f"{token.rpartition('.')[0]}.{segment(signature)}"


def segment(content: Mapping[str, object] | bytes) -> str:
    """base64url without padding, of bytes or of a JSON document."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
