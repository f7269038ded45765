"""Signing keys that never leave Vault or OpenBao: the versions of a transit key.

A rotation in Vault makes a new version the latest at once. In the ring, the new version is first
*published*, and signs when every verifier has it: each request to sign names its version. An
administrator may raise ``min_encryption_version`` only after that, because older versions then
cannot sign. Raising ``min_decryption_version`` removes older versions from the ring at once.
"""

import asyncio
import base64
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.settings import TransitKeys, VaultSettings
from sidecar.clients.vault.transit import read_key, verification_keys
from sidecar.errors import SourceFault
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import public_jwk
from sidecar.rings.periodic_task import PeriodicTask
from sidecar.rings.ring import KeyRing, RingKey

# Seconds. A signature is one short request; a new TLS connection would take most of its time.
_IDLE: Final = 30.0
_CONNECTIONS: Final = 32
# Each pending signature occupies a check. The limit leaves capacity for checks that need no
# signature when Vault does not answer.
MOST_WAITING: Final = 4 * _CONNECTIONS

_HASHES: Final = {"256": "sha2-256", "384": "sha2-384", "512": "sha2-512"}
# RFC 7518 §3.3 and §3.5. The defaults of the engine are PSS for RSA, and the longest salt.
_RSA_PARAMETERS: Final = {
    "RS": {"signature_algorithm": "pkcs1v15"},
    "PS": {"signature_algorithm": "pss", "salt_length": "hash"},
}


@dataclass(frozen=True, slots=True)
class TransitVersion:
    """One version of a transit key (``SigningKey``)."""

    kid: str
    algorithm: str
    jwk: Mapping[str, str]
    ring: "TransitRing"
    version: int

    def sign(self, message: bytes) -> Awaitable[bytes]:
        """The signature, which Vault makes (``SigningKey.sign``)."""
        return self.ring.sign(message, self)


class TransitRing:
    """Polls the versions of a transit key, and has Vault sign with them (``SigningRing``).

    The policy of its login needs ``read`` on the key and ``update`` on signing with it.
    """

    def __init__(self, settings: TransitKeys, algorithm: str, timings: Timings) -> None:
        self.keys: KeyRing = KeyRing(timings, ())
        self._settings = settings
        self._algorithm = algorithm
        self._vault = VaultClient(_keeping_connections(settings.vault))
        self._refresh = PeriodicTask(str(self), self._pause, self._read)
        self._sign_path = f"{settings.mount}/sign/{settings.key}"
        self._waiting = 0

    def __str__(self) -> str:
        return f"transit key {self._settings.mount}/{self._settings.key}"

    @property
    def problem(self) -> str | None:
        """Why the last reading of the key failed (``Ring.problem``)."""
        return self._refresh.problem

    async def start(self) -> None:
        """Read the key, and look for new versions from then on (``Ring.start``)."""
        await self._refresh.start(self._read)

    async def stop(self) -> None:
        """Stop polling, and close connections."""
        await self._refresh.stop()
        await self._vault.close()

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The public keys (``SigningRing.jwks``). The other replicas read the same key."""
        return self.keys.jwks(now)

    def max_age(self) -> int:
        """For how long they may be reused (``SigningRing.max_age``)."""
        return self.keys.max_age()

    async def sign(self, message: bytes, key: TransitVersion) -> bytes:
        """The signature of one version.

        Raises:
            SourceFault: as ``sign``, or too many signatures are pending.
        """
        if self._waiting >= MOST_WAITING:
            raise SourceFault(f"{self._waiting} signatures are waited for, as many as may be")
        self._waiting += 1
        try:
            return await sign(self._vault, self._sign_path, key.version, message, key.algorithm)
        finally:
            self._waiting -= 1

    async def _pause(self) -> None:
        # A rotation is noticed within the propagation time, even if one reading fails.
        await asyncio.sleep(max(1.0, self.keys.timings.propagation / 3))

    async def _read(self) -> None:
        """Replace the ring by one made of the versions of the key and their creation dates."""
        key = await read_key(self._vault, self._settings.mount, self._settings.key)
        timings = self.keys.timings
        versions: list[RingKey] = []
        try:
            live = await asyncio.to_thread(verification_keys, key)
        except SourceFault as fault:
            raise SourceFault(f"{self} {fault}") from fault
        for version in sorted(live):
            if self._algorithm not in live[version].algorithms:
                raise SourceFault(f"{self} is of type {key.type}, not for {self._algorithm}")
            public, created = live[version].public_key, key.created[version]
            # The oldest version is active at once, because there is no other.
            activates = created + timings.ahead if versions else created - timings.leeway
            jwk = public_jwk(public, self._algorithm)
            signer = TransitVersion(jwk["kid"], self._algorithm, jwk, self, version)
            versions.append(RingKey(signer, created, activates))
        self.keys = KeyRing(timings, tuple(versions))


async def sign(
    vault: VaultClient, path: str, version: int, message: bytes, algorithm: str
) -> bytes:
    """The signature of a JWS with one version of a key.

    Args:
        vault: the server.
        path: of signing with the key, ``:mount/sign/:name``.
        version: the key version, whose public key has been published.
        message: the JWS signing input.
        algorithm: the JWS ``alg``, which has to fit the key.

    Raises:
        SourceFault: as ``VaultClient``.
    """
    data = await vault.call("POST", path, _sign_request(version, message, algorithm))
    signed = _signature(data, version)
    if signed is None:
        raise vault.unexpected(path)
    return signed


def _sign_request(version: int, message: bytes, algorithm: str) -> dict[str, object]:
    """The body of a request to sign ``message``, a JWS signing input, with a key version.

    ``algorithm`` is the JWS ``alg``. The version is named because by default the engine signs with
    the latest one, whose public key may not be published yet.
    """
    request: dict[str, object] = {
        "input": base64.b64encode(message).decode(),
        "key_version": version,
        "marshaling_algorithm": "jws",
    }
    family, size = algorithm[:2], algorithm[2:]
    # Not for Ed25519, which includes its own hashing (RFC 8032 §5.1).
    if size in _HASHES:
        request |= {"hash_algorithm": _HASHES[size], **_RSA_PARAMETERS.get(family, {})}
    return request


def _signature(data: Mapping[str, object] | None, version: int) -> bytes | None:
    """The signature in an answer; None if there is none, or another version made it."""
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


def _keeping_connections(settings: VaultSettings) -> VaultSettings:
    """Settings that keep connections open: reading, signing and logging in can be repeated."""
    return replace(settings, http=replace(settings.http, idle=_IDLE, connections=_CONNECTIONS))
