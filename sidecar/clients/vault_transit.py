"""The transit engine of Vault and OpenBao: what it is told so that it signs as JWS wants it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_HASHES: Final = {"256": "sha2-256", "384": "sha2-384", "512": "sha2-512"}
# RFC 7518 §3.3 and §3.5; the engine's own choices are PSS for every RSA key, and its longest salt.
_RSA_PARAMETERS: Final = {
    "RS": {"signature_algorithm": "pkcs1v15"},
    "PS": {"signature_algorithm": "pss", "salt_length": "hash"},
}


@dataclass(frozen=True, slots=True)
class TransitKey:
    """A key of the engine, as far as it may be read.

    ``public_keys`` holds the live versions: PEM, or for ed25519 the raw bytes in standard base64.
    It is empty for a symmetric or a derived key, whose public half the engine does not show.
    ``created`` has the dates of these versions, in Unix seconds.
    """

    type: str
    latest_version: int
    public_keys: Mapping[int, str]
    created: Mapping[int, float]

    @classmethod
    def of(cls, data: Mapping[str, object] | None) -> "TransitKey | None":
        """From the answer to reading a key; None for any other."""
        match data:
            case {"type": str(kind), "latest_version": int(latest), "keys": dict(versions)}:
                try:
                    return cls(kind, latest, _public_keys(versions), _created(versions))
                except ValueError:
                    return None
        return None


def sign_request(version: int, message: bytes, algorithm: str) -> dict[str, object]:
    """What to post for the signature of ``message``, a JWS signing input, by a key version.

    ``algorithm`` is the JWS ``alg``. The version is named because a rotation makes its new version
    the engine's choice at once, before its public half is known to anybody.
    """
    request: dict[str, object] = {
        "input": base64.b64encode(message).decode(),
        "key_version": version,
        "marshaling_algorithm": "jws",
    }
    family, size = algorithm[:2], algorithm[2:]
    # Ed25519 is not in the table: it hashes in a way of its own (RFC 8032 §5.1).
    if size in _HASHES:
        request |= {"hash_algorithm": _HASHES[size], **_RSA_PARAMETERS.get(family, {})}
    return request


def signature(data: Mapping[str, object] | None, version: int) -> bytes | None:
    """From the answer to signing; None for any other, and where another version signed."""
    prefix = f"vault:v{version}:"
    match data:
        case {"key_version": int(signer), "signature": str(text)}:
            if signer != version or not text.startswith(prefix):
                return None
            # With `jws` marshaling it is base64url without padding, for every type of key.
            encoded = text.removeprefix(prefix)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            except ValueError:
                return None
    return None


def _public_keys(versions: Mapping[str, object]) -> dict[int, str]:
    """The public keys by version; a symmetric key has dates there, a derived one empty texts."""
    keys = {}
    for version, shown in versions.items():
        match shown:
            case {"public_key": str(text)} if text and version.isdecimal():
                keys[int(version)] = text
    return keys


def _created(versions: Mapping[str, object]) -> dict[int, float]:
    """The dates by version (RFC 3339). Raises ValueError for what is no date."""
    dates = {}
    for version, shown in versions.items():
        match shown:
            case {"creation_time": str(date)} if version.isdecimal():
                dates[int(version)] = datetime.fromisoformat(date).timestamp()
    return dates
