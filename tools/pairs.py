"""Check rendered manifests: whether what is paired in them can work, and what to change if not.

``kubectl kustomize OVERLAY | python -m tools.pairs``. Nobody is asked. What one cluster knows, such
as which images its guard accepts, a server-side dry run tells.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML

from sidecar.config.loader import load
from sidecar.errors import ConfigurationFault
from tests.support.certificates import CertificateAuthority

Json = dict[str, Any]

PAIRED: Final = "authz-sidecar.dev/paired"
GUARDED: Final = "authz-sidecar.dev/pair"
# The containers of the pair, in their order, each with the last part of its image's name.
PAIR: Final = {"sidecar": "authz-sidecar", "envoy": "envoy"}
# The ports that the two listen on; those of both admins, on loopback, are not declared.
PORTS: Final = {8080, 9902, 9465, 9901, 9466}
_WORKLOADS: Final = {"Deployment", "StatefulSet", "DaemonSet", "Job", "Pod"}


class Workload(NamedTuple):
    """A workload of a manifest: what it is called, its namespace, and its pods."""

    name: str
    namespace: str
    labels: Json
    spec: Json

    @property
    def others(self) -> list[Json]:
        """The containers that are not of the pair."""
        init = self.spec.get("initContainers", [])
        return [*(each for each in init if each["name"] not in PAIR), *self.spec["containers"]]

    def of_pair(self, name: str) -> Json | None:
        """A container of the pair."""
        init = self.spec.get("initContainers", [])
        return next((each for each in init if each["name"] == name), None)


def workloads(documents: list[Json]) -> Iterator[Workload]:
    """All workloads that are paired."""
    for document in documents:
        if document["kind"] not in _WORKLOADS:
            continue
        pod = document if document["kind"] == "Pod" else document["spec"]["template"]
        labels = pod.get("metadata", {}).get("labels", {})
        if labels.get(PAIRED) == "true":
            metadata = document["metadata"]
            yield Workload(
                f"{document['kind']} {metadata['name']}",
                metadata.get("namespace", ""),
                labels,
                pod["spec"],
            )


def problems(documents: list[Json], *, before_services: bool = False) -> list[str]:
    """Everything that cannot work, a line for each, with what to change."""
    guarded = {
        document["metadata"]["name"]
        for document in documents
        if document["kind"] == "Namespace"
        and document["metadata"].get("labels", {}).get(GUARDED) == "enabled"
    }
    found = []
    paired = list(workloads(documents))
    for workload in paired:
        found += [f"{workload.name}: {text}" for text in _containers(workload)]
        found += [f"{workload.name}: {text}" for text in _end(workload)]
        found += [f"{workload.name}: {text}" for text in _rules(workload, documents)]
        if workload.namespace in guarded:
            found += [f"{workload.name}: {text}" for text in _digests(workload)]
        if not before_services:
            found += _services(workload, documents)
    if not paired:
        found.append(f"no workload is paired: none has pods with the label {PAIRED}")
    return found


def _containers(workload: Workload) -> Iterator[str]:
    """Two containers of ours come first, and no other is, or gets in the way of, one of them."""
    first = [each["name"] for each in workload.spec.get("initContainers", [])[:2]]
    if first != list(PAIR):
        yield (
            f"its first init containers are {first}, not {list(PAIR)}; list components/pair after "
            "every other component that adds init containers"
        )
    user = (workload.of_pair("sidecar") or {}).get("securityContext", {}).get("runAsUser")
    inherited = workload.spec.get("securityContext", {}).get("runAsUser")
    for container in workload.others:
        name = container["name"]
        if _repository(container["image"]) in PAIR.values():
            yield f"container {name} is a second pair; remove it, or do not use components/pair"
        for port in container.get("ports", []):
            if port["containerPort"] in PORTS:
                yield (
                    f"container {name} has port {port['containerPort']}, which the pair listens "
                    "on; let it listen on 127.0.0.1:8081 and declare no port"
                )
            elif port.get("name") in {"envoy", "envoy-status", "sidecar-metrics"}:
                yield (
                    f"container {name} calls a port {port['name']}, so Services would go there "
                    "and not to the pair; give it another name"
                )
        if container.get("securityContext", {}).get("runAsUser", inherited) == user:
            yield (
                f"container {name} runs as user {user}, to whom the sidecar's socket belongs; "
                "set another runAsUser"
            )


def _end(workload: Workload) -> Iterator[str]:
    """The application goes on until Envoy's listeners are closed, and nothing is cut off."""
    envoy, sidecar = workload.of_pair("envoy"), workload.of_pair("sidecar")
    if envoy is None or sidecar is None:
        return
    drain = _option(envoy, "--drain-time-s")
    longest = int(sidecar["lifecycle"]["preStop"]["exec"]["command"][-1])
    for container in workload.spec["containers"]:
        hook = container.get("lifecycle", {}).get("preStop")
        if hook is None:
            yield (
                f"container {container['name']} has no preStop, and would end while requests "
                f"still arrive; add lifecycle: {{preStop: {{sleep: {{seconds: {drain + 5}}}}}}}"
            )
        elif "sleep" in hook:
            seconds = hook["sleep"]["seconds"]
            longest = max(longest, seconds)
            if seconds <= drain:
                yield (
                    f"container {container['name']} sleeps for {seconds} s in preStop, and Envoy's "
                    f"listeners are open for {drain} s; write at least {drain + 5}"
                )
    grace = workload.spec.get("terminationGracePeriodSeconds", 30)
    if grace <= longest:
        yield (
            f"terminationGracePeriodSeconds is {grace}, and its preStop hooks take up to "
            f"{longest} s; write at least {longest + 30}"
        )


