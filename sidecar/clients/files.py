"""Reads files that may be replaced while the program runs: whole, and up to a maximum size.

Kubernetes swaps a symbolic link, which is atomic; editors and scripts write in place, which is
not. A file is therefore used only when it has not changed for ``SETTLED_AFTER`` seconds.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.errors import SourceFault

SETTLED_AFTER: Final = 0.05
_MOST_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class Version:
    """Identifies one state of a file; of a link, the state of its target."""

    device: int
    inode: int
    size: int
    modified_ns: int


def version(path: Path) -> Version | None:
    """The file's present state; None when it does not exist or cannot be examined."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Version(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read(path: Path, maximum_bytes: int) -> bytes:
    """The file's bytes.

    Raises:
        SourceFault: it cannot be read, is not a regular file, or is larger than ``maximum_bytes``.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            data = file.read(maximum_bytes + 1)
    except OSError as fault:
        raise SourceFault(f"{path} cannot be read: {fault.strerror}") from fault
    if len(data) > maximum_bytes:
        raise SourceFault(f"{path} is larger than {maximum_bytes} bytes")
    return data


async def read_settled(path: Path, maximum_bytes: int) -> tuple[bytes, Version]:
    """The file's bytes once it has stopped changing, and the version they belong to.

    Raises:
        SourceFault: as ``read``, or it kept changing for a second.
    """
    for _ in range(_MOST_ATTEMPTS):
        before = version(path)
        data = await asyncio.to_thread(read, path, maximum_bytes)
        if before is not None and before == version(path) and _age(before) >= SETTLED_AFTER:
            return data, before
        await asyncio.sleep(SETTLED_AFTER)
    raise SourceFault(f"{path} keeps changing while it is read")


def _age(state: Version) -> float:
    """Seconds since the last write; a date in the future counts as long ago."""
    age = time.time() - state.modified_ns / 1e9
    return age if age >= 0 else SETTLED_AFTER


def replace(path: Path, data: bytes) -> None:
    """Replace a file atomically, with mode 0600; its directory must exist.

    Raises:
        OSError: it cannot be written; the file that was there is unchanged.
    """
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # left by a process that was interrupted
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)


async def changed(path: Path, known: Version | None, interval: float) -> None:
    """Return when the file exists in another version than ``known``, and has stopped changing.

    Kubernetes replaces a mounted file by changing a link, which a watch on the file itself would
    not report. So the file is examined every ``interval`` seconds.
    """
    while True:
        await asyncio.sleep(interval)
        seen = version(path)
        if seen is not None and seen != known and _age(seen) >= SETTLED_AFTER:
            return
