"""The root of the container image, made as its Dockerfile makes it, and run as a kubelet would:
as another user, with a root that cannot be written, and nothing of this machine in sight but /tmp.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.image.conftest import run
from tests.support.envoy import ROOT
from tests.support.pod import running_pod
from tests.support.ports import socket_directory as new_directory
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.registry, pytest.mark.timeout(300)]

USER = 64646
TOOLS = ROOT / ".image-tools" / "bin"
# What a container's runtime does: the tree as a root that is read-only, with a writable volume.
_CONTAINER = """
mount --bind "$0" "$0"
mount --bind /tmp "$0/tmp"
mount --rbind /dev "$0/dev"
mount --rbind /proc "$0/proc"
mount -o remount,bind,ro "$0"
cd /
exec chroot --userspec={user}:{user} --groups={user} "$0" "$@"
"""


@pytest.fixture(scope="session")
def tree(
    project: Path,
    wheel: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("image") / "tree"
    lock = project / "requirements" / "runtime.txt"
    program = project / "deploy" / "image" / "tree.py"
    run(sys.executable, program, "--lock", lock, "--wheel", wheel, folder, folder=project)
    return folder


def in_image(tree: Path, *command: str) -> list[str]:
    script = _CONTAINER.format(user=USER)
    return ["unshare", "--mount", "sh", "-e", "-c", script, str(tree), *command]


@pytest.fixture
def volumes() -> Iterator[tuple[Path, Path]]:
    """Two directories of the image's user: for its configuration, and for its socket."""
    with new_directory() as configuration, new_directory() as sockets:
        os.chown(sockets, USER, USER)
        configuration.chmod(0o755)
        yield configuration, sockets


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user can be taken by root alone")


@as_root
def test_it_serves_checks_and_drains_as_another_user_with_a_root_that_cannot_be_written(
    tree: Path, volumes: tuple[Path, Path], envoy_version: str, tmp_path: Path
) -> None:
    directory, sockets = volumes
    sidecar = SidecarProcess(
        shop.configuration(directory),
        directory,
        sockets,
        command=in_image(tree, "/opt/sidecar/bin/sidecar"),
    )
    with sidecar, Upstream() as upstream:
        status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
        assert f"\nUid:\t{USER}\t{USER}\t{USER}\t{USER}\n" in status
        with running_pod(envoy_version, tmp_path, authz=sidecar.socket, upstream=upstream) as pod:
            assert pod.request(target="/orders/1", token=shop.token()).response.status == 200
            assert pod.request(target="/orders/1").response.status == 401

            host, port = pod.envoy.admin_address
            hook = ("/opt/sidecar/bin/sidecar", "drain", "--admin", f"{host}:{port}")
            done = subprocess.run(
                in_image(tree, *hook), capture_output=True, text=True, timeout=60, check=False
            )
            assert (done.returncode, done.stderr) == (0, "drained: no connection is left\n")


@as_root
def test_nothing_in_it_can_be_changed(tree: Path) -> None:
    program = (
        "import os\n"
        "for name in ('/opt/sidecar/x', '/run/sidecar/x', '/etc/x', '/x'):\n"
        "    try: open(name, 'a')\n"
        "    except OSError as error: print(os.strerror(error.errno))\n"
    )
    told = run(*in_image(tree, "/opt/sidecar/bin/python", "-c", program), folder=tree)

    assert told.splitlines() == ["Read-only file system"] * 4


def test_there_is_no_shell_no_pip_no_compiler_and_nothing_that_gives_rights(tree: Path) -> None:
    programs = {
        file.name
        for file in tree.rglob("*")
        if file.is_file()
        and not file.is_symlink()
        and file.stat().st_mode & stat.S_IXUSR
        and ".so" not in file.name
        and "site-packages" not in file.parts
        # Files of the standard library that can be run as programs.
        and not (file.suffix == ".py" and "lib" in file.parts)
    }
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    rights = stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH

    assert programs == {version, "sidecar"}
    assert not [*tree.rglob("pip"), *tree.rglob("ensurepip"), *tree.rglob("setuptools")]
    assert not [
        file for file in tree.rglob("*") if not file.is_symlink() and file.stat().st_mode & rights
    ]


def test_it_says_what_is_in_it(tree: Path, tmp_path: Path) -> None:
    file, python = tmp_path / "sbom.cdx.json", tree / "opt/sidecar/bin/python"
    options = ("--output-reproducible", "--output-file", file)
    run(TOOLS / "cyclonedx-py", "environment", *options, python, folder=tmp_path)
    listed = {each["name"] for each in json.loads(file.read_text())["components"]}
    packages = (python.parent.parent / "lib").glob("*/site-packages/*.dist-info/METADATA")

    installed = {
        line.removeprefix("Name: ")
        for each in packages
        for line in each.read_text().splitlines()
        if line.startswith("Name: ")
    }
    assert listed == installed
    assert {"authz-sidecar", "grpcio", "cryptography"} <= listed


def test_the_dockerfile_copies_what_there_is_and_runs_as_the_same_user() -> None:
    lines = (ROOT / "deploy" / "image" / "Dockerfile").read_text().splitlines()
    copied = [
        source
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]

    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert f"USER {USER}:{USER}" in lines
