"""Waiting for Envoy's clients to go: what ends it, and what the exit code says."""

import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from sidecar.cli.drain import drained
from sidecar.clients.envoy_admin import Traffic
from sidecar.errors import SourceFault
from tests.support.ports import free_port
from tests.unit.cli.conftest import Run

BUSY, IDLE, NOBODY = Traffic(3, 2), Traffic(3, 0), Traffic(0, 0)
SILENT = SourceFault("gave no answer")


@dataclass
class Scripted:
    """An admin that says one thing after another, the last again and again; a second each."""

    script: list[Traffic | SourceFault | None]
    now: float = 100.0
    begun: int = 0
    waits: list[float] = field(default_factory=list)

    def drain(self, within: float) -> None:
        self.waits.append(within)
        self.begun += 1

    def traffic(self, within: float) -> Traffic | None:
        self.waits.append(within)
        self.now += 1
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, SourceFault):
            raise said
        return said

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


def drain(admin: Scripted, timeout: float = 20) -> int:
    return drained(admin, timeout, clock=admin.clock, sleep=admin.sleep)


def test_it_ends_when_the_last_connection_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    admin = Scripted([BUSY, IDLE, NOBODY, BUSY])

    assert drain(admin) == 0
    assert admin.begun == 1
    assert admin.now < 105
    assert capsys.readouterr().err == "drained: no connection is left\n"


def test_it_ends_when_envoy_has_ended() -> None:
    assert drain(Scripted([BUSY, None])) == 0


def test_requests_that_will_be_cut_off_are_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert drain(Scripted([BUSY])) == 1
    assert capsys.readouterr().err == (
        "not drained after 20 s; connections left: 3, requests under way, which may be cut off: 2\n"
    )


def test_connections_that_nobody_uses_are_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert drain(Scripted([BUSY, IDLE])) == 0
    assert "connections left: 3" in capsys.readouterr().err


def test_an_envoy_that_does_not_answer_once_is_asked_again() -> None:
    assert drain(Scripted([BUSY, SILENT, SILENT, NOBODY])) == 0


def test_what_cannot_be_seen_at_the_end_is_a_fault() -> None:
    with pytest.raises(SourceFault, match="gave no answer"):
        drain(Scripted([BUSY, SILENT]))


@pytest.mark.parametrize("timeout", [0.5, 3, 20])
def test_it_takes_no_longer_than_it_may(timeout: float) -> None:
    admin = Scripted([BUSY])
    begin = admin.now
    drain(admin, timeout)

    # The last look takes a second here.
    assert timeout <= admin.now - begin <= timeout + 1.5
    assert max(admin.waits) <= max(timeout, 1)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--admin", "10.0.0.1:9901"), "not on loopback"),
        (("--admin", "localhost:9901"), "write 127.0.0.1:9901"),
        (("--admin", "127.0.0.1"), "write 127.0.0.1:9901"),
        (("--admin", "127.0.0.1:0"), "write 127.0.0.1:9901"),
        (("--admin", "127.0.0.1:65536"), "write 127.0.0.1:9901"),
        (("--admin", "[127.0.0.1]:9901"), "write 127.0.0.1:9901"),
        (("--admin", "::1:9901"), "write 127.0.0.1:9901"),
        (("--timeout", "20s"), "write 20"),
        (("--timeout", "0"), "from 0 to 3600"),
        (("--timeout", "nan"), "from 0 to 3600"),
        (("--timeout", "3601"), "from 0 to 3600"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    run: Run, option: tuple[str, str], says: str
) -> None:
    status, output, errors = run("drain", *option)

    assert (status, output) == (2, "")
    assert says in errors


def test_without_an_envoy_it_is_2(run: Run) -> None:
    address = f"127.0.0.1:{free_port()}"

    assert run("drain", "--admin", address) == (
        2,
        "",
        f"Envoy's admin at {address}: nothing listens there; --admin takes the address of Envoy's "
        "admin\n",
    )


def test_it_loads_little_because_it_runs_within_the_memory_of_the_sidecar() -> None:
    program = "import sys, sidecar.cli.drain; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())

    assert "sidecar.clients.envoy_admin" in loaded
    assert not loaded & {"asyncio", "aiohttp", "pydantic", "grpc", "cryptography", "ruamel.yaml"}
