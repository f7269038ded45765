"""From a transit key of Vault to verification keys."""

import base64
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecar.clients.vault_transit import TransitKey
from sidecar.errors import SourceFault
from sidecar.jose.algorithms import algorithms_for
from sidecar.jose.jwk import thumbprint
from sidecar.jose.weakness import weakness
from sidecar.keys.documents import MAXIMUM_KEYS, parse
from sidecar.snapshots.keys import VerificationKey


def verification_keys(key: TransitKey) -> dict[int, VerificationKey]:
    """The public keys of the live versions, by version. Each one's kid is its thumbprint.

    Raises:
        SourceFault: the key has no public half, or not one for the signatures checked here, or
            more than 1,000 live versions.
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
