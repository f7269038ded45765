"""Secrets in files of one line each, which other programs write and replace."""

import asyncio
from pathlib import Path
from typing import Final

from sidecar.clients.files import read
from sidecar.errors import SourceFault

_MAXIMUM_BYTES: Final = 64 * 1024


async def read_secret(path: Path) -> str:
    """The line in a file. Call it for each use, so that a replaced secret is used at once.

    Raises:
        SourceFault: the file cannot be read or does not hold one line of printable ASCII.
    """
    data = (await asyncio.to_thread(read, path, _MAXIMUM_BYTES)).strip()
    if not data or not data.isascii() or not (line := data.decode("ascii")).isprintable():
        raise SourceFault(f"{path} does not hold one line of text, as a secret does")
    return line
