"""The last good public keys on disk, for a start while the key server is down.

One file per trust entry. Saved keys keep the date of their fetch, so they become too old like any
other keys. A file is ignored if it is damaged, if another user can change it, or if it is of
another trust entry or source: the entry then waits for its source.
"""

import asyncio
import json
import logging
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sidecar.clients import files
from sidecar.errors import SourceFault
from sidecar.jose.algorithms import algorithms_for
from sidecar.jose.jwk import VerificationKey, members
from sidecar.jose.key_documents import parse
from sidecar.jose.strict_json import StrictJsonError, load_object

_log = logging.getLogger("sidecar.keys")

_FORMAT: Final = 1
_MAXIMUM_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SavedKeys:
    """Keys as a source published them at ``fetched_at`` (Unix seconds).

    ``expires`` has the keys with an expiry, and its date in Unix seconds. Keys of a source with
    such keys are not saved, because they are short-lived.
    """

    keys: tuple[VerificationKey, ...]
    fetched_at: float
    expires: Mapping[VerificationKey, float] = field(default_factory=dict)

    def at(self, now: float) -> tuple[VerificationKey, ...]:
        """The keys that have not expired."""
        return tuple(key for key in self.keys if now < self.expires.get(key, math.inf))


class SavedCopy:
    """The file of one trust entry. ``source`` is a text that no other source of keys has.

    The name of a trust entry is a safe file name: the configuration checks that.
    """

    def __init__(self, directory: Path, trust: str, source: str) -> None:
        self._path = directory / f"{trust}.keys"
        self._trust = trust
        self._source = source

    async def write(self, saved: SavedKeys) -> None:
        """Save the keys. A failure is logged: nothing depends on the file until the next start."""
        if not saved.expires:
            await asyncio.to_thread(self._write, saved)

    async def read(self) -> SavedKeys | None:
        """What was saved; None if there is no file or it is ignored."""
        return await asyncio.to_thread(self._read)

    def _write(self, saved: SavedKeys) -> None:
        content = json.dumps(
            {
                "format": _FORMAT,
                "trust": self._trust,
                "source": self._source,
                "fetched_at": saved.fetched_at,
                "jwks": {"keys": [_jwk(key) for key in saved.keys]},
            }
        ).encode()
        try:
            files.replace(self._path, _digest(content) + b"\n" + content)
        except OSError as fault:
            fields = {"issuer": self._trust, "problem": f"{self._path}: {fault.strerror}"}
            _log.warning("keys are not saved", extra=fields)

    def _read(self) -> SavedKeys | None:
        try:
            if not self._path.exists():
                return None
            return self._checked(_read_own(self._path))
        except (SourceFault, StrictJsonError, OSError) as fault:
            problem = f"{self._path} {fault}"
            _log.warning(
                "saved keys are not used", extra={"issuer": self._trust, "problem": problem}
            )
            return None

    def _checked(self, data: bytes) -> SavedKeys:
        digest, _, content = data.partition(b"\n")
        if digest != _digest(content):
            raise SourceFault("is damaged: it does not match its own digest")
        document = load_object(content)
        expected = {"format": _FORMAT, "trust": self._trust, "source": self._source}
        for name, value in expected.items():
            if document.get(name) != value:
                raise SourceFault(f"is of another {name}")
        fetched_at = document.get("fetched_at")
        if not isinstance(fetched_at, float):
            raise SourceFault("does not say when its keys were fetched")
        return SavedKeys(parse(json.dumps(document.get("jwks")).encode()).keys, fetched_at)


def _read_own(path: Path) -> bytes:
    """The bytes of a file that no other user can have written."""
    try:
        state = path.lstat()
    except OSError as fault:
        raise SourceFault(f"cannot be read: {fault.strerror}") from fault
    private = stat.S_ISREG(state.st_mode) and not state.st_mode & 0o077
    if not private or state.st_uid != os.geteuid():
        raise SourceFault("is not a file that only this user can read and write")
    return files.read(path, _MAXIMUM_BYTES)


def _jwk(key: VerificationKey) -> dict[str, Any]:
    """A key that ``parse`` reads back as the same: with its kid, algorithm and issuer, if any."""
    jwk = members(key.public_key)
    if key.kid is not None:
        jwk["kid"] = key.kid
    if key.algorithms != algorithms_for(key.public_key):
        (jwk["alg"],) = key.algorithms
    if key.issuer is not None:
        jwk["issuer"] = str(key.issuer)
    return jwk


def _digest(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()
