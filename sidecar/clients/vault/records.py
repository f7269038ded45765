"""Records in a folder of KV version 2: each replica of a gateway publishes its own keys in one.

A record is ``{"jwks": {"keys": [...]}, "expires": <Unix seconds>}``. It is ignored from its expiry
on. ``"signs_from"`` is the time from which its replica signs; the other replicas read it.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.clients.vault.client import VaultClient
from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import parse

MAXIMUM_RECORDS: Final = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """The public keys of one replica, and until when they are to be used.

    It signs from ``signs_from`` on. Both are in Unix seconds.
    """

    keys: tuple[VerificationKey, ...]
    expires: float
    signs_from: float

    @classmethod
    def of(cls, data: dict[str, object]) -> "Record":
        """Read a record. Raises SourceFault for anything else."""
        match data:
            case {"jwks": dict(jwks), "expires": int(expires) | float(expires)}:
                since = data.get("signs_from")
                # A record without this date may belong to a replica that signs already.
                signs_from = since if isinstance(since, int | float) else 0.0
                return cls(parse(json.dumps(jwks).encode()).keys, expires, signs_from)
        raise SourceFault('is not of the form {"jwks": {"keys": [...]}, "expires": <Unix seconds>}')


class Folder:
    """Reads the records at ``path``. ``problems`` maps a path to why its record is not used."""

    def __init__(self, vault: VaultClient, mount: str, path: str) -> None:
        self.problems: dict[str, str] = {}
        self._vault = vault
        self._mount = mount
        self._path = path

    async def paths(self) -> tuple[str, ...]:
        """The paths of the records. Raises SourceFault as ``VaultClient``."""
        names = await self._vault.list_kv(self._mount, self._path)
        return tuple(f"{self._path}/{name}" for name in names if not name.endswith("/"))

    async def read(self, paths: Sequence[str]) -> dict[str, Record]:
        """The records that can be used. Why another cannot is logged when that changes.

        Raises:
            SourceFault: one could not be read. It may hold keys in use, so all are needed.
        """
        read = await asyncio.gather(
            *(self._vault.read_kv(self._mount, path) for path in paths), return_exceptions=True
        )
        records, problems = {}, {}
        for path, secret in zip(paths, read, strict=True):
            if isinstance(secret, BaseException):
                raise secret
            if secret is None:
                continue  # removed since it was listed
            try:
                records[path] = await asyncio.to_thread(Record.of, secret[0])
            except SourceFault as fault:
                problems[path] = str(fault)
                if self.problems.get(path) != str(fault):
                    _log.error("the record %s of a replica is not used: it %s", path, fault)
        self.problems = problems
        return records
