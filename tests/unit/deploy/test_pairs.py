"""``python -m tools.pairs`` names what cannot work in rendered manifests, and what to write."""

import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from tests.support.manifests import Json, documents
from tools.manifests import MANIFESTS
from tools.pairs import main, problems

RENDERED = MANIFESTS / "keys" / "jwks" / "rendered.yaml"
NAMESPACE: Json = {
    "kind": "Namespace",
    "metadata": {"name": "shop", "labels": {"authz-sidecar.dev/pair": "enabled"}},
}


def of_kind(kind: str, found: list[Json]) -> Json:
    (document,) = [each for each in found if each["kind"] == kind]
    return document


def changed(change: Callable[[Json], object]) -> list[str]:
    """The problems after a change of the pod."""
    found = deepcopy(documents(RENDERED))
    change(of_kind("Deployment", found)["spec"]["template"]["spec"])
    return problems(found)


def application(pod: Json) -> Json:
    container: Json = pod["containers"][0]
    return container


def test_a_pair_as_it_is_rendered_can_work() -> None:
    assert problems(documents(RENDERED)) == []


def test_rules_without_an_audience() -> None:
    found = documents(RENDERED)
    (rules,) = [each for each in found if "sidecar.yaml" in each.get("data", {})]
    rules["data"]["sidecar.yaml"] = rules["data"]["sidecar.yaml"].replace("[payments]", "[]")
    (problem,) = problems(found)
    assert problem.startswith("Deployment payments: sidecar.yaml:6:16: ")
    assert problem.endswith("the list is empty; write at least one item")


def test_rules_that_are_not_there() -> None:
    found = [each for each in documents(RENDERED) if "sidecar.yaml" not in each.get("data", {})]
    (problem,) = problems(found)
    assert "its rules, the ConfigMap ['authz-sidecar-" in problem
    assert "are not here; add configMapGenerator" in problem


def test_two_pairs_in_one_pod() -> None:
    def add(pod: Json) -> None:
        pod["containers"].append(
            application(pod) | {"name": "authz", "image": "registry.example/authz-sidecar:0.1.0"}
        )

    assert changed(add) == [
        "Deployment payments: container authz is a second pair; remove it, or do not use "
        "components/pair"
    ]


def test_an_init_container_before_the_pair() -> None:
    def prepend(pod: Json) -> None:
        pod["initContainers"].insert(0, {"name": "migrate", "image": "shop:0.1.0"})

    (problem,) = changed(prepend)
    assert "first init containers are ['migrate', 'sidecar'], not ['sidecar', 'envoy']" in problem


@pytest.mark.parametrize("port", [8080, 9465, 9466, 9901, 9902])
def test_a_port_that_the_pair_listens_on(port: int) -> None:
    assert changed(lambda pod: application(pod).update(ports=[{"containerPort": port}])) == [
        f"Deployment payments: container payments has port {port}, which the pair listens on; let "
        "it listen on 127.0.0.1:8081 and declare no port"
    ]


def test_a_port_with_a_name_of_the_pairs() -> None:
    ports = [{"name": "envoy", "containerPort": 8081}]
    assert changed(lambda pod: application(pod).update(ports=ports)) == [
        "Deployment payments: container payments calls a port envoy, so Services would go there "
        "and not to the pair; give it another name"
    ]


def test_a_container_that_runs_as_the_pairs_user() -> None:
    (problem,) = changed(lambda pod: pod["securityContext"].update(runAsUser=64646))
    assert "container payments runs as user 64646, to whom the sidecar's socket belongs" in problem


def test_an_application_that_ends_at_once() -> None:
    assert changed(lambda pod: application(pod).pop("lifecycle")) == [
        "Deployment payments: container payments has no preStop, and would end while requests "
        "still arrive; add lifecycle: {preStop: {sleep: {seconds: 15}}}"
    ]


def test_an_application_that_ends_before_envoy_has_closed_its_listeners() -> None:
    hook = {"preStop": {"sleep": {"seconds": 10}}}
    (problem,) = changed(lambda pod: application(pod).update(lifecycle=hook))
    assert "sleeps for 10 s in preStop, and Envoy's listeners are open for 10 s" in problem


@pytest.mark.parametrize(("grace", "sleep"), [(15, 15), (45, 45), (45, 50)])
def test_a_grace_period_that_the_hooks_use_up(grace: int, sleep: int) -> None:
    def shorten(pod: Json) -> None:
        pod["terminationGracePeriodSeconds"] = grace
        application(pod)["lifecycle"]["preStop"]["sleep"]["seconds"] = sleep

    assert changed(shorten) == [
        f"Deployment payments: terminationGracePeriodSeconds is {grace}, and its preStop hooks "
        f"take up to {sleep} s; write at least {sleep + 30}"
    ]


def test_an_image_without_a_digest_in_a_guarded_namespace() -> None:
    found = problems([NAMESPACE, *documents(RENDERED)])
    assert found == [
        "Deployment payments: image authz-sidecar:0.1.0 has no digest, which its namespace asks "
        "for; add images: [{name: authz-sidecar, digest: 'sha256:…'}]",
        "Deployment payments: image envoyproxy/envoy:distroless-v1.40.0 has no digest, which its "
        "namespace asks for; add images: [{name: envoyproxy/envoy, digest: 'sha256:…'}]",
    ]


def test_images_with_digests_in_a_guarded_namespace() -> None:
    found = [NAMESPACE, *documents(RENDERED)]
    pair = of_kind("Deployment", found)["spec"]["template"]["spec"]["initContainers"]
    for container in pair:
        container["image"] += f"@sha256:{'0' * 64}"
    assert problems(found) == []


@pytest.mark.parametrize("port", [{"port": 8080}, {"port": 80, "targetPort": 8081}])
def test_a_service_that_leads_past_the_pair(port: Json) -> None:
    found = documents(RENDERED)
    of_kind("Service", found)["spec"]["ports"] = [port]
    target = port.get("targetPort", port["port"])
    assert problems(found) == [
        f"Service payments: port {port['port']} leads to {target}, past the pair; write "
        "targetPort: envoy"
    ]
    assert problems(found, before_services=True) == []


def test_an_application_that_gets_requests_before_it_listens() -> None:
    assert changed(lambda pod: application(pod).pop("readinessProbe")) == [
        "Deployment payments: container payments has no readinessProbe, so requests arrive before "
        "it listens and get a 503; add readinessProbe: {httpGet: {path: /healthz, port: 8080}}, "
        "with a public route"
    ]


def test_a_pod_that_no_service_leads_to_needs_no_readiness_probe() -> None:
    found = [each for each in documents(RENDERED) if each["kind"] != "Service"]
    application(of_kind("Deployment", found)["spec"]["template"]["spec"]).pop("readinessProbe")
    assert problems(found) == []


def test_manifests_without_a_pair() -> None:
    (problem,) = problems([NAMESPACE])
    assert problem.startswith("no workload is paired")


def test_the_command_reads_a_file_and_says_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["pairs", str(RENDERED)])
    assert main() == 0
    assert capsys.readouterr().out == "every pair can work\n"
    nothing = tmp_path / "rendered.yaml"
    nothing.write_text("")
    monkeypatch.setattr(sys, "argv", ["pairs", str(nothing)])
    assert main() == 1
    assert "no workload is paired" in capsys.readouterr().out
