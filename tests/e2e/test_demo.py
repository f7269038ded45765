"""`make demo`: the tour, an exit code, no secret in what it prints, and nothing left behind."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.demo import conduct
from examples.exchange import Exchange
from examples.facts import Fact, answered, stop
from tests.support.envoy import ROOT
from tests.support.http1 import Response
from tests.support.processes import eventually

COMMAND = (sys.executable, "-m", "examples.demo")
# As long as a session of the SSO, a part of a token or a whole key id.
SECRET = re.compile(r"[\w-]{40,}|eyJ")


@pytest.fixture
def environment(
    envoy_version: str, openid_provider: object, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """For the demo; when the test is over, nothing that inherited it runs, and no file is left."""
    del envoy_version, openid_provider  # asked for: without them there is no demo
    marker = f"DEMO_OF={tmp_path}"
    yield {**os.environ, "TMPDIR": str(tmp_path), **dict([marker.split("=")])}
    eventually(lambda: not _processes_with(marker))
    assert list(tmp_path.iterdir()) == []


def test_the_demo_ends_well_without_a_terminal(environment: dict[str, str]) -> None:
    done = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stops were as expected" in done.stdout
    assert "✗" not in done.stdout
    assert not SECRET.search(done.stdout)
    assert done.stderr == ""


def test_at_a_terminal_it_stays_up_until_it_is_told_to_end(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with (
        open(ours, "rb", buffering=0) as screen,
        subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stdout=theirs) as demo,
    ):
        os.close(theirs)
        shown = ""
        while "sidecar check" not in shown:
            shown += screen.read(65536).decode(errors="replace")
        assert demo.poll() is None
        demo.terminate()
        assert demo.wait(30) == 0
    assert "✗" not in shown
    assert not SECRET.search(shown)


def test_what_is_not_as_expected_is_shown_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    exchange = Exchange("GET /", Response(200, (), b""), {"gateway": "public"}, {})
    wrong = stop("wrong", answered(exchange, 401, "no_credential"))
    right = stop("right", answered(exchange, 200, "public"), Fact("so it is", holds=True))
    assert not conduct([right, wrong])
    shown = capsys.readouterr().out
    assert "✗ GET / → 200   gateway: public   (expected 401: no_credential)" in shown
    assert "1 of 2 stops were as expected." in shown
    assert conduct([right])


def _processes_with(variable: str) -> list[str]:
    """The processes that inherited an environment variable."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in environment.read_bytes().split(b"\0"):
                found.append(environment.parent.name)
        except OSError:
            continue  # it has ended meanwhile, or is not ours to look into
    return found
