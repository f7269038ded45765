"""What ``components/pair`` does to workloads of every kind, and what it refuses."""

import os
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.support.kubectl import KubectlError, kustomize
from tools.manifests import MANIFESTS
from tools.pairs import problems

pytestmark = pytest.mark.usefixtures("kubectl_installed")

Json = dict[str, Any]

RULES: Final = (MANIFESTS / "keys" / "kubernetes" / "sidecar.yaml").read_text()


def application(**more: object) -> Json:
    return {"name": "application", "image": "application:1", **more}


def workload(kind: str, *containers: Json, **annotations: str) -> Json:
    labels = {"app": "application"}
    spec: Json = {"containers": list(containers), "securityContext": {"runAsUser": 10001}}
    document: Json = {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": "application", "annotations": annotations},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}},
    }
    if kind == "Job":
        spec["restartPolicy"] = "Never"
    else:
        document["spec"]["selector"] = {"matchLabels": labels}
    return document


def paired(directory: Path, document: Json, times: int = 1) -> list[Json]:
    """What kustomize makes of a workload with the component."""
    yaml = YAML(typ="safe")
    (directory / "sidecar.yaml").write_text(RULES)
    yaml.dump(document, directory / "workload.yaml")
    kustomization = {
        "resources": ["workload.yaml"],
        "components": [os.path.relpath(MANIFESTS / "components" / "pair", directory)] * times,
        "configMapGenerator": [{"name": "authz-sidecar", "files": ["sidecar.yaml"]}],
    }
    yaml.dump(kustomization, directory / "kustomization.yaml")
    return [each for each in yaml.load_all(kustomize(directory)) if each]


def pod(documents: list[Json]) -> Json:
    (spec,) = [each["spec"]["template"]["spec"] for each in documents if "spec" in each]
    found: Json = spec
    return found


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job"])
def test_a_workload_is_paired_whatever_its_kind(kind: str, tmp_path: Path) -> None:
    documents = paired(tmp_path, workload(kind, application()))

    assert [each["name"] for each in pod(documents)["initContainers"]] == ["sidecar", "envoy"]
    assert problems(documents) == []


def test_init_containers_that_are_there_come_after_the_pair(tmp_path: Path) -> None:
    document = workload("Deployment", application())
    spec = document["spec"]["template"]["spec"]
    spec["initContainers"] = [{"name": name, "image": "migrate:1"} for name in ("first", "second")]
    for each in spec["initContainers"]:
        each["securityContext"] = {"runAsUser": 10001}
    spec["volumes"] = [{"name": "data", "emptyDir": {}}]

    documents = paired(tmp_path, document)

    names = [each["name"] for each in pod(documents)["initContainers"]]
    assert names == ["sidecar", "envoy", "first", "second"]
    assert "data" in [each["name"] for each in pod(documents)["volumes"]]
    assert problems(documents) == []


def test_a_change_of_the_rules_changes_the_pod(tmp_path: Path) -> None:
    before = paired(tmp_path, workload("Deployment", application()))
    (tmp_path / "sidecar.yaml").write_text(RULES.replace("[payments]", "[orders]"))
    after = list(YAML(typ="safe").load_all(kustomize(tmp_path)))

    assert pod(before)["volumes"] != pod(after)["volumes"]
    assert pod(before)["initContainers"] == pod(after)["initContainers"]


def test_a_hook_of_the_applications_own_is_not_lost_unnoticed(tmp_path: Path) -> None:
    own = {"preStop": {"exec": {"command": ["/stop"]}}}
    with pytest.raises(KubectlError, match="containers/0/lifecycle failed: test failed"):
        paired(tmp_path, workload("Deployment", application(lifecycle=own)))


def test_a_hook_of_the_applications_own_stays_where_the_annotation_says_so(tmp_path: Path) -> None:
    own = {"preStop": {"sleep": {"seconds": 12}}}
    annotations = {"authz-sidecar.dev/pre-stop": "own"}
    documents = paired(tmp_path, workload("Job", application(lifecycle=own), **annotations))

    (container,) = pod(documents)["containers"]
    assert container["lifecycle"] == own
    assert problems(documents) == []


def test_a_second_container_without_a_hook_is_named(tmp_path: Path) -> None:
    document = workload("Deployment", application(), application() | {"name": "exporter"})

    (problem,) = problems(paired(tmp_path, document))

    assert "container exporter has no preStop" in problem


def test_a_workload_is_not_paired_twice(tmp_path: Path) -> None:
    with pytest.raises(KubectlError, match=r"authz-envoy.* exists"):
        paired(tmp_path, workload("Deployment", application()), times=2)
