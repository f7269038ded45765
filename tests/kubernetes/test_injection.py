"""The mutating policy at a real API server: it pairs every pod of a labelled namespace."""

import copy
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.kube_apiserver import KubeApiserver
from tests.support.kube_objects import RESTRICTED_SECURITY, Json, pod
from tests.support.manifests import documents
from tests.support.pairing import (
    ENVOY,
    GUARD,
    GUARDED,
    SIDECAR,
    component,
    install,
    paired_pod,
    pairing,
    refusal,
)
from tests.support.processes import eventually

pytestmark = pytest.mark.kubernetes

NAMESPACE: Final = "guarded"
PAIR: Final = ["sidecar", "envoy"]


@pytest.fixture(scope="module")
def server(
    kubernetes_installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeApiserver]:
    """A server of this module's own: policies hold for all of it.

    The guard is there, too: it lets every pod through that the mutating policy has paired.
    """
    del kubernetes_installed
    with KubeApiserver(tmp_path_factory.mktemp("kube-apiserver")) as server:
        install(server)
        server.apply(*documents(GUARD))
        without_rules = pod("application", "stranger")
        server.new_service_account(NAMESPACE, "stranger")
        eventually(
            lambda: (
                "ServiceAccount stranger has no rules" in refusal(server, without_rules, NAMESPACE)
            )
        )
        yield server


def created(server: KubeApiserver, thing: Json, namespace: str = NAMESPACE) -> Json:
    """A pod as it would be stored."""
    (stored,) = server.apply(thing, namespace=namespace, dry_run=True)
    return stored


def names(stored: Json) -> list[str]:
    return [each["name"] for each in stored["spec"].get("initContainers", [])]


def by_component(server: KubeApiserver) -> Json:
    """A pod that components/pair has paired, with what the API server adds to every pod.

    It is made where nothing is injected.
    """
    namespace = "by-component"
    server.new_namespace(namespace)
    return created(server, paired_pod("application"), namespace)


def without_token() -> Json:
    plain = pod("application", runAsUser=10001)
    plain["spec"]["automountServiceAccountToken"] = False
    return plain


def test_a_pod_is_paired_as_the_component_does_it_field_by_field(server: KubeApiserver) -> None:
    injected, expected = created(server, without_token())["spec"], by_component(server)["spec"]
    assert injected["initContainers"] == expected["initContainers"]
    assert injected["volumes"] == expected["volumes"]
    grace = "terminationGracePeriodSeconds"
    assert injected[grace] == expected[grace]
    (application,) = injected["containers"]
    assert application["lifecycle"] == component()["containers"][0]["lifecycle"]
    labels = created(server, without_token())["metadata"]["labels"]
    assert labels == {"authz-sidecar.dev/paired": "true"}


