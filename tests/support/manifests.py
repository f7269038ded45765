"""The rendered manifests of ``deploy/k8s``, and the pods in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from tools.manifests import MANIFESTS, RENDERED
from tools.pairs import PAIRED

Json = dict[str, Any]

# Where the image has the program: it has no PATH of its own.
SIDECAR = "/opt/sidecar/bin/sidecar"
RENDERINGS = sorted(MANIFESTS.rglob(RENDERED))


class Pod(NamedTuple):
    """A pod that a manifest makes."""

    name: str
    labels: Json
    spec: Json

    @property
    def containers(self) -> list[Json]:
        """All containers, in the order in which they start."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def documents(path: Path) -> list[Json]:
    """The objects of a rendered manifest."""
    return [each for each in YAML(typ="safe").load_all(path.read_text()) if each]


def pods(path: Path) -> Iterator[Pod]:
    """The pods of all workloads of a rendered manifest."""
    for document in documents(path):
        match document:
            case {"kind": "CronJob"}:
                template = document["spec"]["jobTemplate"]["spec"]["template"]
            case {"kind": "Deployment" | "StatefulSet" | "DaemonSet" | "Job"}:
                template = document["spec"]["template"]
            case {"kind": "Pod"}:
                template = document
            case _:
                continue
        name = f"{document['kind']} {document['metadata']['name']}"
        yield Pod(name, template.get("metadata", {}).get("labels", {}), template["spec"])


def paired_pods(path: Path) -> list[Pod]:
    """Those of them that are paired."""
    return [pod for pod in pods(path) if pod.labels.get(PAIRED) == "true"]


PAIRED_OVERLAYS = [path for path in RENDERINGS if paired_pods(path)]
