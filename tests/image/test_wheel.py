"""The wheel and the source distribution: both complete, and enough for a running service."""

import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.e2e import shop
from tests.image.conftest import build_wheel, run
from tests.support.envoy import ROOT
from tests.support.pod import running_pod
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.registry, pytest.mark.timeout(300)]


def test_the_source_distribution_makes_the_same_wheel(
    project: Path, wheel: Path, tmp_path: Path
) -> None:
    program = "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"
    run(sys.executable, "-c", program, tmp_path / "dist", folder=project)
    (archive,) = (tmp_path / "dist").iterdir()
    with tarfile.open(archive) as source:
        source.extractall(tmp_path, filter="data")
    again = build_wheel(tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path / "wheel")

    assert content(again) == content(wheel)


def content(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_with_the_lock_serves_checks_in_an_empty_environment(
    wheel: Path, envoy_version: str, tmp_path: Path, socket_directory: Path
) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, folder=tmp_path)
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet")
    lock = ROOT / "requirements" / "runtime.txt"
    run(*pip, "--no-deps", "--require-hashes", "-r", lock, folder=tmp_path)
    run(*pip, "--no-deps", wheel, folder=tmp_path)

    command = (str(venv / "bin" / "sidecar"),)
    with (
        SidecarProcess(
            shop.configuration(tmp_path), tmp_path, socket_directory, command=command
        ) as sidecar,
        Upstream() as upstream,
    ):
        directory = tmp_path / "envoy"
        directory.mkdir()
        with running_pod(envoy_version, directory, authz=sidecar.socket, upstream=upstream) as pod:
            assert pod.request(target="/orders/1", token=shop.token()).response.status == 200
            assert pod.request(target="/orders/1").response.status == 401
