"""kubectl, as `make .kubectl` installs it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.envoy import ROOT

KUBECTL = ROOT / ".kubectl" / "bin" / "kubectl"


class KubectlError(Exception):
    """What kubectl wrote when it failed: the API server's own words, if it asked one."""

    def __init__(self, stdout: str, stderr: str) -> None:
        super().__init__(stderr.strip() or stdout.strip())
        self.stdout = stdout


def kubectl(*arguments: str, stdin: str = "", environment: Mapping[str, str] = {}) -> str:
    """Run kubectl and return what it prints; without an environment it knows no server.

    Raises:
        KubectlError: It ended with another exit code than 0.
    """
    done = subprocess.run(
        [str(KUBECTL), *arguments],
        input=stdin,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise KubectlError(done.stdout, done.stderr)
    return done.stdout


def kustomize(folder: Path) -> str:
    """The manifests, as YAML, that a kustomization renders to."""
    return kubectl("kustomize", str(folder))
