"""Programs that tests start are gone when the tests are, however those end."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import socket_directory
from tests.support.processes import Child, eventually

# Starts a child, as this user if it can, and says so.
_TESTS = """
import signal, sys
from pathlib import Path
from tests.support.processes import Child, as_user
child = Child(["sleep", "60"], Path(sys.argv[1]), as_user=as_user(sys.argv[2]))
print(child.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that any user may enter."""
    with socket_directory() as made:
        made.chmod(0o755)
        yield made


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_program_ends_when_the_tests_are_killed(directory: Path, user: str) -> None:
    command = [sys.executable, "-c", _TESTS, str(directory), user]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        pid = int(tests.stdout.readline())
        eventually(lambda: _command(pid) == "sleep")
        tests.kill()

    eventually(lambda: _command(pid) != "sleep")


def test_a_program_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "echo begun; exec sleep 60"], tmp_path)

    with pytest.raises(AssertionError, match=r"^still False after 0\.2 s") as told:
        child.wait_until(lambda: False, within=0.2)

    assert not child.running
    assert told.value.__notes__ == ["sh -c echo begun; exec sleep 60\nbegun"]


def test_a_program_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "echo broken >&2; exit 3"], tmp_path)

    with pytest.raises(AssertionError, match=r"^ended with 3") as told:
        child.wait_until(lambda: False)

    assert told.value.__notes__ == ["sh -c echo broken >&2; exit 3\nbroken"]


def test_what_a_program_leaves_is_killed_when_it_is_stopped(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "sleep 60 & echo $!; wait"], tmp_path)
    child.wait_until(lambda: bool(child.stdout()))
    (pid,) = map(int, child.stdout())

    child.stop()

    eventually(lambda: _command(pid) != "sleep")


def test_a_program_is_stopped_when_the_wait_for_it_is_interrupted(tmp_path: Path) -> None:
    child = Child(["sleep", "60"], tmp_path)

    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        child.wait_until(interrupted)

    assert not child.running


def _command(pid: int) -> str:
    """The name of the program that a process runs; none once it has ended."""
    try:
        # Without arguments it is a zombie: its new parent may not have waited for it.
        return Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]
    except OSError:
        return ""