def test_init_containers_and_volumes_of_its_own_come_after_the_pair(server: KubeApiserver) -> None:
    mine = without_token()
    container = mine["spec"]["containers"][0]
    mine["spec"]["initContainers"] = [{**container, "name": name} for name in ("first", "second")]
    mine["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    mine["metadata"]["labels"] = {"app": "orders"}
    stored = created(server, mine)
    assert names(stored) == [*PAIR, "first", "second"]
    assert stored["spec"]["volumes"][0]["name"] == "scratch"
    assert stored["metadata"]["labels"] == {"app": "orders", "authz-sidecar.dev/paired": "true"}
    expected = by_component(server)["spec"]
    assert stored["spec"]["initContainers"][:2] == expected["initContainers"]


def test_a_pre_stop_hook_and_a_longer_grace_period_of_its_own_stay(server: KubeApiserver) -> None:
    mine = without_token()
    hook = {"preStop": {"exec": {"command": ["finish"]}}}
    started = {"postStart": {"exec": {"command": ["begin"]}}}
    container = mine["spec"]["containers"][0]
    mine["spec"]["containers"] = [
        {**container, "name": "own", "lifecycle": hook},
        {**container, "name": "started", "lifecycle": started},
        {**container, "name": "none"},
    ]
    mine["spec"]["terminationGracePeriodSeconds"] = 90
    stored = created(server, mine)["spec"]
    sleep = {"preStop": {"sleep": {"seconds": 15}}}
    assert [each["lifecycle"] for each in stored["containers"]] == [
        hook,
        {**started, **sleep},
        sleep,
    ]
    assert stored["terminationGracePeriodSeconds"] == 90


def test_twice_is_once(server: KubeApiserver) -> None:
    once = created(server, without_token())
    again = copy.deepcopy(once)
    again["metadata"] = {key: once["metadata"][key] for key in ("name", "labels")}
    twice = created(server, {key: again[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    assert twice["spec"] == once["spec"]


def test_a_pair_of_the_component_becomes_that_of_the_policy(server: KubeApiserver) -> None:
    stored = created(server, paired_pod("application"))
    assert stored["spec"]["initContainers"] == by_component(server)["spec"]["initContainers"]
    assert names(stored) == PAIR


def test_a_limit_range_and_a_token_and_a_policy_that_prepends_leave_the_pair_as_it_is(
    server: KubeApiserver,
) -> None:
    expected = by_component(server)["spec"]["initContainers"]
    limits = [{"type": "Container", "default": {"cpu": "50m"}, "defaultRequest": {"cpu": "10m"}}]
    limit_range = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "defaults"}}
    server.apply({**limit_range, "spec": {"limits": limits}}, namespace=NAMESPACE)
    server.apply(*prepending())
    try:
        mine = pod("application", runAsUser=10001)
        stored = eventually(lambda: beside(server, mine))
        assert names(stored)[:2] == PAIR
        assert stored["spec"]["initContainers"][:2] == expected
        (application,) = stored["spec"]["containers"]
        assert application["resources"]["limits"] == {"cpu": "50m"}
        assert application["volumeMounts"][0]["name"].startswith("kube-api-access")
    finally:
        for name in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
            server.kubectl("delete", name, "prepends")
        server.kubectl("delete", "limitrange", "defaults", "--namespace", NAMESPACE)
        eventually(lambda: "other" not in names(created(server, without_token())))


def beside(server: KubeApiserver, mine: Json) -> Json:
    """The pod, or nothing before the other policy and the LimitRange are both in effect."""
    stored = created(server, mine)
    limited = "limits" in stored["spec"]["containers"][0].get("resources", {})
    return stored if "other" in names(stored) and limited else {}


def prepending() -> list[Json]:
    """Another team's policy, which puts a container of its own first."""
    expression = """
        object.spec.?initContainers.orValue([]).exists(each, each.name == "other") ? []
        : (has(object.spec.initContainers) ? []
           : [JSONPatch{op: "add", path: "/spec/initContainers", value: []}])
          + [JSONPatch{op: "add", path: "/spec/initContainers/0", value: Object.spec.initContainers{
               name: "other", image: "registry.example/other:1",
               securityContext: Object.spec.initContainers.securityContext{
                 allowPrivilegeEscalation: false, runAsNonRoot: true,
                 capabilities:
                   Object.spec.initContainers.securityContext.capabilities{drop: ["ALL"]},
                 seccompProfile: Object.spec.initContainers.securityContext.seccompProfile{
                   type: "RuntimeDefault"}}}}]"""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    group = "admissionregistration.k8s.io/v1"
    metadata = {"name": "prepends"}
    spec = {
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": {"matchLabels": GUARDED},
        },
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
    }
    return [
        {
            "apiVersion": group,
            "kind": "MutatingAdmissionPolicy",
            "metadata": metadata,
            "spec": spec,
        },
        {
            "apiVersion": group,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": "prepends"},
        },
    ]


def test_a_pod_that_is_opted_out_and_one_elsewhere_are_untouched(server: KubeApiserver) -> None:
    mine = without_token()
    server.new_namespace("elsewhere")
    assert names(created(server, mine, "elsewhere")) == []
    mine["spec"]["serviceAccountName"] = "free"
    stored = created(server, mine)
    assert names(stored) == []
    assert "labels" not in stored["metadata"]
    assert "lifecycle" not in stored["spec"]["containers"][0]


FORGED: Final[dict[str, Json]] = {
    "a command": {"command": ["sleep"], "args": ["infinity"]},
    "another user": {"securityContext": {**RESTRICTED_SECURITY, "runAsUser": 10001}},
    "a file over its rules": {"terminationMessagePath": "/etc/sidecar/sidecar.yaml"},
    "an end before the application starts": dict.fromkeys(
        ("restartPolicy", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle")
    ),
}


@pytest.mark.parametrize("name", PAIR)
@pytest.mark.parametrize("forged", FORGED)
def test_a_container_with_the_pairs_name_and_image_is_replaced(
    server: KubeApiserver, name: str, forged: str
) -> None:
    mine = paired_pod("application")
    (imitation,) = [each for each in mine["spec"]["initContainers"] if each["name"] == name]
    imitation.update(FORGED[forged])
    mine["spec"]["initContainers"].reverse()
    stored = created(server, mine)["spec"]["initContainers"]
    assert stored == by_component(server)["spec"]["initContainers"]


@pytest.mark.parametrize("name", PAIR)
def test_an_imitation_of_the_pair_is_refused(server: KubeApiserver, name: str) -> None:
    mine = paired_pod("application")
    (imitation,) = [each for each in mine["spec"]["initContainers"] if each["name"] == name]
    imitation["image"] = "registry.example/imitation:1"
    assert "Duplicate value" in refusal(server, mine, NAMESPACE)
    application = without_token()
    application["spec"]["containers"][0]["name"] = name
    assert "Duplicate value" in refusal(server, application, NAMESPACE)


def test_the_cpu_is_that_of_the_parameter(server: KubeApiserver) -> None:
    server.apply(pairing(NAMESPACE, sidecar={"image": SIDECAR, "cpu": "300m"}))
    try:
        requests = eventually(
            lambda: changed(created(server, without_token())["spec"]["initContainers"][0])
        )
        assert requests == {"cpu": "300m", "memory": "96Mi"}
    finally:
        server.apply(pairing(NAMESPACE, sidecar={"image": SIDECAR, "cpu": "100m"}))
        eventually(
            lambda: not changed(created(server, without_token())["spec"]["initContainers"][0])
        )


def changed(container: Json) -> Json:
    """What it requests, or nothing if its CPU is the default."""
    requests: Json = container["resources"]["requests"]
    return requests if requests["cpu"] != "100m" else {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sidecar": {"image": "authz-sidecar:0.1.0"}}, "spec.sidecar.image"),
        ({"sidecar": {"image": SIDECAR.replace("@", ":1@")}}, "spec.sidecar.image"),
        ({"sidecar": {"image": SIDECAR, "cpu": "0"}}, "spec.sidecar.cpu"),
        ({"envoy": {"image": ENVOY, "configMap": "authz-envoy"}}, "spec.envoy.configMap"),
        ({"optOuts": [{"namespace": NAMESPACE}]}, "serviceAccount"),
    ],
)
def test_a_parameter_that_cannot_work_is_refused(
    server: KubeApiserver, changes: Json, message: str
) -> None:
    said = refusal(server, pairing(NAMESPACE, **changes), "")
    assert message in said


def test_without_the_parameter_no_pod_is_created(
    kube_apiserver_to_restart: KubeApiserver,
) -> None:
    server = kube_apiserver_to_restart
    namespace = install(server)
    server.kubectl("delete", "pairing", "pairs", "--namespace", "authz-system")
    said = eventually(lambda: refusal(server, pod("application"), namespace))
    assert "no params found" in said
