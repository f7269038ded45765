"""A ring in a directory: read, and replaced so that there is always one whole ring to read.

The file is written beside its place and moved there (``clients.files.replace``), and the move is
on the disk before the writer goes on. Writers wait for one another.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sidecar.clients.files import read, replace
from sidecar.errors import SourceFault
from sidecar.rings.document import dump, load
from sidecar.rings.ring import KeyRing
from sidecar.rings.stored import StoredKey

FILE: Final = "ring.json"
MAXIMUM_BYTES: Final = 1024 * 1024  # what a Kubernetes Secret may hold


def load_directory(directory: Path) -> KeyRing[StoredKey]:
    """The ring in a directory.

    Raises:
        SourceFault: there is none, it is not what ``document.load`` reads, or others than its
            owner and group may read or write it.
    """
    path = directory / FILE
    refuse_open_to_all(path)
    return parse(path, read(path, MAXIMUM_BYTES))


def parse(path: Path, content: bytes) -> KeyRing[StoredKey]:
    """The ring in the content of the file ``path``. Raises SourceFault as ``document.load``."""
    try:
        return load(content)
    except SourceFault as fault:
        raise SourceFault(f"{path} {fault}") from fault


def refuse_open_to_all(path: Path) -> None:
    """Refuse secret keys that every user of the machine may read or replace.

    The group may: that is how the kubelet gives a Secret to a pod with an ``fsGroup``.

    Raises:
        SourceFault: others have any right to the file, or it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except OSError as fault:
        raise SourceFault(f"{path} cannot be read: {fault.strerror}") from fault
    if mode & stat.S_IRWXO:
        raise SourceFault(
            f"{path} holds secret keys and is open to every user (mode {stat.S_IMODE(mode):04o}); "
            "take that away with chmod o=, or for a mounted Secret with defaultMode: 0440"
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep every other writer of the directory waiting. The lock ends with its process at latest.

    Raises:
        SourceFault: there is no such directory.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as fault:
        raise SourceFault(f"{directory} cannot be used: {fault.strerror}") from fault
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def store(directory: Path, ring: KeyRing[StoredKey]) -> None:
    """Put a ring in the place of the one that is there, readable by its owner alone.

    The caller has ``locked`` the directory.

    Raises:
        SourceFault: the directory cannot be written to; what was there before still is.
    """
    try:
        replace(directory / FILE, dump(ring))
        _flush(directory)
    except OSError as fault:
        raise SourceFault(f"{directory} cannot be written to: {fault.strerror}") from fault


def _flush(directory: Path) -> None:
    """Have the move on the disk: a key must not sign and then be forgotten by a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
