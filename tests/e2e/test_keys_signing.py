"""The gateway's own keys change, in every back end that can sign, and no client notices."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from sidecar.clients.vault.settings import KvKeys, TokenFile, TransitKeys
from sidecar.rings.directory_ring import DirectoryRing
from sidecar.rings.ephemeral import EphemeralRing
from sidecar.rings.local_key import LocalKey
from sidecar.rings.transit import TransitRing
from tests.e2e.keys_authorities import Authority, JwksAuthority, ReplicasAuthority, TransitAuthority
from tests.e2e.keys_gateway import TIMINGS, Gateway
from tests.e2e.keys_pod import WITHIN_ONE_REFRESH, KeysPod, Note, keys_pod
from tests.support.key_server import KeyServer
from tests.support.openbao import OpenBao
from tests.support.processes import eventually
from tests.support.upstream import Upstream

StartPod = Callable[[Authority], AbstractContextManager[KeysPod]]


@pytest.fixture
def start_pod(envoy_version: str, upstream: Upstream, tmp_path: Path) -> StartPod:
    return lambda authority: keys_pod(envoy_version, upstream, tmp_path, authority)


@pytest.fixture
def jwks_endpoint(tmp_path: Path) -> Iterator[KeyServer]:
    with KeyServer(tmp_path) as running:
        yield running


def sidecar_keys(action: str, directory: Path, *options: str) -> None:
    """Run ``sidecar keys`` as an administrator does."""
    command = [sys.executable, "-m", "sidecar", "keys", action, "--directory", str(directory)]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=20)


def watch(pod: KeysPod, gateway: Gateway, rotate: Callable[[], None], note: Note) -> None:
    """A rotation as clients see it, from the first token to the end of the old key."""
    old, lasting = gateway.kid, gateway.mint(lifetime=3600)
    with pod.traffic(gateway, note) as load:
        assert pod.status(lasting) == 200
        rotate()
        eventually(lambda: gateway.kid != old)
        load.wait_for(100)
        assert pod.status(lasting) == 200

        eventually(lambda: old not in gateway.published)
        eventually(lambda: pod.status(lasting) == 401, within=WITHIN_ONE_REFRESH)
        load.wait_for(100)


def test_rotation_of_a_ring_in_a_directory_is_not_noticed(
    start_pod: StartPod, jwks_endpoint: KeyServer, tmp_path: Path, record_property: Note
) -> None:
    authority = JwksAuthority("directory", jwks_endpoint)
    directory = tmp_path / "ring"
    times = ("verifier_refresh", "token_life", "leeway", "propagation", "period")
    options = [
        f"--{name.replace('_', '-')}={getattr(TIMINGS, name) * 1000:.0f}ms" for name in times
    ]
    sidecar_keys("new", directory, *options)
    ring = DirectoryRing(directory, LocalKey, TIMINGS, poll_interval=0.1)

    with Gateway(ring, authority) as gateway:
        jwks_endpoint.misbehave(gateway.serve)
        with start_pod(authority) as pod:
            rotate = lambda: sidecar_keys("rotate", directory, "--early")  # noqa: E731
            watch(pod, gateway, rotate, record_property)


def test_rotation_of_a_transit_key_is_not_noticed(
    start_pod: StartPod,
    jwks_endpoint: KeyServer,
    openbao: OpenBao,
    tmp_path: Path,
    record_property: Note,
) -> None:
    authority = JwksAuthority("transit", jwks_endpoint)
    vault = TransitAuthority("vault", openbao, tmp_path)
    settings = TransitKeys(openbao.settings(TokenFile(vault.token_file)), vault.key, vault.mount)
    ring = TransitRing(settings, "ES256", TIMINGS)

    with Gateway(ring, authority) as gateway:
        jwks_endpoint.misbehave(gateway.serve)
        with start_pod(authority) as pod:
            rotate = lambda: openbao.rotate(vault.mount, vault.key)  # noqa: E731
            watch(pod, gateway, rotate, record_property)


class Deployment:
    """Replicas of a gateway; all traffic goes to one of them."""

    name = "ephemeral"

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def token(self) -> str:
        return self.gateway.token()


def test_replica_that_takes_over_with_a_key_of_its_own_is_not_noticed(
    start_pod: StartPod, openbao: OpenBao, tmp_path: Path, record_property: Note
) -> None:
    authority = ReplicasAuthority("ephemeral", openbao, tmp_path)
    vault = openbao.settings(TokenFile(authority.token_file))
    settings = KvKeys(vault, "keys", authority.mount, replicas=True)

    def replica(name: str) -> Gateway:
        return Gateway(EphemeralRing(settings, "ES256", TIMINGS, name), authority)

    with ExitStack() as leaving:
        first = leaving.enter_context(replica("first"))
        lasting = first.mint(lifetime=3600)
        deployment = Deployment(first)
        with (
            replica("second") as second,
            start_pod(authority) as pod,
            pod.traffic(deployment, record_property) as load,
        ):
            eventually(lambda: second.kid is not None)
            deployment.gateway = second
            load.wait_for(100)
            assert pod.status(lasting) == 200

            leaving.close()
            load.wait_for(100)
            eventually(lambda: pod.status(lasting) == 401, within=TIMINGS.kept + WITHIN_ONE_REFRESH)
            load.wait_for(100)
