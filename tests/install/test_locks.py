"""Both locks with the oldest pip that is supported and one of today, from the real registry.

Beside it stands a release of every package that is newer than the locked one, as there may be any
day: none of them is installed.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.install.conftest import Make
from tests.support.envoy import ROOT
from tools.prerequisites import MACHINES, OLDEST_GLIBC, supported_pythons

pytestmark = [pytest.mark.registry, pytest.mark.timeout(900)]

LOCKS = ROOT / "requirements"
# The oldest is that of Debian 12. It does not run on Python 3.12 or later: neither does its test.
OLDEST_PIP, LATEST_PIP = PIPS = ("23.0.1", "26.3")
PYTHONS = range(supported_pythons()[0][1], supported_pythons()[1][1])


@pytest.fixture
def newer_releases(tmp_path: Path) -> Mapping[str, str]:
    """The environment in which pip finds a newer release of everything."""
    directory = tmp_path / "newer"
    directory.mkdir()
    for lock in LOCKS.glob("*.txt"):
        for name in pinned(lock):
            (directory / f"{name.replace('-', '_')}-9999-py3-none-any.whl").touch()
    return {"PIP_FIND_LINKS": f"{directory} {os.environ.get('PIP_FIND_LINKS', '')}".strip()}


def pinned(lock: Path) -> dict[str, str]:
    """The releases in a lock that are for this machine, by their names."""
    lines = re.findall(r"^(\w.*==.*?) \\$", lock.read_text(), re.MULTILINE)
    pins = [pin for pin in map(Requirement, lines) if not pin.marker or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def run(*command: str, folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(venv: Path) -> dict[str, str]:
    """The releases in a virtual environment, by their names."""
    program = (
        "from importlib.metadata import distributions\n"
        "for each in distributions(): print(each.name, each.version)"
    )
    told = run(f"{venv}/bin/python", "-I", "-c", program, folder=venv, environment={})
    releases = dict(line.split() for line in told.splitlines())
    return {canonicalize_name(name): release for name, release in releases.items()}


@pytest.mark.parametrize("pip", PIPS)
def test_what_the_readme_says_installs_the_runtime_lock(
    pip: str, folder: Path, tmp_path: Path, newer_releases: Mapping[str, str]
) -> None:
    commands = re.findall(r"^ *(pip install .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    venv = tmp_path / "venv"
    run(f"{sys.base_prefix}/bin/python3", "-m", "venv", str(venv), folder=folder, environment={})
    found = {**newer_releases, "PATH": f"{venv}/bin:{os.environ['PATH']}"}
    lock = f"requirements/pip-{pip}.txt"
    for command in (f"pip install --quiet --require-hashes -r {lock}", *commands):
        run(*command.split(), folder=folder, environment=found)

    releases = installed(venv)
    expected = pinned(LOCKS / "runtime.txt") | pinned(LOCKS / "build.txt") | {"pip": pip}
    assert releases == expected | {"authz-sidecar": releases["authz-sidecar"]}
    assert "sidecar serve" in run(f"{venv}/bin/sidecar", "serve", "-h", folder=venv, environment={})


def test_the_demo_ends_well_with_the_oldest_pip(
    make: Make, folder: Path, newer_releases: Mapping[str, str]
) -> None:
    done = make("demo", f"PIP={OLDEST_PIP}", environment=newer_releases)
    assert "stops were as expected" in done.stdout
    expected = pinned(LOCKS / "dev.txt") | {"pip": OLDEST_PIP}
    assert installed(folder / ".venv").items() >= expected.items()


def test_the_development_lock_installs_with_a_pip_of_today(
    make: Make, folder: Path, newer_releases: Mapping[str, str]
) -> None:
    make(".venv/.ready", f"PIP={LATEST_PIP}", environment=newer_releases)
    expected = pinned(LOCKS / "dev.txt") | {"pip": LATEST_PIP}
    assert installed(folder / ".venv").items() >= expected.items()


@pytest.fixture(scope="module")
def pip_of_today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    venv = tmp_path_factory.mktemp("pip")
    run(sys.executable, "-m", "venv", str(venv), folder=venv, environment={})
    lock = LOCKS / f"pip-{LATEST_PIP}.txt"
    pip = venv / "bin" / "pip"
    run(str(pip), "install", "--require-hashes", "-r", str(lock), folder=venv, environment={})
    return pip


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_there_is_a_wheel_of_everything_for_every_machine_and_python_that_will_do(
    machine: str, python: int, pip_of_today: Path, tmp_path: Path
) -> None:
    wheels = [name for name in LOCKS.glob("*.txt") if not name.match("pip-*")]
    major, newest = OLDEST_GLIBC
    platforms = [f"manylinux_{major}_{minor}_{machine}" for minor in range(5, newest + 1)]
    for lock in wheels:
        run(
            *(str(pip_of_today), "install", "--dry-run", "--target", str(tmp_path / "nothing")),
            *("--no-deps", "--require-hashes", "--python-version", f"3.{python}"),
            *(f"--platform={each}" for each in [*platforms, f"manylinux2014_{machine}"]),
            *("-r", str(lock)),
            folder=tmp_path,
            environment={},
        )
