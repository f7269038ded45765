"""Public keys in Vault or OpenBao: those of a transit key, or key sets kept in KV version 2."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.clients.vault import VaultClient
from sidecar.clients.vault_transit import TransitKey
from sidecar.errors import SourceFault
from sidecar.keys.documents import MAXIMUM_KEYS, parse
from sidecar.keys.settings import KvKeys, TransitKeys
from sidecar.keys.sources import Fetched
from sidecar.keys.transit import verification_keys
from sidecar.snapshots.keys import VerificationKey

MAXIMUM_RECORDS: Final = 100

_log = logging.getLogger(__name__)


class VaultTransitSource:
    """Reads the public keys of every live version of a transit key.

    A version below the key's ``min_decryption_version`` is no longer live.
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
        key = await self._vault.read_transit_key(self._settings.mount, self._settings.key)
        if self._last is None or self._last[0] != key:
            try:
                self._last = (key, Fetched(tuple(verification_keys(key).values())))
            except SourceFault as fault:
                raise SourceFault(f"{self} {fault}") from fault
        return self._last[1]

    async def close(self) -> None:
        """Let go of connections (``KeySource.close``)."""
        await self._vault.close()


@dataclass(frozen=True, slots=True)
class _Record:
    """What one replica publishes: its keys, and until when (Unix seconds) they are to be used."""

    keys: tuple[VerificationKey, ...]
    expires: float

    @classmethod
    def of(cls, data: dict[str, object]) -> "_Record":
        """Raises SourceFault for anything else than a record."""
        match data:
            case {"jwks": dict(jwks), "expires": int(expires) | float(expires)}:
                return cls(_parsed(jwks), expires)
        raise SourceFault('is not of the form {"jwks": {"keys": [...]}, "expires": <Unix seconds>}')


class VaultKvSource:
    """Reads a secret whose data is a JWKS (``{"keys": [...]}``), or one record per replica.

    A record is ``{"jwks": {"keys": [...]}, "expires": <Unix seconds>}``; one that has expired
    counts as absent, and one that cannot be used is logged and passed over. ``clock`` gives Unix
    seconds.
    """

    def __init__(self, settings: KvKeys, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._vault = VaultClient(settings.vault)
        self._complaints: dict[str, str] = {}

    def __str__(self) -> str:
        kind = "folder" if self._settings.replicas else "secret"
        settings = self._settings
        return f"{kind} {settings.mount}/{settings.path} at {settings.vault.address}"

    async def fetch(self) -> Fetched:
        """The keys that are published there (``KeySource.fetch``)."""
        if self._settings.replicas:
            return await self._from_records()
        data = await self._read(self._settings.path)
        if data is None:
            raise SourceFault(f"{self} does not exist")
        try:
            return Fetched(_parsed(data))
        except SourceFault as fault:
            raise SourceFault(f"{self} {fault}") from fault

    async def close(self) -> None:
        """Let go of connections (``KeySource.close``)."""
        await self._vault.close()

    async def _from_records(self) -> Fetched:
        names = await self._vault.list_kv(self._settings.mount, self._settings.path)
        records = [name for name in names if not name.endswith("/")]
        if not records:
            raise SourceFault(f"{self} holds no records")
        if len(records) > MAXIMUM_RECORDS:
            raise SourceFault(
                f"{self} holds {len(records)} records; at most {MAXIMUM_RECORDS} are read"
            )
        paths = [f"{self._settings.path}/{name}" for name in records]
        read = await asyncio.gather(*map(self._read, paths), return_exceptions=True)
        return self._live(dict(zip(paths, read, strict=True)))

    def _live(self, read: Mapping[str, dict[str, object] | BaseException | None]) -> Fetched:
        """The keys of all records that can be used at this moment."""
        now = self._clock()
        records, problems = [], {}
        for path, data in read.items():
            if isinstance(data, BaseException):
                # One that could not be read fails the whole: its keys may well be in use.
                raise data
            if data is None:
                continue  # removed since it was listed
            try:
                record = _Record.of(data)
            except SourceFault as fault:
                problems[path] = str(fault)
            else:
                if now < record.expires:
                    records.append(record)
        self._complain(problems)
        keys = tuple(key for record in records for key in record.keys)
        if not keys:
            cause = next(iter(problems.values()), "all have expired")
            raise SourceFault(f"{self} holds no record that can be used: {cause}")
        if len(keys) > MAXIMUM_KEYS:
            raise SourceFault(f"{self} holds {len(keys)} keys; at most {MAXIMUM_KEYS} are read")
        # Whoever publishes one key in two records means the later date.
        records.sort(key=lambda record: record.expires)
        expires = {key: record.expires for record in records for key in record.keys}
        return Fetched(keys, records[0].expires - now, expires)

    def _complain(self, problems: dict[str, str]) -> None:
        """Log what is wrong with a record when it appears, and not again at every fetch."""
        for path, problem in problems.items():
            if self._complaints.get(path) != problem:
                _log.error("the record %s of a replica is not used: it %s", path, problem)
        self._complaints = problems

    async def _read(self, path: str) -> dict[str, object] | None:
        secret = await self._vault.read_kv(self._settings.mount, path)
        return None if secret is None else secret[0]


def _parsed(jwks: dict[str, object]) -> tuple[VerificationKey, ...]:
    return parse(json.dumps(jwks).encode())
