"""Private keys in the memory of this process: making and using them, and their JWKs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt import get_algorithm_by_name
from jwt.exceptions import InvalidKeyError

from sidecar.errors import SourceFault
from sidecar.jose.algorithms import (
    MINIMUM_RSA_BITS,
    PrivateKey,
    PublicKey,
    Sign,
    algorithms_for,
    signer,
)
from sidecar.jose.jwk import members, thumbprint
from sidecar.jose.weakness import weakness

DEFAULT_ALGORITHM: Final = "ES256"


def _new_rsa() -> PrivateKey:
    # The minimum of RFC 7518 §3.3 is enough: keys are replaced within weeks.
    return generate_rsa(public_exponent=65537, key_size=MINIMUM_RSA_BITS)


_MAKERS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "ES256": lambda: generate_private_key(SECP256R1()),
    "ES384": lambda: generate_private_key(SECP384R1()),
    "ES512": lambda: generate_private_key(SECP521R1()),
    "Ed25519": Ed25519PrivateKey.generate,
    "EdDSA": Ed25519PrivateKey.generate,
    "PS256": _new_rsa,
    "RS256": _new_rsa,
}
ALGORITHMS: Final = tuple(_MAKERS)


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A private key and the one algorithm it signs with (``SigningKey``)."""

    kid: str
    algorithm: str
    jwk: Mapping[str, str] = field(compare=False)
    private: PrivateKey = field(compare=False, repr=False)
    _sign: Sign = field(compare=False, repr=False)

    @classmethod
    def generate(cls, algorithm: str) -> "LocalKey":
        """A new key for one of ``ALGORITHMS``."""
        key = cls.of(_MAKERS[algorithm](), algorithm)
        # A kid that begins with a dash would be read as an option on a command line.
        return cls.generate(algorithm) if key.kid.startswith("-") else key

    @classmethod
    def of(cls, private: PrivateKey, algorithm: str) -> "LocalKey":
        """A private key that fits the algorithm."""
        public = private.public_key()
        kid = thumbprint(public)
        jwk = public_jwk(public, algorithm)
        return cls(kid, algorithm, jwk, private, signer(private, algorithm))

    def sign(self, message: bytes) -> bytes:
        """The JWS signature, at once (``SigningKey.sign``)."""
        return self._sign(message)

    def private_jwk(self) -> dict[str, str]:
        """The key with its private members (RFC 7518 §6)."""
        jwk = _method(self.algorithm).to_jwk(self.private, as_dict=True)
        # ``use`` has the same meaning; the two should not be used together (RFC 7517 §4.3).
        jwk.pop("key_ops", None)
        return {**jwk, **self.jwk}


def public_jwk(public: PublicKey, algorithm: str) -> dict[str, str]:
    """A public key as it is published: with its thumbprint as ``kid``, ``alg`` and ``use``."""
    return {**members(public), "kid": thumbprint(public), "alg": algorithm, "use": "sig"}


def from_private_jwk(jwk: Mapping[str, object]) -> LocalKey:
    """Read what ``private_jwk`` wrote.

    Raises:
        SourceFault: it is no private key, its algorithm is not one of ``ALGORITHMS`` or does not
            fit, it is weak (``jose.weakness``), or its kid is not its thumbprint.
    """
    algorithm = jwk.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _MAKERS:
        raise SourceFault(f"holds a key whose alg is none of {', '.join(ALGORITHMS)}")
    try:
        private = _method(algorithm).from_jwk(dict(jwk))
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError, KeyError, TypeError) as fault:
        # The cause may quote the key, so it is not part of the text.
        raise SourceFault("holds a key that cannot be read") from fault
    if not isinstance(private, PrivateKey):
        raise SourceFault("holds a public key where a private one is needed")
    if algorithm not in algorithms_for(private.public_key()):
        raise SourceFault(f"holds a key that does not fit its alg, {algorithm}")
    weak = weakness(private.public_key())
    if weak is not None:
        raise SourceFault(f"holds a key that {weak}")
    key = LocalKey.of(private, algorithm)
    if jwk.get("kid") != key.kid:
        raise SourceFault("holds a key whose kid is not its thumbprint")
    return key


def _method(algorithm: str) -> Any:  # each of PyJWT's classes types its own kind of key
    # RFC 9864 renamed EdDSA with this curve; PyJWT knows the old name.
    return get_algorithm_by_name("EdDSA" if algorithm == "Ed25519" else algorithm)
