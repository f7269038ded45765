"""The gateway's manifests: what starts first, who may reach what, who may write the keys."""

from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.support.manifests import SIDECAR, Json, Pod, documents, pods
from tools.manifests import MANIFESTS, ROOT
from tools.pairs import faults

FOLDERS: Final = [
    *(MANIFESTS / "gateway" / ring for ring in ("directory", "transit", "ephemeral")),
    MANIFESTS / "examples" / "shop" / "gateway",
]
every_gateway = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def of_kind(folder: Path, kind: str, name: str = "gateway") -> Json:
    (found,) = [
        each
        for each in documents(folder / "rendered.yaml")
        if each["kind"] == kind and each["metadata"]["name"] == name
    ]
    return found


def gateway(folder: Path) -> Pod:
    (pod,) = [each for each in pods(folder / "rendered.yaml") if each.name == "Deployment gateway"]
    return pod


def container(pod: Pod, name: str) -> Json:
    (found,) = [each for each in pod.containers if each["name"] == name]
    return found


def ports(folder: Path) -> dict[str, int]:
    return {
        port["name"]: port["containerPort"]
        for each in gateway(folder).containers
        for port in each["ports"]
    }


def configuration(folder: Path) -> str:
    return (folder / "gateway.yaml").read_text()


@every_gateway
def test_its_configuration_loads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "gateway-5d9c7b-x2v8k")
    assert faults(configuration(folder)) == []


