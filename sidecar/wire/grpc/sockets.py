"""Listening on addresses that cannot be reached from outside the pod.

A Unix socket is created atomically with its mode: it is bound under another name in the same
directory, and renamed once it listens. So grpc core, which at some time removes the name that it
bound, does not remove the socket of a later process.
"""

import errno
import ipaddress
import os
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.errors import ListenFault

# unix(7): sun_path holds 108 bytes, the last of them NUL.
_LONGEST_PATH: Final = 107
# Leaves 0660 of 0777: reading and writing for the owner and the group (Envoy's container).
_UMASK: Final = 0o117
_ESTABLISHED: Final = "01"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket at an absolute ``path``."""

    path: Path

    @property
    def text(self) -> str:
        """The address in the form of grpc and ``parse_address``."""
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class LoopbackAddress:
    """A TCP port of the loopback interface. Port 0 lets the kernel choose."""

    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    @property
    def text(self) -> str:
        """The address in the form of grpc and ``parse_address``."""
        host = f"[{self.host}]" if self.host.version == 6 else self.host
        return f"{host}:{self.port}"


Address = UnixAddress | LoopbackAddress


def parse_address(text: str) -> Address:
    """Read ``unix:/path``, ``127.0.0.1:port`` or ``[::1]:port``. Raises ListenFault otherwise."""
    scheme, colon, path = text.partition(":")
    if colon and scheme == "unix":
        return _unix(text, Path(path))
    host, colon, port = text.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port) if port.isascii() and port.isdigit() else -1
    except ValueError:
        ip, number = None, -1
    if ip is None or not 0 <= number <= 65535 or (ip.version == 6) != host.startswith("["):
        raise ListenFault(
            f"{text!r} is not an address: write unix:/path, 127.0.0.1:port or [::1]:port"
        )
    if not ip.is_loopback or (ip.version == 6 and ip.ipv4_mapped is not None):
        raise ListenFault(
            f"{text} can be reached from outside the pod: whoever reaches the check can try tokens"
            " on it; use a Unix socket, 127.0.0.1 or [::1]"
        )
    return LoopbackAddress(ip, number)


def _unix(text: str, path: Path) -> UnixAddress:
    if not path.is_absolute() or not path.name or "\0" in text:
        raise ListenFault(f"{text!r} is not an address: write unix: and an absolute path")
    longest = len(os.fsencode(_temporary(path)))
    if longest > _LONGEST_PATH:
        raise ListenFault(
            f"{text}: the path is {longest - _LONGEST_PATH} bytes too long for a Unix socket"
        )
    return UnixAddress(path)


def _temporary(path: Path) -> Path:
    """Return the name under which the socket at ``path`` is bound before it is renamed."""
    return path.with_name(f".{path.name}.{os.getpid()}")


class Listener:
    """Binds one address through ``bind``, which takes grpc's form of it and returns the port.

    Once open, ``address`` has the port that was chosen where 0 was asked for.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._inode = 0

    def open(self, bind: Callable[[str], int]) -> None:
        """Bind and listen. The process's umask is changed meanwhile, so do this early.

        Raises ListenFault, with what to do about it.
        """
        match self.address:
            case UnixAddress(path):
                self._open_unix(path, bind)
            case LoopbackAddress(host, _):
                try:
                    port = bind(self.address.text)
                except OSError as error:
                    raise ListenFault(
                        f"cannot listen on {self.address.text}: {error};"
                        " is another process using it?"
                    ) from error
                self.address = LoopbackAddress(host, port)

    def _open_unix(self, path: Path, bind: Callable[[str], int]) -> None:
        _refuse_if_taken(path)
        temporary = _temporary(path)
        umask = os.umask(_UMASK)
        try:
            bind(f"unix:{temporary}")
            self._inode = temporary.lstat().st_ino
            temporary.rename(path)
        except OSError as error:
            raise ListenFault(
                f"cannot listen on unix:{path}: {error};"
                f" {path.parent} must be a directory this process may write to"
            ) from error
        finally:
            os.umask(umask)

    def close(self) -> None:
        """Remove the socket file, if it is still the one that was made here."""
        if isinstance(self.address, UnixAddress) and self._inode:
            with suppress(FileNotFoundError):
                if self.address.path.lstat().st_ino == self._inode:
                    self.address.path.unlink()

    def connections(self) -> int:
        """Count the connections to this listener, those not yet accepted included."""
        match self.address:
            case UnixAddress(path):
                return _unix_connections(str(_temporary(path)))
            case LoopbackAddress(host, port):
                return _tcp_connections(host, port)


def _refuse_if_taken(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ListenFault(f"cannot listen on unix:{path}: {error}") from error
    if not stat.S_ISSOCK(mode):
        raise ListenFault(
            f"{path} exists and is not a socket: it is left alone; remove it or choose another path"
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)  # a listener whose backlog is full lets a connection wait
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                return
            raise ListenFault(f"cannot tell who listens on unix:{path}: {error}") from error
    raise ListenFault(f"another process already listens on unix:{path}: stop it first")


def _unix_connections(bound: str) -> int:
    """Count the accepted ends in proc_net_unix(5): they have the listener's name, but no flag."""
    count = 0
    for line in Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        count += len(fields) == 8 and fields[7] == bound and fields[3] == "00000000"
    return count


def _tcp_connections(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> int:
    """Count in proc_net_tcp(5). grpc core listens on IPv4 through an IPv6 socket where it can."""
    mapped = host if host.version == 6 else ipaddress.IPv6Address(f"::ffff:{host}")
    local = {f"{_kernel_hex(ip)}:{port:04X}" for ip in (host, mapped)}
    count = 0
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if table.exists():  # a kernel without IPv6 has no tcp6
            for line in table.read_text().splitlines()[1:]:
                fields = line.split(maxsplit=4)
                count += fields[1] in local and fields[3] == _ESTABLISHED
    return count


def _kernel_hex(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Format an address as the kernel does: 32-bit words, each in the machine's byte order."""
    words = (ip.packed[i : i + 4] for i in range(0, len(ip.packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
