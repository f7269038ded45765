"""Addresses on loopback that no one else uses."""

import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below the range from which the kernel takes ports for outgoing connections.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port nothing listens on, for a program that cannot be told to pick one itself."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port


@contextmanager
def socket_directory() -> Iterator[Path]:
    """A directory with a short name: the path of a Unix socket has at most 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="sc-", dir="/tmp"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
