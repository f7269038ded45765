"""CONNECT, which has no path: no way around the check, whatever Envoy is told to do with it."""

import pytest

from tests.e2e import shop
from tests.support import envoy
from tests.support.http1 import HOST
from tests.support.pod import Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess


@pytest.mark.every_envoy
def test_connect_is_refused_by_envoy_as_shipped(pod: Pod) -> None:
    exchange = pod.request("CONNECT", f"{HOST}:443", token=shop.token())

    assert exchange.response.status == 404
    assert not exchange.reached_the_application


# Releases before 1.40 crash on this (CVE-2026-73547), hence not on every one.
def test_connect_is_refused_by_the_sidecar_where_envoy_allows_it(
    sidecar: SidecarProcess, start_pod: StartPod
) -> None:
    configuration = envoy.load(envoy.PLAIN)
    manager = envoy.http_connection_manager(configuration)
    manager["upgrade_configs"].append({"upgrade_type": "CONNECT"})
    envoy.routes(configuration).insert(
        0, {"match": {"connect_matcher": {}}, "route": {"cluster": "application"}}
    )
    pod = start_pod(sidecar, configuration)

    exchange = pod.request("CONNECT", f"{HOST}:443", token=shop.token())

    assert exchange.response.status == 400
    assert exchange.access_log["reason"] == "unsafe_path"
    assert not exchange.reached_the_application