@every_gateway
def test_the_gateway_starts_before_envoy_and_ends_after_it(folder: Path) -> None:
    pod = gateway(folder)
    assert [each["name"] for each in pod.containers] == ["gateway", "envoy"]
    program = container(pod, "gateway")
    assert program["restartPolicy"] == "Always"
    assert program["startupProbe"]["httpGet"] == {"path": "/livez", "port": "sidecar-metrics"}
    assert program["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "sidecar-metrics"}


@every_gateway
def test_envoy_goes_on_until_its_listeners_are_closed(folder: Path) -> None:
    pod = gateway(folder)
    envoy, program = container(pod, "envoy"), container(pod, "gateway")
    drain = int(envoy["command"][envoy["command"].index("--drain-time-s") + 1])
    sleep = envoy["lifecycle"]["preStop"]["sleep"]["seconds"]
    hook = program["lifecycle"]["preStop"]["exec"]["command"]
    assert hook[:2] == [SIDECAR, "drain"]
    assert sleep > drain
    assert pod.spec["terminationGracePeriodSeconds"] > max(sleep, int(hook[-1]))


@every_gateway
def test_the_ports_are_those_that_envoy_and_the_gateway_listen_on(folder: Path) -> None:
    text: Any = YAML(typ="safe").load((ROOT / "envoy" / "gateway.yaml").read_text())
    listeners = {
        each["name"]: each["address"]["socket_address"]["port_value"]
        for each in text["static_resources"]["listeners"]
    }
    assert ports(folder) == {
        "edge": listeners["edge"],
        "envoy-status": listeners["status"],
        "sidecar-metrics": 9465,
        "internal": 9467,
    }


@every_gateway
def test_what_envoy_reads_is_mounted_where_it_looks_for_it(folder: Path) -> None:
    text = (ROOT / "envoy" / "gateway.yaml").read_text()
    mounts = {
        each["name"]: each["mountPath"]
        for each in container(gateway(folder), "envoy")["volumeMounts"]
    }
    assert f"filename: {mounts['edge-tls']}/tls.crt" in text
    assert f"path: {mounts['authz-socket']}/authz.sock" in text


@every_gateway
def test_secrets_are_readable_for_the_pods_group_and_nobody_else(folder: Path) -> None:
    pod = gateway(folder)
    assert pod.spec["securityContext"]["fsGroup"] == 64646
    secrets = [each["secret"] for each in pod.spec["volumes"] if "secret" in each]
    assert secrets
    for secret in secrets:
        assert secret["defaultMode"] == 0o440


@every_gateway
def test_clients_reach_the_edge_sidecars_and_login_pages_the_keys_prometheus_the_metrics(
    folder: Path,
) -> None:
    named = ports(folder)
    policy = of_kind(folder, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= gateway(folder).labels.items()
    assert policy["policyTypes"] == ["Ingress"]
    clients, insiders, prometheus = policy["ingress"]
    assert "from" not in clients
    assert numbers(clients) == {named["edge"]}
    assert [each["podSelector"]["matchLabels"] for each in insiders["from"]] == [
        {"authz-sidecar.dev/paired": "true"},
        {"authz-sidecar.dev/login-page": "true"},
    ]
    assert numbers(insiders) == {named["internal"]}
    assert all("namespaceSelector" in each for each in prometheus["from"])
    assert numbers(prometheus) == {named["sidecar-metrics"], named["envoy-status"]}


def numbers(rule: Json) -> set[int]:
    return {each["port"] for each in rule["ports"]}


@every_gateway
def test_replicas_are_spread_scaled_and_kept(folder: Path) -> None:
    deployment = of_kind(folder, "Deployment")
    autoscaler = of_kind(folder, "HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in deployment["spec"]  # whoever applies it would undo the autoscaler's
    assert autoscaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert autoscaler["minReplicas"] >= 2
    budget = of_kind(folder, "PodDisruptionBudget")["spec"]
    labels = gateway(folder).labels
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    constraints = gateway(folder).spec["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in constraints} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    for each in constraints:
        assert each["labelSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("ring", ["directory", "transit", "ephemeral"])
def test_only_a_gateway_that_logs_in_to_vault_has_a_token_and_for_vault_alone(ring: str) -> None:
    pod = gateway(MANIFESTS / "gateway" / ring)
    audiences = [
        source["serviceAccountToken"]["audience"]
        for volume in pod.spec["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
    ]
    assert audiences == ([] if ring == "directory" else ["vault"])
    assert not any(
        each["name"] == "vault-token" for each in container(pod, "envoy")["volumeMounts"]
    )


@pytest.mark.parametrize("folder", [FOLDERS[0], FOLDERS[-1]], ids=lambda folder: folder.name)
def test_the_keys_are_written_by_one_cron_job_and_by_no_gateway(folder: Path) -> None:
    writers = set()
    for pod in pods(folder / "rendered.yaml"):
        claims = {
            volume["name"]: volume["persistentVolumeClaim"]
            for volume in pod.spec["volumes"]
            if "persistentVolumeClaim" in volume
        }
        for each in pod.containers:
            for mount in each["volumeMounts"]:
                if mount["name"] in claims and not mount.get("readOnly", False):
                    writers.add(pod.name)
                    assert each["command"][:3] == [SIDECAR, "keys", "rotate"]
                    # A ring is for its owner alone: who writes it is who reads it.
                    assert pod.spec["securityContext"]["runAsUser"] == 64646
    assert writers == {"CronJob gateway-keys"}
    claim = of_kind(folder, "PersistentVolumeClaim", "gateway-keys")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    policy = of_kind(folder, "NetworkPolicy", "gateway-keys")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert "egress" not in policy


def test_an_ephemeral_rollout_is_given_the_time_that_its_keys_take() -> None:
    deployment = of_kind(MANIFESTS / "gateway" / "ephemeral", "Deployment")
    # Propagation, twice the refresh of verifiers, and the leeway, by default.
    ahead = 120 + 2 * 30 + 10
    assert deployment["spec"]["progressDeadlineSeconds"] > 2 * ahead


def test_the_rules_of_the_shops_gateway_are_those_of_its_demo() -> None:
    yaml = YAML(typ="safe")
    demo = yaml.load((ROOT / "examples" / "shop" / "gateway.yaml").read_text())
    here = yaml.load((MANIFESTS / "examples" / "shop" / "gateway" / "gateway.yaml").read_text())
    del here["listen"]
    for document in (demo, here):
        sso, _, session = document["credentials"]
        del sso["introspection"]["client"]["secret_file"], session["session"]["keys"]["directory"]
        del document["request_tokens"]["keys"]["directory"]
    assert here == demo
