"""Where the server may listen, and what becomes of the socket file."""

import os
import socket
import stat
from pathlib import Path

import grpc
import pytest

from sidecar.errors import ListenFault
from sidecar.wire.grpc.sockets import LoopbackAddress, UnixAddress, parse_address
from tests.support.processes import eventually
from tests.support.served import ECHO, served, unary


@pytest.fixture
def path(socket_directory: Path) -> Path:
    return socket_directory / "authz.sock"


@pytest.mark.parametrize("text", ["unix:/run/sidecar/authz.sock", "127.0.0.1:9001", "[::1]:0"])
def test_a_socket_and_loopback_are_addresses(text: str) -> None:
    assert parse_address(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:9001",
        "[::]:9001",
        "10.1.2.3:9001",
        "[2001:db8::1]:9001",
        "[::ffff:127.0.0.1]:9001",
        "[::ffff:10.1.2.3]:9001",
    ],
)
def test_what_a_neighbour_can_reach_is_refused(text: str) -> None:
    with pytest.raises(ListenFault, match="outside the pod"):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9001",
        ":9001",
        "localhost:9001",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:http",
        "[127.0.0.1]:9001",
        "::1:9001",
        "unix:",
        "unix:relative.sock",
        "unix:/",
        "unix:/a\0b",
        "unix-abstract:sidecar",
    ],
)
def test_anything_else_is_not_an_address(text: str) -> None:
    with pytest.raises(ListenFault, match="is not an address: write "):
        parse_address(text)


def test_a_path_too_long_for_the_kernel_is_refused_before_it_is_tried() -> None:
    parse_address("unix:/" + "x" * 80)
    with pytest.raises(ListenFault, match="bytes too long for a Unix socket"):
        parse_address("unix:/" + "x" * 107)


def test_the_socket_has_its_mode_and_the_umask_its_value(path: Path) -> None:
    umask = os.umask(0o022)
    try:
        with served(UnixAddress(path)):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert os.umask(0o022) == 0o022
    finally:
        os.umask(umask)


def test_nothing_is_left_in_the_directory(path: Path) -> None:
    with served(UnixAddress(path)):
        assert list(path.parent.iterdir()) == [path]
    assert list(path.parent.iterdir()) == []


def test_a_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with served(UnixAddress(path)) as running:
        assert running.echo(b"mine now") == b"mine now"


def test_a_socket_somebody_listens_on_is_not_taken_over(path: Path) -> None:
    with served(UnixAddress(path)) as first:
        with (
            pytest.raises(ListenFault, match="another process already listens on unix:/"),
            served(UnixAddress(path)),
        ):
            pass
        assert first.echo(b"undisturbed") == b"undisturbed"


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_not_a_socket_is_left_alone(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to("elsewhere")
    before = path.lstat()
    with pytest.raises(ListenFault, match="is not a socket"), served(UnixAddress(path)):
        pass
    assert path.lstat() == before


def test_a_missing_directory_is_named(path: Path) -> None:
    with (
        pytest.raises(ListenFault, match=f"{path.parent}/missing must be a directory"),
        served(UnixAddress(path.parent / "missing" / "authz.sock")),
    ):
        pass


def test_a_file_in_the_place_of_the_directory_is_named(path: Path) -> None:
    path.touch()
    with (
        pytest.raises(ListenFault, match="Not a directory"),
        served(UnixAddress(path / "authz.sock")),
    ):
        pass


def test_a_socket_of_another_kind_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(path))
        with pytest.raises(ListenFault, match="cannot tell who"), served(UnixAddress(path)):
            pass
    assert path.is_socket()


def test_a_socket_put_in_its_place_survives_the_stop(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as successor:
        with served(UnixAddress(path)):
            path.unlink()
            successor.bind(str(path))
        assert path.is_socket()


def test_a_socket_file_removed_by_somebody_does_not_disturb_the_stop(path: Path) -> None:
    with served(UnixAddress(path)):
        path.unlink()


def test_a_port_in_use_is_not_shared() -> None:
    with served(parse_address("127.0.0.1:0")) as first:
        address = first.server.address
        with pytest.raises(ListenFault, match="is another process using it"), served(address):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_connections_to_a_port_are_counted(host: str) -> None:
    if host == "[::1]" and not Path("/proc/net/if_inet6").read_text():
        pytest.skip("this machine has no IPv6")
    with served(parse_address(f"{host}:0")) as running:
        address = running.server.address
        assert isinstance(address, LoopbackAddress)
        assert running.server.connections() == 0
        running.echo(b"")
        with socket.create_connection((str(address.host), address.port)):
            eventually(lambda: running.server.connections() == 2)
        eventually(lambda: running.server.connections() == 1)


def test_connections_to_another_socket_are_not_counted(path: Path) -> None:
    with (
        served(UnixAddress(path)) as one,
        served(UnixAddress(path.with_name("authz.sock.2"))) as other,
        grpc.insecure_channel(other.server.address.text) as channel,
    ):
        unary(channel, ECHO)(b"", timeout=5)
        assert (one.server.connections(), other.server.connections()) == (0, 1)
