"""Envoy and the sidecar as two users: who may open the socket, and what it looks like if not."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.support import envoy
from tests.support.envoy import Envoy
from tests.support.pod import Pod
from tests.support.ports import socket_directory
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs programs as other users")

# Ids that need no entry in /etc/passwd.
USER, SHARED = 47_110, 47_111


@contextmanager
def two_users(version: str, directory: Path, upstream: Upstream, mode: int) -> Iterator[Pod]:
    """The sidecar as this user, Envoy as another one of the group of the socket's directory."""
    configuration = envoy.load(envoy.PLAIN)
    member = (f"--reuid={USER}", f"--regid={USER}", f"--groups={SHARED}")
    reachable = ("setpriv", *member, "test", "-x", envoy.binary(version))
    if subprocess.run(reachable, check=False).returncode:
        pytest.skip("this folder is closed to other users")
    with socket_directory() as sockets, socket_directory() as own:
        os.chown(sockets, -1, SHARED)
        sockets.chmod(mode)
        with SidecarProcess(shop.configuration(directory), directory, sockets) as sidecar:
            envoy.move(configuration, authz=sidecar.socket, application=upstream.address)
            os.chown(own, USER, USER)
            with Envoy(version, configuration, own, as_user=member) as running:
                yield Pod(running, upstream)


def test_envoy_in_the_group_of_a_setgid_directory_may_ask(
    envoy_version: str, upstream: Upstream, tmp_path: Path
) -> None:
    with two_users(envoy_version, tmp_path, upstream, 0o2750) as pod:
        exchange = pod.request(target="/orders/1", token=shop.token())

        assert exchange.response.status == 200


def test_envoy_that_may_not_open_the_socket_has_no_reason_in_its_log(
    envoy_version: str, upstream: Upstream, tmp_path: Path
) -> None:
    """The directory's group is shared, but without the setgid bit it is not the socket's."""
    with two_users(envoy_version, tmp_path, upstream, 0o750) as pod:
        exchange = pod.request(target="/orders/1", token=shop.token())
        entry = exchange.access_log

        assert exchange.response.status == 503
        assert (entry["response_flags"], entry["response_details"]) == ("UAEX", "ext_authz_error")
        assert entry["reason"] is None
        assert pod.envoy.stats()["cluster.sidecar.upstream_cx_connect_fail"] > 0
