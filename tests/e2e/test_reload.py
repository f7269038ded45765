"""What changes under traffic: rules and keys, with not one request lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.support.load import Load
from tests.support.pod import Pod, running_pod
from tests.support.processes import eventually
from tests.support.sidecar_process import SidecarProcess
from tests.support.tokens import SigningKey, new_key
from tests.support.upstream import Upstream


@pytest.fixture
def sidecar(tmp_path: Path, socket_directory: Path) -> Iterator[SidecarProcess]:
    """A sidecar of the test's own, its keys in ``tmp_path``."""
    with SidecarProcess(shop.configuration(tmp_path), tmp_path, socket_directory) as running:
        yield running


@pytest.fixture
def pod(
    envoy_version: str,
    sidecar: SidecarProcess,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    directory = tmp_path_factory.mktemp("envoy")
    with running_pod(envoy_version, directory, authz=sidecar.socket, upstream=upstream) as running:
        yield running


@contextmanager
def traffic(pod: Pod, key: SigningKey | None = None) -> Iterator[Load]:
    """Steady requests that all should be allowed."""
    with Load(
        pod.envoy.address, "/orders/1", lambda: [("authorization", f"Bearer {shop.token(key)}")]
    ) as load:
        yield load
    assert load.failures == []


def test_new_rules_take_effect_under_traffic(
    pod: Pod, sidecar: SidecarProcess, tmp_path: Path
) -> None:
    public = {"name": "about", "match": {"path": "/about"}, "allow": {"public": True}}
    assert pod.request(target="/about").response.status == 403

    with traffic(pod) as load:
        sidecar.configure(shop.configuration(tmp_path, routes=[*shop.ROUTES, public]))
        eventually(lambda: pod.request(target="/about").response.status == 200)
        load.wait_for(50)

    assert sidecar.metric("sidecar_config_reloads_total", result="success") == 1
    assert sidecar.metric("sidecar_config_last_reload_successful") == 1


def test_the_mode_in_use_is_a_metric(sidecar: SidecarProcess, tmp_path: Path) -> None:
    assert sidecar.metric("sidecar_mode", mode="enforce") == 1
    loaded = sidecar.metric("sidecar_config_last_reload_success_timestamp_seconds")
    sidecar.configure(shop.configuration(tmp_path, mode="shadow"))
    eventually(lambda: sidecar.metric("sidecar_mode", mode="shadow") == 1)
    assert sidecar.metric("sidecar_config_last_reload_success_timestamp_seconds") > loaded


def test_bad_rules_leave_the_old_ones_serving(
    pod: Pod, sidecar: SidecarProcess, tmp_path: Path
) -> None:
    with traffic(pod) as load:
        sidecar.configure(shop.configuration(tmp_path, routes=[{"name": "nothing allowed"}]))
        eventually(lambda: sidecar.metric("sidecar_config_reloads_total", result="failure") > 0)
        load.wait_for(50)

    assert sidecar.metric("sidecar_config_last_reload_successful") == 0
    assert sidecar.ready()
    assert pod.request(target="/orders/1", token=shop.token()).response.status == 200


def test_new_key_is_found_under_traffic_and_a_removed_one_is_refused(
    pod: Pod, tmp_path: Path
) -> None:
    new = new_key("ES256", "new")
    old_token = shop.token()
    assert pod.request(target="/orders/1", token=old_token).response.status == 200

    with traffic(pod) as load:
        shop.publish(tmp_path, "gateway", shop.gateway_key(), new)
        eventually(
            lambda: pod.request(target="/orders/1", token=shop.token(new)).response.status == 200
        )
        load.wait_for(50)
    with traffic(pod, new) as load:
        shop.publish(tmp_path, "gateway", new)
        eventually(lambda: pod.request(target="/orders/1", token=old_token).response.status == 401)
        load.wait_for(50)


def test_key_file_that_turns_bad_leaves_the_last_good_keys_serving(
    pod: Pod, sidecar: SidecarProcess, tmp_path: Path
) -> None:
    with traffic(pod) as load:
        (tmp_path / "gateway.json").write_text("<html>not a key set</html>")
        eventually(
            lambda: sidecar.metric(
                "sidecar_key_refreshes_total", issuer="gateway", result="failure"
            )
        )
        load.wait_for(50)

    assert sidecar.ready()
    assert "gateway" in sidecar.admin("/readyz?verbose").body.decode()