def _rules(workload: Workload, documents: list[Json]) -> Iterator[str]:
    """The sidecar's configuration is there and loads."""
    names = [
        volume["configMap"]["name"]
        for volume in workload.spec.get("volumes", [])
        if volume["name"] == "sidecar-config"
    ]
    texts = [
        document["data"].get("sidecar.yaml", "")
        for document in documents
        if document["kind"] == "ConfigMap" and document["metadata"]["name"] in names
    ]
    if not texts:
        yield (
            f"its rules, the ConfigMap {names}, are not here; add configMapGenerator: "
            "[{name: authz-sidecar, files: [sidecar.yaml], options: {immutable: true}}]"
        )
    for text in texts:
        yield from faults(text)


def faults(configuration: str) -> list[str]:
    """What is wrong with a sidecar's or gateway's configuration, with line and column.

    Certificates that are mounted in the pod are not here: others stand in for them.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        authority = CertificateAuthority(directory)
        text = re.sub(r"(ca_file: *)[^\s,}]+", rf"\g<1>{authority.certificate_file}", configuration)
        path = directory / "sidecar.yaml"
        path.write_text(text)
        try:
            load(path)
        except ConfigurationFault as fault:
            return [line.replace(f"{directory}/", "") for line in str(fault).splitlines()]
    return []


def _digests(workload: Workload) -> Iterator[str]:
    for name in PAIR:
        image = (workload.of_pair(name) or {}).get("image", "")
        if not re.search(r"@sha256:[0-9a-f]{64}$", image):
            repository = image.partition("@")[0].partition(":")[0]
            yield (
                f"image {image} has no digest, which its namespace asks for; add images: "
                f"[{{name: {repository}, digest: 'sha256:…'}}]"
            )


def _services(workload: Workload, documents: list[Json]) -> Iterator[str]:
    """Services lead to the pair, once the application behind it answers."""
    services = [each for each in documents if _leads_to(each, workload)]
    for service in services:
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            if target not in {"envoy", "envoy-status", "sidecar-metrics"}:
                yield (
                    f"Service {service['metadata']['name']}: port {port['port']} leads to "
                    f"{target}, past the pair; write targetPort: envoy"
                )
    if services and not any("readinessProbe" in each for each in workload.others):
        yield (
            f"{workload.name}: container {workload.spec['containers'][0]['name']} has no "
            "readinessProbe, so requests arrive before it listens and get a 503; add "
            "readinessProbe: {httpGet: {path: /healthz, port: 8080}}, with a public route"
        )


def _leads_to(document: Json, workload: Workload) -> bool:
    """Whether it is a Service that selects these pods."""
    if document["kind"] != "Service":
        return False
    namespace = document["metadata"].get("namespace", "")
    selector = document["spec"].get("selector") or {}
    return (
        namespace == workload.namespace
        and bool(selector)
        and selector.items() <= workload.labels.items()
    )


def _repository(image: str) -> str:
    """The last part of an image's name, without tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _option(container: Json, name: str) -> int:
    command = container["command"]
    return int(command[command.index(name) + 1])


def main() -> int:
    """Check a file, or standard input."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.pairs")
    parser.add_argument("file", nargs="?", type=Path, help="rendered manifests; standard input")
    parser.add_argument(
        "--before-services",
        action="store_true",
        help="Services may still lead past the pair: they change when all pods are paired",
    )
    options = parser.parse_args()
    text = options.file.read_text() if options.file else sys.stdin.read()
    documents = [each for each in YAML(typ="safe").load_all(text) if each]
    found = problems(documents, before_services=options.before_services)
    print("\n".join(found) or "every pair can work")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
