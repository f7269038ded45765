"""Say what this machine lacks, before anything is installed.

Whatever is installed is a wheel that requirements/ names by its hash. Nothing is compiled, so the
wheels decide which machines and which Pythons will do. Python 3.6 can still run this file.
"""

import os
import platform
import re
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

# For these there is a wheel of everything, of each Envoy that is tested with for one.
MACHINES = ("x86_64", "aarch64")
OLDEST_GLIBC = (2, 31)

_PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_REQUIRES_PYTHON = re.compile(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', re.MULTILINE)


class Machine(NamedTuple):
    """What there is: ``system`` and ``machine`` as ``uname`` names them, and a Python.

    ``glibc`` and ``python`` are versions; ``glibc`` is empty where the C library is another one.
    ``implementation`` is CPython, or another, or CPython built without its lock.
    """

    system: str
    machine: str
    glibc: "tuple[int, ...]"
    implementation: str
    python: "tuple[int, ...]"
    has_venv: bool


def this_machine() -> Machine:
    """The machine and the Python that run this."""
    machine = platform.machine() if sys.maxsize > 2**32 else "a 32-bit Python"
    implementation = platform.python_implementation()
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        implementation = "free-threaded " + implementation
    return Machine(
        platform.system(),
        machine,
        _glibc(),
        implementation,
        sys.version_info[:3],
        _has_venv(),
    )


def supported_pythons() -> "tuple[tuple[int, int], tuple[int, int]]":
    """The first Python that will do and the first that will not, as pyproject.toml says."""
    stated = _REQUIRES_PYTHON.search(_PROJECT.read_text(encoding="utf-8"))
    assert stated, "requires-python names a first and a last Python"  # noqa: S101 - ours to keep
    return (3, int(stated.group(1))), (3, int(stated.group(2)))


def lacking(machine: Machine) -> "list[str]":
    """What is not as it must be, each with what to do about it."""
    if machine.system != "Linux":
        return [
            f"This is {machine.system}, and Linux is needed: Envoy is installed for Linux alone. "
            "Use a Linux machine or container."
        ]
    problems = []
    if machine.machine not in MACHINES:
        problems.append(
            f"This is {machine.machine}, and {' or '.join(MACHINES)} is needed: Envoy, among "
            "others, is not published for it."
        )
    if machine.glibc < OLDEST_GLIBC:
        found = f"glibc {_dotted(machine.glibc)}" if machine.glibc else "another C library"
        problems.append(
            f"This system has {found}, and glibc {_dotted(OLDEST_GLIBC)} or later is needed: Envoy "
            "is built for it. Debian has it from 11 on, Ubuntu from 20.04, RHEL from 9."
        )
    first, beyond = supported_pythons()
    if machine.implementation != "CPython" or not first <= machine.python < beyond:
        problems.append(
            f"This is {machine.implementation} {_dotted(machine.python)}, and CPython "
            f"{_dotted(first)} to 3.{beyond[1] - 1} is needed. If there is one, name it: "
            "make demo PYTHON=python3.12"
        )
    elif not machine.has_venv:
        problems.append(
            f"This Python {_dotted(machine.python)} has no venv, and its packages are installed "
            "into one. On Debian and Ubuntu: apt-get install python3-venv"
        )
    return problems


def _glibc() -> "tuple[int, ...]":
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):  # not there, or of another C library
        return ()
    name, _, version = library.partition(" ")
    return tuple(map(int, re.findall(r"\d+", version)[:2])) if name == "glibc" else ()


def _has_venv() -> bool:
    try:
        # Debian's python3 has venv without what it needs to put pip into one.
        import ensurepip  # noqa: F401, PLC0415
        import venv  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def _dotted(version: "tuple[int, ...]") -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    sys.exit("\n".join(lacking(this_machine())) or 0)
