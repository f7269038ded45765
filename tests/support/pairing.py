"""Admission that pairs and guards pods, as tests set it up at a real API server."""

import copy
from typing import Final

from tests.support.kube_apiserver import KubeApiserver
from tests.support.kube_objects import Json, pod
from tests.support.kubectl import KubectlError
from tests.support.manifests import documents, paired_pods
from tests.support.processes import eventually
from tools.manifests import MANIFESTS, RENDERED

GUARDED: Final = {"authz-sidecar.dev/pair": "enabled"}
INJECTION: Final = MANIFESTS / "injection" / RENDERED
GUARD: Final = MANIFESTS / "guard" / RENDERED
CONNECT: Final = MANIFESTS / "guard" / "connect" / RENDERED

SIDECAR: Final = "registry.example/authz-sidecar@sha256:" + "a" * 64
ENVOY: Final = "registry.example/envoy@sha256:" + "b" * 64
ENVOY_CONFIG: Final = "authz-envoy-22bb44cc66"
RULES: Final = "authz-sidecar-gg55hh77kk"

# A service with nothing but the pair, as the component makes it.
_COMPONENT: Final = MANIFESTS / "keys" / "jwks" / RENDERED
_PAIR_VOLUMES: Final = ("authz-socket", "sidecar-config", "envoy-config")


def pairing(namespace: str, **changes: object) -> Json:
    """The parameter of all policies: the pods of ``default`` have rules, those of ``free`` none."""
    spec: Json = {
        "sidecar": {"image": SIDECAR},
        "envoy": {"image": ENVOY, "configMap": ENVOY_CONFIG},
        "services": [{"namespace": namespace, "serviceAccount": "default", "configMap": RULES}],
        "optOuts": [{"namespace": namespace, "serviceAccount": "free"}],
        **changes,
    }
    metadata = {"name": "pairs", "namespace": "authz-system"}
    return {
        "apiVersion": "authz-sidecar.dev/v1",
        "kind": "Pairing",
        "metadata": metadata,
        "spec": spec,
    }


def install(server: KubeApiserver, *, injection: bool = True) -> str:
    """The parameter's kind, the parameter, and a labelled namespace, whose name is returned.

    Without ``injection`` the mutating policy is there and is not bound.
    """
    objects = documents(INJECTION)
    bindings = [each for each in objects if each["kind"].endswith("Binding")]
    server.apply(*(each for each in objects if each not in bindings))
    namespace = server.new_namespace("guarded", GUARDED)
    server.new_service_account(namespace, "free")
    eventually(lambda: not refusal(server, pairing(namespace), ""), within=30)
    server.apply(pairing(namespace))
    if injection:
        server.apply(*bindings)
        eventually(lambda: is_paired(server, namespace), within=60)
    return namespace


def is_paired(server: KubeApiserver, namespace: str) -> bool:
    """Whether the mutating policy is in effect."""
    try:
        (made,) = server.apply(pod("probe"), namespace=namespace, dry_run=True)
    except KubectlError:
        return False  # The API server does not know the parameter's kind yet.
    return "initContainers" in made["spec"]


def component() -> Json:
    """The spec of a pod that components/pair has paired, with the parameter's names and images."""
    (paired,) = paired_pods(_COMPONENT)
    spec = copy.deepcopy(paired.spec)
    sidecar, envoy = spec["initContainers"][:2]
    sidecar["image"], envoy["image"] = SIDECAR, ENVOY
    # What components/keys-jwks adds.
    sidecar["volumeMounts"] = [m for m in sidecar["volumeMounts"] if m["name"] in _PAIR_VOLUMES]
    volumes = {each["name"]: each for each in spec["volumes"] if each["name"] in _PAIR_VOLUMES}
    volumes["sidecar-config"]["configMap"]["name"] = RULES
    volumes["envoy-config"]["configMap"]["name"] = ENVOY_CONFIG
    spec["volumes"] = [volumes[name] for name in _PAIR_VOLUMES]
    return spec


def paired_pod(name: str) -> Json:
    """A pod as components/pair makes it, with an application that is a user of its own."""
    made = pod(name, runAsUser=10001)
    by_component = component()
    spec = made["spec"]
    spec["automountServiceAccountToken"] = False
    spec["terminationGracePeriodSeconds"] = by_component["terminationGracePeriodSeconds"]
    spec["initContainers"] = by_component["initContainers"][:2]
    spec["volumes"] = by_component["volumes"]
    made["metadata"]["labels"] = {"authz-sidecar.dev/paired": "true"}
    return made


def refusal(server: KubeApiserver, thing: Json, namespace: str, **options: str) -> str:
    """What the API server says against an object; nothing if it takes it."""
    try:
        server.apply(thing, namespace=namespace, dry_run=True, **options)
    except KubectlError as error:
        return str(error)
    return ""
