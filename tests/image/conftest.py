"""The program as it is packed: a wheel, from a fresh copy of the project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.envoy import ROOT

# What stands in .gitignore, and the repository itself.
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")


def run(*command: str | Path, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fresh copy."""
    target = tmp_path_factory.mktemp("project") / "authz-sidecar"
    return shutil.copytree(ROOT, target, ignore=_NOT_COPIED)


def build_wheel(source: Path, directory: Path) -> Path:
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", directory)
    run(sys.executable, "-m", "pip", "wheel", *options, source, folder=source)
    (wheel,) = directory.iterdir()
    return wheel


@pytest.fixture(scope="session")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(project, tmp_path_factory.mktemp("wheel"))
