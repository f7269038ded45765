"""Public keys in Vault or OpenBao: those of a transit key, or key sets kept in KV version 2."""

import asyncio
import json
import time
from collections.abc import Callable

from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.records import MAXIMUM_RECORDS, Folder
from sidecar.clients.vault.settings import KvKeys, TransitKeys
from sidecar.clients.vault.transit import TransitKey, read_key, verification_keys
from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import MAXIMUM_KEYS
from sidecar.keys.sources import Fetched, published


class VaultTransitSource:
    """Reads the public keys of every live version of a transit key.

    A version below the key's ``min_decryption_version`` is not live.
    """

    def __init__(self, settings: TransitKeys) -> None:
        self._settings = settings
        self._vault = VaultClient(settings.vault)
        self._last: tuple[TransitKey, Fetched] | None = None

    def __str__(self) -> str:
        settings = self._settings
        return f"transit key {settings.mount}/{settings.key} at {settings.vault.address}"

    async def fetch(self) -> Fetched:
        """The keys that are live (``KeySource.fetch``)."""
        key = await read_key(self._vault, self._settings.mount, self._settings.key)
        if self._last is None or self._last[0] != key:
            try:
                keys = await asyncio.to_thread(verification_keys, key)
                self._last = (key, Fetched(tuple(keys.values())))
            except SourceFault as fault:
                raise SourceFault(f"{self} {fault}") from fault
        return self._last[1]

    async def close(self) -> None:
        """Close connections (``KeySource.close``)."""
        await self._vault.close()


class VaultKvSource:
    """Reads a secret whose data is a JWKS (``{"keys": [...]}``), or one record per replica.

    A record that cannot be used is logged and skipped. ``clock`` gives Unix seconds.
    """

    def __init__(self, settings: KvKeys, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._vault = VaultClient(settings.vault)
        self._folder = Folder(self._vault, settings.mount, settings.path)
        self._last: tuple[tuple[dict[str, object], int], tuple[VerificationKey, ...]] | None = None

    def __str__(self) -> str:
        kind = "folder" if self._settings.replicas else "secret"
        settings = self._settings
        return f"{kind} {settings.mount}/{settings.path} at {settings.vault.address}"

    async def fetch(self) -> Fetched:
        """The keys that are published there (``KeySource.fetch``)."""
        if self._settings.replicas:
            return await self._from_records()
        secret = await self._vault.read_kv(self._settings.mount, self._settings.path)
        if secret is None:
            raise SourceFault(f"{self} does not exist")
        if self._last is None or self._last[0] != secret:
            document = json.dumps(secret[0]).encode()
            self._last = (secret, await asyncio.to_thread(published, str(self), document))
        return Fetched(self._last[1])

    async def close(self) -> None:
        """Close connections (``KeySource.close``)."""
        await self._vault.close()

    async def _from_records(self) -> Fetched:
        paths = await self._folder.paths()
        if not paths:
            raise SourceFault(f"{self} holds no records")
        if len(paths) > MAXIMUM_RECORDS:
            raise SourceFault(
                f"{self} holds {len(paths)} records; at most {MAXIMUM_RECORDS} are read"
            )
        read = await self._folder.read(paths)
        now = self._clock()
        records = [record for record in read.values() if now < record.expires]
        keys = tuple(key for record in records for key in record.keys)
        if not keys:
            cause = next(iter(self._folder.problems.values()), "all have expired")
            raise SourceFault(f"{self} holds no record that can be used: {cause}")
        if len(keys) > MAXIMUM_KEYS:
            raise SourceFault(f"{self} holds {len(keys)} keys; at most {MAXIMUM_KEYS} are read")
        # A key in two records expires at the later date.
        records.sort(key=lambda record: record.expires)
        expires = {key: record.expires for record in records for key in record.keys}
        return Fetched(keys, records[0].expires - now, expires)
