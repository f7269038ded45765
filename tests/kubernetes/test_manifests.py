"""The rendered manifests at a real API server: it takes every object, and every pod they make."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.kube_apiserver import KubeApiserver
from tests.support.manifests import RENDERINGS, Json, Pod, documents, pods

pytestmark = pytest.mark.kubernetes

# What only admission can judge has tests of its own.
APPLICABLE: Final = [path for path in RENDERINGS if not {"injection", "guard"} & set(path.parts)]


def title(path: Path) -> str:
    return "-".join(path.parent.parts[-2:])


@pytest.fixture(scope="module")
def server(kube_apiserver: KubeApiserver) -> KubeApiserver:
    """A server with the namespaces and service accounts of the manifests, and nothing else."""
    for namespace in ("shop", "gateway"):
        kube_apiserver.new_namespace(namespace)
    for path in APPLICABLE:
        accounts = [each for each in documents(path) if each["kind"] == "ServiceAccount"]
        if accounts:
            kube_apiserver.apply(*accounts)
    return kube_apiserver


@pytest.mark.parametrize("path", APPLICABLE, ids=title)
def test_the_server_takes_every_object_and_every_pod(server: KubeApiserver, path: Path) -> None:
    server.apply_file(path, dry_run=True)
    for pod in pods(path):
        (stored,) = server.apply(as_pod(pod), namespace=namespace_of(path), dry_run=True)
        names = [each["name"] for each in stored["spec"].get("initContainers", [])]
        assert names == [each["name"] for each in pod.spec.get("initContainers", [])]


def namespace_of(path: Path) -> str:
    (namespace,) = {
        document["metadata"]["namespace"]
        for document in documents(path)
        if "namespace" in document["metadata"]
    }
    return str(namespace)


def as_pod(pod: Pod) -> Json:
    """The pod that a controller would make."""
    name = pod.name.lower().replace(" ", "-")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": pod.labels},
        "spec": {"restartPolicy": "Never"} | pod.spec if pod.name.startswith("Job") else pod.spec,
    }
