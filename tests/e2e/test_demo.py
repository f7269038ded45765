"""`make demo` without a terminal: the tour, an exit code, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.envoy import ROOT
from tests.support.processes import eventually


def test_the_demo_ends_well_and_leaves_no_process_behind(envoy_version: str) -> None:
    del envoy_version  # asked for: without an Envoy there is no demo
    marker = f"DEMO_OF={os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env={**os.environ, **dict([marker.split("=")])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answers were as expected" in done.stdout
    assert "✗" not in done.stdout
    assert done.stderr == ""
    eventually(lambda: not _processes_with(marker))


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
