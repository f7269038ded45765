"""A copy of the project's folder in which nothing is installed yet, and how to run `make` there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.envoy import ROOT

# What stands in .gitignore, and the repository itself.
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")


class Make(Protocol):
    """Runs `make` in a fresh copy; without `check`, whatever its exit code is."""

    def __call__(
        self, *arguments: str, environment: Mapping[str, str] = ..., check: bool = ...
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The fresh copy."""
    return shutil.copytree(ROOT, tmp_path / "authz-sidecar", ignore=_NOT_COPIED)


@pytest.fixture
def make(folder: Path) -> Make:
    def make(
        *arguments: str, environment: Mapping[str, str] = {}, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        python = f"PYTHON={sys.base_prefix}/bin/python3"
        inherited = {name: value for name, value in os.environ.items() if "MAKE" not in name}
        done = subprocess.run(
            ["/usr/bin/env", "make", "--no-print-directory", python, *arguments],
            cwd=folder,
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return make
