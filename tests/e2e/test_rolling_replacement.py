"""Pods are replaced under load: no request fails, and none reaches the application unchecked."""

import json
from collections.abc import Callable
from copy import deepcopy

import pytest

from tests.e2e import shop
from tests.e2e.pods_replaced import PATH, RENDERED, Cluster, Service
from tests.support.key_server import KeyServer
from tests.support.kubelet import RunningPod, separate_users
from tests.support.manifests import Json, Pod, paired_pods


@pytest.fixture
def manifest() -> Pod:
    """The payments service's pod, for a test to change."""
    (found,) = [pod for pod in paired_pods(RENDERED) if pod.name == "Deployment payments"]
    return deepcopy(found)


@pytest.fixture
def gateway_keys(own_key_server: KeyServer) -> KeyServer:
    own_key_server.publish(shop.gateway_key())
    return own_key_server


def test_two_pods_are_replaced_and_no_request_fails(
    manifest: Pod,
    envoy_version: str,
    gateway_keys: KeyServer,
    record_property: Callable[[str, object], None],
) -> None:
    with Cluster(manifest, envoy_version, gateway_keys) as cluster:
        service = replace(cluster)
        nothing_got_past_the_check(cluster)
        for pod in cluster.pods:
            assert (PATH, "alice") in asked(lines(pod, "payments"))

    record_property("requests while two pods were replaced", service.answered)
    users = "as its own user" if separate_users() else "as this user: others cannot run Python here"
    record_property("each container of these pods ran", users)
    assert service.failures == []
    assert service.answered > 100
    for pod in cluster.pods[:2]:
        containers = ("sidecar", "envoy", "payments")
        assert pod.events[:6] == [(name, to) for name in containers for to in ("starts", "started")]
        assert set(pod.events[6:8]) == {("sidecar", "preStop 0"), ("payments", "preStop slept")}
        assert pod.events[8:] == [
            (name, to) for name in reversed(containers) for to in ("TERM", "ended")
        ]


def test_without_the_hooks_requests_fail_and_still_none_gets_past_the_check(
    manifest: Pod, envoy_version: str, gateway_keys: KeyServer
) -> None:
    for container in manifest.containers:
        container.pop("lifecycle", None)
    with Cluster(manifest, envoy_version, gateway_keys) as cluster:
        service = replace(cluster)
        nothing_got_past_the_check(cluster)

    assert service.failures


def replace(cluster: Cluster) -> Service:
    """Replace two pods under load, as a Deployment with maxSurge 1 and maxUnavailable 0 does."""
    service = Service()
    old = [cluster.start(), cluster.start()]
    for pod in old:
        service.add(pod)
    with service:
        for pod in old:
            service.add(cluster.start())
            service.remove(pod)
            pod.delete()
        for pod in old:
            pod.wait()
    return service


def nothing_got_past_the_check(cluster: Cluster) -> None:
    """Neither of what the pods were sent without a right to, nor of anything else."""
    assert len(cluster.pods) == 4
    for pod in cluster.pods:
        intruder = cluster.intruders[pod]
        intruder.wait_for_an_answer()
        assert not intruder.reached_past_envoy
        assert intruder.answers.keys() <= {401, 503}
        received = lines(pod, "payments")
        assert asked(received) <= {(PATH, "alice"), ("/healthz", None)}
        if pod.events[-1] == ("sidecar", "ended"):  # and Envoy has written its whole log
            log = lines(pod, "envoy")
            allowed = {each["request_id"] for each in log if each["decision"] == "allow"}
            assert {each["request_id"] for each in received} <= allowed


def lines(pod: RunningPod, container: str) -> list[Json]:
    """What an application has recorded, or an Envoy's access log."""
    return [json.loads(line) for line in pod.containers[container].process.stdout()]


def asked(received: list[Json]) -> set[tuple[str, str | None]]:
    """For what an application was asked, and as whom."""
    return {(each["path"], each["user"]) for each in received}
