"""What ``components/pair`` makes of a pod: order, probes, ports, volumes, end."""

from pathlib import Path
from typing import Final

import pytest
from ruamel.yaml import YAML

from tests.support.manifests import (
    PAIRED_OVERLAYS,
    SIDECAR,
    Json,
    Pod,
    documents,
    paired_pods,
)
from tools.manifests import MANIFESTS, ROOT
from tools.pairs import problems

PODS: Final = [pod for path in PAIRED_OVERLAYS for pod in paired_pods(path)]
NAMES: Final = [
    f"{path.parent.name}/{pod.name}" for path in PAIRED_OVERLAYS for pod in paired_pods(path)
]
every_pair = pytest.mark.parametrize("pod", PODS, ids=NAMES)


def container(pod: Pod, name: str) -> Json:
    (found,) = [each for each in pod.containers if each["name"] == name]
    return found


def envoy_text() -> Json:
    text: Json = YAML(typ="safe").load((ROOT / "envoy" / "sidecar.yaml").read_text())
    return text


def test_there_are_pairs() -> None:
    assert {path.parent.name for path in PAIRED_OVERLAYS} >= {
        *("paired", "jwks", "vault", "kubernetes"),
    }


@pytest.mark.parametrize("path", PAIRED_OVERLAYS, ids=lambda path: path.parent.name)
def test_every_pair_can_work(path: Path) -> None:
    assert problems(documents(path)) == []


@every_pair
def test_the_sidecar_starts_first_then_envoy_then_the_application(pod: Pod) -> None:
    assert [each["name"] for each in pod.spec["initContainers"]] == ["sidecar", "envoy"]
    for each in pod.spec["initContainers"]:
        assert each["restartPolicy"] == "Always"


@every_pair
def test_each_waits_until_the_one_before_answers(pod: Pod) -> None:
    for name, path, port in (
        ("sidecar", "/livez", "sidecar-metrics"),
        ("envoy", "/ready", "envoy-status"),
    ):
        for probe in ("startupProbe", "livenessProbe"):
            assert container(pod, name)[probe]["httpGet"] == {"path": path, "port": port}
        # Longer than the sidecar's start_timeout, and looked at every second.
        startup = container(pod, name)["startupProbe"]
        assert startup["periodSeconds"] == 1
        assert startup["failureThreshold"] >= 30


@every_pair
def test_a_pod_gets_requests_while_both_are_ready(pod: Pod) -> None:
    sidecar, envoy = container(pod, "sidecar"), container(pod, "envoy")
    assert sidecar["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "sidecar-metrics"}
    assert envoy["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "envoy-status"}


@every_pair
def test_the_ports_are_those_that_envoy_and_the_sidecar_listen_on(pod: Pod) -> None:
    listeners = {
        each["name"]: each["address"]["socket_address"]["port_value"]
        for each in envoy_text()["static_resources"]["listeners"]
    }
    assert ports(container(pod, "envoy")) == {
        "envoy": listeners["ingress"],
        "envoy-status": listeners["status"],
    }
    assert ports(container(pod, "sidecar")) == {"sidecar-metrics": 9465}


def ports(container: Json) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


@every_pair
def test_only_the_pair_reaches_the_socket_and_both_as_a_user_that_no_other_container_has(
    pod: Pod,
) -> None:
    (socket,) = [each for each in pod.spec["volumes"] if each["name"] == "authz-socket"]
    assert socket["emptyDir"]["medium"] == "Memory"
    inherited = pod.spec.get("securityContext", {})
    users = {"sidecar": 64646, "envoy": 64646}
    for each in pod.containers:
        mounts = {mount["name"]: mount["mountPath"] for mount in each.get("volumeMounts", [])}
        context = inherited | each["securityContext"]
        if each["name"] in users:
            assert mounts["authz-socket"] == "/run/sidecar"
            assert context["runAsUser"] == context["runAsGroup"] == users[each["name"]]
        else:
            assert "authz-socket" not in mounts
            assert context["runAsUser"] not in users.values()


@every_pair
def test_envoy_may_use_less_memory_than_its_container(pod: Pod) -> None:
    monitors = envoy_text()["overload_manager"]["resource_monitors"]
    (heap,) = [
        each["typed_config"]["max_heap_size_bytes"]
        for each in monitors
        if each["name"].endswith("fixed_heap")
    ]
    limit = container(pod, "envoy")["resources"]["limits"]["memory"]
    assert int(limit.removesuffix("Mi")) * 1024 * 1024 >= 1.25 * heap


@every_pair
def test_the_application_goes_on_until_envoy_has_closed_its_listeners(pod: Pod) -> None:
    command = container(pod, "envoy")["command"]
    drain = int(command[command.index("--drain-time-s") + 1])
    hook = container(pod, "sidecar")["lifecycle"]["preStop"]["exec"]["command"]
    assert hook[:2] == [SIDECAR, "drain"]
    for each in pod.spec["containers"]:
        sleep = each["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert sleep > drain
        assert pod.spec["terminationGracePeriodSeconds"] > max(sleep, int(hook[-1]))


@every_pair
def test_the_network_policy_admits_envoy_and_prometheus_alone(pod: Pod) -> None:
    path = MANIFESTS / "components" / "network-policy" / "network-policy.yaml"
    policy = YAML(typ="safe").load(path.read_text())["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pod.labels.items()
    traffic, metrics = policy["ingress"]
    named = ports(container(pod, "envoy")) | ports(container(pod, "sidecar"))
    assert "from" not in traffic
    assert [each["port"] for each in traffic["ports"]] == [named["envoy"]]
    assert metrics["from"]
    assert {each["port"] for each in metrics["ports"]} == {
        named["sidecar-metrics"],
        named["envoy-status"],
    }


@pytest.mark.parametrize("service", ["orders", "payments"])
def test_the_rules_of_the_shop_are_those_of_its_demo(service: str) -> None:
    yaml = YAML(typ="safe")
    demo = yaml.load((ROOT / "examples" / "shop" / f"{service}.yaml").read_text())
    here = yaml.load((MANIFESTS / "examples/shop/paired" / f"{service}.yaml").read_text())
    assert here["trust"][0].pop("keys") != demo["trust"][0].pop("keys")
    assert here == demo


def test_the_program_and_the_user_are_those_of_the_image() -> None:
    dockerfile = (ROOT / "deploy" / "image" / "Dockerfile").read_text()
    assert f'ENTRYPOINT ["{SIDECAR}"]' in dockerfile
    for pod in PODS:
        sidecar = container(pod, "sidecar")
        context = sidecar["securityContext"]
        assert sidecar["command"][0] == SIDECAR
        assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in dockerfile
