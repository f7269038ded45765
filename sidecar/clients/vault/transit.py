"""Reads the public part of a key of the transit engine of Vault or OpenBao.

``rings.transit`` signs with it.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecar.clients.vault.client import VaultClient
from sidecar.errors import SourceFault
from sidecar.jose.algorithms import algorithms_for
from sidecar.jose.jwk import VerificationKey, thumbprint
from sidecar.jose.key_documents import MAXIMUM_KEYS, parse
from sidecar.jose.weakness import weakness


@dataclass(frozen=True, slots=True)
class TransitKey:
    """The public part of a key.

    ``public_keys`` holds the live versions: PEM, or for ed25519 the raw bytes in standard base64.
    It is empty for a symmetric or a derived key, whose public key the engine does not return.
    ``created`` has the dates of these versions, in Unix seconds.
    """

    type: str
    latest_version: int
    public_keys: Mapping[int, str]
    created: Mapping[int, float]

    @classmethod
    def of(cls, data: Mapping[str, object] | None) -> "TransitKey | None":
        """The key in an answer; None if there is none."""
        match data:
            case {"type": str(kind), "latest_version": int(latest), "keys": dict(versions)}:
                try:
                    return cls(kind, latest, _public_keys(versions), _created(versions))
                except ValueError:
                    return None
        return None


async def read_key(vault: VaultClient, mount: str, name: str) -> TransitKey:
    """The public part of a key (``GET /:mount/keys/:name``).

    Raises:
        SourceFault: as ``VaultClient``; there is no such key.
    """
    path = f"{mount}/keys/{name}"
    data = await vault.call("GET", path)
    if data is None:
        raise SourceFault(f"{vault.url(path)} does not exist")
    key = TransitKey.of(data)
    if key is None:
        raise vault.unexpected(path)
    return key


def verification_keys(key: TransitKey) -> dict[int, VerificationKey]:
    """The public keys of the live versions, by version. Each one's kid is its thumbprint.

    Raises:
        SourceFault: the key has no public key, or one of an unsupported type, or more than 1,000
            live versions.
    """
    if not key.public_keys:
        raise SourceFault(
            f"is of type {key.type} and shows no public key: symmetric, derived and external keys "
            "cannot be used here"
        )
    if len(key.public_keys) > MAXIMUM_KEYS:
        raise SourceFault(
            f"has {len(key.public_keys)} live versions; at most {MAXIMUM_KEYS} are read, so "
            "min_decryption_version has to be raised"
        )
    return {version: _verification_key(text) for version, text in key.public_keys.items()}


def _verification_key(text: str) -> VerificationKey:
    """From PEM or, for ed25519, the raw bytes in base64."""
    if text.startswith("-----BEGIN"):
        (key,) = parse(text.encode()).keys
        return replace(key, kid=key.thumbprint)
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError as fault:
        raise SourceFault("shows a public key that is neither PEM nor Ed25519") from fault
    weak = weakness(public)
    if weak is not None:
        raise SourceFault(f"shows a public key that {weak}")
    kid = thumbprint(public)
    return VerificationKey(kid, kid, algorithms_for(public), public)


def _public_keys(versions: Mapping[str, object]) -> dict[int, str]:
    """The public keys by version; a symmetric key has dates there, a derived one empty texts."""
    keys = {}
    for version, entry in versions.items():
        match entry:
            case {"public_key": str(text)} if text and version.isdecimal():
                keys[int(version)] = text
    return keys


def _created(versions: Mapping[str, object]) -> dict[int, float]:
    """The dates by version (RFC 3339). Raises ValueError for what is no date."""
    dates = {}
    for version, entry in versions.items():
        match entry:
            case {"creation_time": str(date)} if version.isdecimal():
                dates[int(version)] = datetime.fromisoformat(date).timestamp()
    return dates
