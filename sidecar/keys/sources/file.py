"""Public keys in a file: a JWKS or PEM that other programs write and replace."""

import asyncio
from pathlib import Path
from typing import Final

from sidecar.clients.files import Version, read_settled, version
from sidecar.keys.sources import Fetched, published

MAXIMUM_BYTES: Final = 1024 * 1024


class FileSource:
    """Reads the file again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[Version, Fetched] | None = None

    def __str__(self) -> str:
        return f"file {self._path}"

    async def fetch(self) -> Fetched:
        """The keys in the file (``KeySource.fetch``)."""
        if self._read is not None and self._read[0] == version(self._path):
            return self._read[1]
        data, state = await read_settled(self._path, MAXIMUM_BYTES)
        # On another thread: checks may wait for the event loop.
        fetched = Fetched(await asyncio.to_thread(published, str(self._path), data))
        self._read = (state, fetched)
        return fetched

    async def close(self) -> None:
        """Nothing to close: the file is not kept open."""
