"""Symmetric keys that encrypt data for the ring itself, such as session tokens.

A holder of the key can read and make all such tokens. There is no public key, and nothing of these
keys is published.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sidecar.errors import SourceFault
from sidecar.jose import base64url
from sidecar.rings.lifecycle import Timings

ALGORITHM: Final = "A256GCM"  # RFC 7518 §5.3, used directly (§4.5)
SECRET_BYTES: Final = 32
# A session lasts for 12 hours at most. The readers are the replicas of the gateway, which poll
# their directory every second.
TIMINGS: Final = Timings(verifier_refresh=1.0, token_life=12 * 3600.0)

_KID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A secret of 32 bytes for AES-256-GCM, its kid, and the ``cipher`` with it.

    The kid is random. A thumbprint would publish a hash of the secret (RFC 7638 §7).
    """

    kid: str
    secret: bytes = field(repr=False)
    cipher: AESGCM = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Kept, because creating it takes longer than using it once.
        object.__setattr__(self, "cipher", AESGCM(self.secret))

    @classmethod
    def generate(cls) -> "SealingKey":
        """A new key."""
        kid = secrets.token_urlsafe(_KID_BYTES)
        # A kid that begins with a dash would be read as an option on a command line.
        if kid.startswith("-"):
            return cls.generate()
        return cls(kid, secrets.token_bytes(SECRET_BYTES))

    @property
    def algorithm(self) -> str:
        """The content encryption algorithm it is used with."""
        return ALGORITHM

    def private_jwk(self) -> dict[str, str]:
        """The key with its secret (RFC 7518 §6.4)."""
        return {
            "kty": "oct",
            "k": base64url.encode(self.secret),
            "kid": self.kid,
            "alg": ALGORITHM,
            "use": "enc",
        }


def from_private_jwk(jwk: Mapping[str, object]) -> SealingKey:
    """Read what ``SealingKey.private_jwk`` wrote.

    Raises:
        SourceFault: it is anything else. The text does not quote the secret.
    """
    match jwk:
        case {"kty": "oct", "alg": "A256GCM", "use": "enc", "kid": str(kid), "k": str(text)} if kid:
            secret = _decoded(text)
            # Equal only if there are no other members and the encoding is canonical.
            if len(secret) == SECRET_BYTES and SealingKey(kid, secret).private_jwk() == jwk:
                return SealingKey(kid, secret)
            raise SourceFault("holds a sealing key that is not 32 bytes in base64url")
    raise SourceFault("holds a symmetric key that is not for alg A256GCM and use enc")


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
