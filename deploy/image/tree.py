"""Put together the root of the container image in a folder: what the program needs, no more.

That is this Python without what it does not use, the packages of a lock, the wheel of the program,
the shared libraries that all of these load, and the system's certificate authorities. There is no
shell, no pip and no compiler in it. The Dockerfile beside this file runs it, and so does
``make test-image``, which starts the program in the result.

    python deploy/image/tree.py --lock requirements/runtime.txt --wheel dist/*.whl FOLDER
"""

import argparse
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from pathlib import Path

HOME = Path("/opt/sidecar")
# Not root, and not the usual user of an application: another container must not share it.
USER = 64646
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Parts of the standard library that install packages, draw windows, edit lines or test Python.
_UNUSED = shutil.ignore_patterns(
    *("__pycache__", "site-packages", "dist-packages", "config-*", "*.a"),
    *("ensurepip", "venv", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "turtledemo"),
    *("tkinter", "turtle.py", "_tkinter*", "macholib", "curses", "_curses*", "readline*"),
    *("_dbm*", "_gdbm*", "nis*", "_test*", "_ctypes_test*", "_xxtestfuzz*", "xx*"),
)
_LAUNCHER = f"""#!{HOME}/bin/python -I
import sys
from sidecar.cli import main
sys.exit(main())
"""


def main() -> None:
    """Fill the folder, which must not exist."""
    parser = argparse.ArgumentParser(description="Put together the root of the container image.")
    parser.add_argument("--lock", type=Path, required=True, help="what is installed, with hashes")
    parser.add_argument("--wheel", type=Path, required=True, help="the program")
    parser.add_argument("folder", type=Path, help="where the tree is made")
    options = parser.parse_args()
    root: Path = options.folder.absolute()
    root.mkdir(parents=True)
    packages = _inside(root, HOME) / "lib" / _PYTHON / "site-packages"
    _copy_python(root)
    _install(packages, "--require-hashes", "-r", str(options.lock))
    _install(packages, str(options.wheel))
    _make_environment(root)
    _copy_libraries(root)
    _copy_system_files(root)


def _inside(root: Path, path: Path | str) -> Path:
    """Where a file of the image is while the tree is made."""
    return root / Path(path).relative_to("/")


def _copy_python(root: Path) -> None:
    """The interpreter and its library, in the places where they are here."""
    program = Path(sys.executable).resolve()
    _inside(root, program).parent.mkdir(parents=True)
    shutil.copy2(program, _inside(root, program))
    library = sysconfig.get_path("stdlib")
    shutil.copytree(library, _inside(root, library), ignore=_UNUSED)
    _compile(_inside(root, library))


def _install(packages: Path, *what: str) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--no-deps", "--only-binary", ":all:", "--no-compile", "--target", str(packages)]
    subprocess.run([*pip, *options, "--root-user-action", "ignore", *what], check=True)
    # Commands that begin with the path of the Python that installs.
    shutil.rmtree(packages / "bin", ignore_errors=True)


def _make_environment(root: Path) -> None:
    """A virtual environment (PEP 405) around the packages, and the command."""
    home, program = _inside(root, HOME), Path(sys.executable).resolve()
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(program)
    settings = f"home = {program.parent}\ninclude-system-site-packages = false\n"
    (home / "pyvenv.cfg").write_text(settings)
    command = home / "bin" / "sidecar"
    command.write_text(_LAUNCHER)
    command.chmod(0o755)
    _compile(home)


def _compile(folder: Path) -> None:
    """Compile once and for all: the image's files are read-only, and their dates mean nothing."""
    mode = ["--invalidation-mode", "unchecked-hash"]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "compileall", "-q", *mode, str(folder)], check=True
    )


def _copy_libraries(root: Path) -> None:
    """The shared libraries of all binaries, beside libc, where the loader looks by itself."""
    found: dict[str, Path] = {}
    for file in (each for each in root.rglob("*") if each.is_file()):
        with file.open("rb") as content:
            if content.read(4) != b"\x7fELF":
                continue
        told = subprocess.run(
            ["ldd", str(file)],  # noqa: S607 - where the C library put it
            capture_output=True,
            text=True,
            check=False,
        )
        if "not found" in told.stdout:
            raise SystemExit(f"{file} needs what is not here:\n{told.stdout}")
        for name, path in re.findall(r"^\s*(?:(\S+) => )?(/\S+) \(", told.stdout, re.MULTILINE):
            # A wheel's own libraries are found from where it is.
            if root not in Path(path).parents:
                found[name or path] = Path(path)
    libraries = found["libc.so.6"].resolve().parent
    for name, path in found.items():
        # The loader itself is named by its path.
        target = Path(name) if name.startswith("/") else libraries / name
        _inside(root, target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, _inside(root, target))
        _inside(root, target).chmod(0o755)


def _copy_system_files(root: Path) -> None:
    for name, text in {
        "/etc/passwd": f"sidecar:x:{USER}:{USER}::/nonexistent:/sbin/nologin\n",
        "/etc/group": f"sidecar:x:{USER}:\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
        "/etc/os-release": Path("/etc/os-release").read_text(),
        # Where OpenSSL looks for them without being told.
        str(ssl.get_default_verify_paths().openssl_cafile): (
            Path("/etc/ssl/certs/ca-certificates.crt").read_text()
        ),
    }.items():
        _inside(root, name).parent.mkdir(parents=True, exist_ok=True)
        _inside(root, name).write_text(text)
    # Where a container gets its volumes and what the kernel shows.
    for name in ("dev", "proc", "sys", "tmp", "run/sidecar", "etc/sidecar"):
        (root / name).mkdir(parents=True)


if __name__ == "__main__":
    main()
