"""The guard at a real API server, with nothing injected: what it refuses, what it lets through."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.support.kube_apiserver import KubeApiserver, ServiceAccount
from tests.support.kube_objects import Json, pod
from tests.support.kubectl import KubectlError
from tests.support.manifests import documents
from tests.support.pairing import (
    CONNECT,
    ENVOY,
    ENVOY_CONFIG,
    GUARD,
    RULES,
    SIDECAR,
    install,
    paired_pod,
    pairing,
    refusal,
)
from tests.support.processes import eventually

pytestmark = pytest.mark.kubernetes

NAMESPACE: Final = "guarded"
OTHER_DIGEST: Final = "registry.example/authz-sidecar@sha256:" + "c" * 64
NAMESPACE_CONTROLLER: Final = "system:serviceaccount:kube-system:namespace-controller"


@pytest.fixture(scope="module")
def server(
    kubernetes_installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeApiserver]:
    """A server of this module's own. Pod Security refuses nothing there: the guard has to."""
    del kubernetes_installed
    with KubeApiserver(tmp_path_factory.mktemp("kube-apiserver")) as server:
        install(server, injection=False)
        level = "pod-security.kubernetes.io/enforce=privileged"
        server.kubectl("label", "namespace", NAMESPACE, level, "--overwrite")
        server.apply(*documents(GUARD))
        # Right after the parameter's kind is there, every pod is refused.
        eventually(lambda: "needs the label" in refused(server, pod("application")), within=60)
        eventually(lambda: "leads past" in refused(server, service(8081)))
        eventually(lambda: "immutable" in refused(server, config_map(RULES, immutable=False)))
        eventually(lambda: refused(server, paired_pod("application")) == "")
        yield server


def refused(server: KubeApiserver, thing: Json, user: str | None = None) -> str:
    """The guard's own words, or the API server's; nothing if the object is taken."""
    options = {} if user is None else {"user": user}
    return refusal(server, thing, NAMESPACE, **options)


def service(*targets: int | str | None, **spec: object) -> Json:
    ports = [
        {"name": f"port-{number}", "port": 8080 + number}
        | ({} if target is None else {"targetPort": target})
        for number, target in enumerate(targets)
    ]
    made = {"selector": {"app": "orders"}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders"}, "spec": made}


def config_map(name: str, *, immutable: bool = True, text: str = "role: sidecar") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "immutable": immutable,
        "data": {"sidecar.yaml": text},
    }


# Pods

Change = Callable[[Json], object]


def application(spec: Json) -> Json:
    first: Json = spec["containers"][0]
    return first


def another(spec: Json, **fields: object) -> None:
    """An init container of the application's, or one that pretends to be of the pair."""
    spec["initContainers"].append({**copy.deepcopy(application(spec)), "name": "another", **fields})


def volume(spec: Json, name: str, **source: object) -> None:
    (index,) = [i for i, each in enumerate(spec["volumes"]) if each["name"] == name]
    spec["volumes"][index] = {"name": name, **source}


def mount(container: Json, name: str, path: str) -> None:
    container.setdefault("volumeMounts", []).append({"name": name, "mountPath": path})


def default_user(spec: Json) -> None:
    """The pair's user, which the application takes from the pod."""
    spec["securityContext"] = {"runAsUser": 64646}
    del application(spec)["securityContext"]["runAsUser"]


def another_first(spec: Json) -> None:
    another(spec)
    spec["initContainers"].insert(0, spec["initContainers"].pop())


def over_the_program(spec: Json) -> None:
    """A volume that hides what the image has there."""
    spec["volumes"].append({"name": "more", "emptyDir": {}})
    mount(spec["initContainers"][0], "more", "/opt/sidecar")


def claim(spec: Json) -> None:
    spec["resourceClaims"] = [{"name": "device", "resourceClaimName": "device"}]
    spec["initContainers"][0]["resources"]["claims"] = [{"name": "device"}]


def ports(name: str, number: int) -> list[Json]:
    return [{"name": name, "containerPort": number}]


WEAKENED: Final[dict[str, tuple[Change, str]]] = {
    "no pair": (lambda s: s.update(initContainers=[]), "must be sidecar and envoy"),
    "no Envoy": (lambda s: s["initContainers"].pop(), "must be sidecar and envoy"),
    "no sidecar": (lambda s: s["initContainers"].pop(0), "must be sidecar and envoy"),
    "the wrong order": (lambda s: s["initContainers"].reverse(), "must be sidecar and envoy"),
    "one before it": (
        another_first,
        "must be sidecar and envoy",
    ),
    "another image": (
        lambda s: s["initContainers"][0].update(image=OTHER_DIGEST),
        f"container sidecar must have the image {SIDECAR}",
    ),
    "a tag": (
        lambda s: s["initContainers"][1].update(image="registry.example/envoy:1"),
        f"container envoy must have the image {ENVOY}",
    ),
    "another Envoy configuration": (
        lambda s: volume(s, "envoy-config", configMap={"name": "authz-envoy-77kk55gg22"}),
        f"volume envoy-config must be the whole ConfigMap {ENVOY_CONFIG}",
    ),
    "other rules": (
        lambda s: volume(s, "sidecar-config", configMap={"name": "authz-sidecar"}),
        f"volume sidecar-config must be the whole ConfigMap {RULES}",
    ),
    "rules from another key": (
        lambda s: volume(
            s,
            "sidecar-config",
            configMap={"name": RULES, "items": [{"key": "other", "path": "sidecar.yaml"}]},
        ),
        f"volume sidecar-config must be the whole ConfigMap {RULES}",
    ),
    "rules from elsewhere": (
        lambda s: volume(s, "sidecar-config", secret={"secretName": RULES}),
        f"volume sidecar-config must be the whole ConfigMap {RULES}",
    ),
    "a socket on disk": (
        lambda s: volume(s, "authz-socket", emptyDir={}),
        "volume authz-socket must be an emptyDir",
    ),
    "another's rules": (
        lambda s: s.update(serviceAccountName="stranger"),
        "ServiceAccount stranger has no rules; ask the platform team",
    ),
    "the host's network": (lambda s: s.update(hostNetwork=True), "hostNetwork"),
    "the host's processes": (lambda s: s.update(hostPID=True), "hostPID"),
    "shared processes": (lambda s: s.update(shareProcessNamespace=True), "shareProcessNamespace"),
    "the pair's user": (
        lambda s: application(s)["securityContext"].update(runAsUser=64646),
        "user 64646 is the pair's alone",
    ),
    "the pair's user, inherited": (default_user, "user 64646 is the pair's alone"),
    "the pair's user in an init container": (
        lambda s: another(s, securityContext={"runAsUser": 64646}),
        "user 64646 is the pair's alone",
    ),
    "the socket in the application": (
        lambda s: mount(application(s), "authz-socket", "/socket"),
        "volume authz-socket is the pair's alone",
    ),
    "the socket in an init container": (
        lambda s: another(s, volumeMounts=[{"name": "authz-socket", "mountPath": "/s"}]),
        "volume authz-socket is the pair's alone",
    ),
    "the pair's port name": (
        lambda s: application(s).update(ports=ports("envoy", 8081)),
        "container application declares a port of the pair",
    ),
    "the pair's port number": (
        lambda s: application(s).update(ports=ports("http", 8080)),
        "container application declares a port of the pair",
    ),
    "the pair's port in a sidecar": (
        lambda s: another(s, restartPolicy="Always", ports=ports("sidecar-metrics", 9000)),
        "container another declares a port of the pair",
    ),
    "a second sidecar": (lambda s: another(s, image=OTHER_DIGEST), "second pair"),
    "a second Envoy": (
        lambda s: application(s).update(image="registry.example/envoy:2"),
        "second pair",
    ),
    "more in the pair": (
        over_the_program,
        "volumeMounts of components/pair and no other",
    ),
    "an environment": (
        lambda s: s["initContainers"][0].update(env=[{"name": "PYTHONPATH", "value": "/scratch"}]),
        "commands of components/pair",
    ),
    "more arguments": (
        lambda s: s["initContainers"][1].update(args=["--config-yaml", "{}"]),
        "commands of components/pair",
    ),
    "a capability": (
        lambda s: s["initContainers"][1]["securityContext"]["capabilities"].update(
            add=["NET_BIND_SERVICE"]
        ),
        "securityContext of components/pair",
    ),
    "a profile of its own": (
        lambda s: s["initContainers"][0]["securityContext"].update(
            appArmorProfile={"type": "Unconfined"}
        ),
        "no other AppArmor profile",
    ),
    "a type of its own": (
        lambda s: s["initContainers"][1]["securityContext"].update(
            seLinuxOptions={"type": "spc_t"}
        ),
        "no seLinuxOptions",
    ),
    "a file over its rules": (
        lambda s: s["initContainers"][0].update(terminationMessagePath="/etc/sidecar/sidecar.yaml"),
        "no terminationMessagePath",
    ),
    "a device": (claim, "no resources.claims"),
    "a CPU limit": (
        lambda s: s["initContainers"][0]["resources"]["limits"].update(cpu="100m"),
        "no CPU limit",
    ),
    "a CPU limit of the whole pod": (
        lambda s: s.update(resources={"limits": {"cpu": "300m"}}),
        "write limits.cpu at the containers of the application",
    ),
    "a port of the node": (
        lambda s: application(s).update(ports=[{"containerPort": 8081, "hostPort": 8081}]),
        "a hostPort leads past the pair",
    ),
    "a probe of elsewhere": (
        lambda s: s["initContainers"][0]["readinessProbe"]["httpGet"].update(host="192.0.2.1"),
        "readinessProbe",
    ),
    "a hook of Envoy's": (
        lambda s: s["initContainers"][1].update(
            lifecycle={"postStart": {"exec": {"command": ["envoy"]}}}
        ),
        "container envoy no lifecycle",
    ),
    "too short an end": (
        lambda s: s.update(terminationGracePeriodSeconds=30),
        "terminationGracePeriodSeconds must be at least 45",
    ),
}


@pytest.mark.parametrize("case", WEAKENED)
def test_a_weakened_pod_is_refused_with_what_to_change(server: KubeApiserver, case: str) -> None:
    change, message = WEAKENED[case]
    weakened = paired_pod("application")
    change(weakened["spec"])
    server.new_service_account(NAMESPACE, "stranger")
    said = refused(server, weakened)
    assert "authz-sidecar-guard-pods" in said
    assert message in said


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all values that hold no other."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))
    else:
        yield path


# How often a probe is asked, and how long it may take, is for the cluster to choose.
CHOSEN: Final = {"periodSeconds", "timeoutSeconds", "failureThreshold"}
OTHER_VALUES: Final[dict[type, Callable[[Any], object]]] = {
    bool: lambda value: not value,
    int: lambda value: value + 1,
    str: lambda value: f"{value}x",
}
LEAVES: Final = [
    path
    for path in leaves(paired_pod("application")["spec"]["initContainers"])
    if path[-1] not in CHOSEN
]


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_every_field_of_the_pair_is_held(
    server: KubeApiserver, path: tuple[str | int, ...]
) -> None:
    weakened = paired_pod("application")
    place: Any = weakened["spec"]["initContainers"]
    for key in path[:-1]:
        place = place[key]
    if "resources" in path:
        place[path[-1]] = "1m"
    else:
        place[path[-1]] = OTHER_VALUES[type(place[path[-1]])](place[path[-1]])
    assert refused(server, weakened)


def test_the_label_that_the_network_policy_looks_for_is_held(server: KubeApiserver) -> None:
    weakened = paired_pod("application")
    weakened["metadata"]["labels"] = {}
    assert 'needs the label authz-sidecar.dev/paired: "true"' in refused(server, weakened)


def more(spec: Json) -> None:
    """Containers, volumes and ports of the application's own, which take nothing from the pair."""
    another(spec, ports=ports("http", 8000))
    spec["volumes"].append({"name": "scratch", "emptyDir": {}})
    mount(application(spec), "scratch", "/scratch")
    spec["initContainers"][0]["resources"]["requests"]["cpu"] = "1"
    spec["initContainers"][0]["startupProbe"]["failureThreshold"] = 120


def as_any_user(spec: Json) -> None:
    del application(spec)["securityContext"]["runAsUser"]


def another_user_than_the_pods(spec: Json) -> None:
    spec["securityContext"] = {"runAsUser": 64646}


GOOD: Final[dict[str, Change]] = {
    "as it is": lambda _: None,
    "more": more,
    "the image's user": as_any_user,
    "a user of its own": another_user_than_the_pods,
    "opted out": lambda s: (s.update(serviceAccountName="free"), s.update(initContainers=[])),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_good_pod_is_let_through(server: KubeApiserver, case: str) -> None:
    good = paired_pod("application")
    GOOD[case](good["spec"])
    assert refused(server, good) == ""


@pytest.fixture
def running(server: KubeApiserver) -> Iterator[str]:
    """The name of a pod that is there."""
    # One that has a node stays when it is deleted, and one that has none is deleted at once.
    server.apply(paired_pod("running"), namespace=NAMESPACE)
    yield "running"
    server.kubectl("delete", "pod", "running", "--namespace", NAMESPACE, "--wait=false")


def patched(server: KubeApiserver, name: str, patch: Json, subresource: str = "") -> str:
    """What the API server says against a patch."""
    place = [f"--subresource={subresource}"] if subresource else []
    arguments = ("patch", "pod", name, "--namespace", NAMESPACE, *place, "--dry-run=server")
    try:
        server.kubectl(*arguments, "--type=strategic", "--patch", json.dumps(patch))
    except KubectlError as error:
        return str(error)
    return ""


def test_after_a_change_of_the_image_running_pods_can_be_labelled_and_new_ones_need_it(
    server: KubeApiserver, running: str
) -> None:
    server.apply(pairing(NAMESPACE, sidecar={"image": OTHER_DIGEST, "cpu": "100m"}))
    try:
        said = eventually(lambda: refused(server, paired_pod("application")))
        assert f"container sidecar must have the image {OTHER_DIGEST}" in said
        assert patched(server, running, {"metadata": {"labels": {"app": "orders"}}}) == ""
        assert patched(server, running, {"metadata": {"annotations": {"note": "a"}}}) == ""
        image = [{"name": "application", "image": "registry.example/application:2"}]
        assert patched(server, running, {"spec": {"containers": image}}) == ""
    finally:
        server.apply(pairing(NAMESPACE))
        eventually(lambda: not refused(server, paired_pod("application")))


def test_a_running_pod_keeps_its_pair_and_its_label(server: KubeApiserver, running: str) -> None:
    label = {"metadata": {"labels": {"authz-sidecar.dev/paired": None}}}
    assert "needs the label" in patched(server, running, label)
    image = {"spec": {"initContainers": [{"name": "envoy", "image": "registry.example/e:1"}]}}
    assert "must have the image" in patched(server, running, image)
    second = {"spec": {"containers": [{"name": "application", "image": SIDECAR}]}}
    assert "second pair" in patched(server, running, second)


def test_the_pair_cannot_be_resized_to_nothing(server: KubeApiserver, running: str) -> None:
    def resized(**resources: Json) -> str:
        pair = [{"name": "sidecar", "resources": resources}]
        return patched(server, running, {"spec": {"initContainers": pair}}, "resize")

    assert "must request at least 100m" in resized(requests={"cpu": "1m"})
    assert "no CPU limit" in resized(limits={"cpu": "200m"})
    assert resized(requests={"cpu": "200m"}) == ""
    whole = {"spec": {"resources": {"limits": {"cpu": "300m"}}}}
    assert "the pod's own resources have a CPU limit" in patched(server, running, whole, "resize")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"securityContext": {"runAsUser": 64646}}, "user 64646 is the pair's alone"),
        (
            {"volumeMounts": [{"name": "authz-socket", "mountPath": "/run/sidecar"}]},
            "volume authz-socket is the pair's alone",
        ),
        ({"targetContainerName": "envoy"}, "must not have targetContainerName"),
        ({"targetContainerName": "application"}, ""),
    ],
)
def test_an_ephemeral_container_stays_out_of_the_pair(
    server: KubeApiserver, running: str, fields: Json, message: str
) -> None:
    debugger = {"name": "debug", "image": "registry.example/debug:1", **fields}
    patch = {"spec": {"ephemeralContainers": [debugger]}}
    said = patched(server, running, patch, "ephemeralcontainers")
    assert message in said
    assert bool(said) == bool(message)


# Services


@pytest.mark.parametrize(
    "past",
    [
        service(8081),
        service(8080),
        service("http"),
        service(None),
        service("envoy", 8081),
        service(None, clusterIP="None"),
        service(8081, type="NodePort"),
    ],
    ids=["number", "the pair's number", "name", "default", "second", "headless", "node port"],
)
def test_a_service_that_leads_past_the_pair_is_refused(server: KubeApiserver, past: Json) -> None:
    said = refused(server, past)
    assert "leads past the pair; write targetPort: envoy" in said


@pytest.mark.parametrize(
    "good",
    [
        service("envoy"),
        service("envoy", "envoy-status", "sidecar-metrics"),
        service("envoy", clusterIP="None"),
        service(8081, selector=None),
        {**service(), "spec": {"type": "ExternalName", "externalName": "example.com"}},
    ],
    ids=["the pair", "metrics", "headless", "without a selector", "elsewhere"],
)
def test_a_service_that_leads_to_the_pair_is_let_through(server: KubeApiserver, good: Json) -> None:
    assert refused(server, good) == ""


def test_a_service_cannot_be_changed_to_lead_past_the_pair(server: KubeApiserver) -> None:
    server.apply(service("envoy"), namespace=NAMESPACE)
    try:
        assert "leads past the pair" in refused(server, service(8081))
    finally:
        server.kubectl("delete", "service", "orders", "--namespace", NAMESPACE)


# ConfigMaps


@pytest.fixture(scope="module")
def team(server: KubeApiserver) -> str:
    """Somebody who may do everything in the namespace, and nothing elsewhere."""
    account: ServiceAccount = server.new_service_account(NAMESPACE, "team")
    names = ("--clusterrole=everything", f"--serviceaccount={NAMESPACE}:team")
    server.kubectl("create", "clusterrole", "everything", "--verb=*", "--resource=*.*")
    server.kubectl("create", "rolebinding", "team", *names, "--namespace", NAMESPACE)
    eventually(lambda: server.can_i(account.user, "delete", "configmaps", namespace=NAMESPACE))
    return account.user


def deleted(server: KubeApiserver, user: str | None, *arguments: str) -> str:
    place = ("--namespace", NAMESPACE, "--dry-run=server")
    try:
        server.kubectl("delete", "configmap", *arguments, *place, user=user)
    except KubectlError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", [RULES, ENVOY_CONFIG, f"{ENVOY_CONFIG[:-10]}kkkkkkkkkk"])
def test_what_configures_the_pair_is_written_by_the_platforms_account_alone(
    server: KubeApiserver, team: str, name: str
) -> None:
    assert "ask the platform team" in refused(server, config_map(name), team)
    assert "set immutable: true" in refused(server, config_map(name, immutable=False))
    server.apply(config_map(name), namespace=NAMESPACE)
    try:
        labelled = config_map(name)
        labelled["metadata"]["labels"] = {"a": "b"}
        assert "ask the platform team" in refused(server, labelled, team)
        assert "ask the platform team" in deleted(server, team, name)
        assert "ask the platform team" in deleted(server, team, "--all")
        assert refused(server, labelled) == ""
        assert deleted(server, None, name) == ""
    finally:
        server.kubectl("delete", "configmap", name, "--namespace", NAMESPACE)


def test_other_config_maps_are_the_teams(server: KubeApiserver, team: str) -> None:
    assert refused(server, config_map("orders", immutable=False), team) == ""
    assert refused(server, config_map("authz-envoy", immutable=False), team) == ""


def test_a_namespace_that_ends_takes_its_config_maps_with_it(server: KubeApiserver) -> None:
    namespace = server.new_namespace("ending", {"authz-sidecar.dev/pair": "enabled"})
    server.apply(config_map(ENVOY_CONFIG), namespace=namespace)
    # The controller's role is there; its ServiceAccount is made by another, which does not run.
    delete = ("delete", "configmap", ENVOY_CONFIG, "--namespace", namespace, "--dry-run=server")

    def said() -> str:
        try:
            server.kubectl(*delete, user=NAMESPACE_CONTROLLER)
        except KubectlError as error:
            return str(error)
        return ""

    assert "ask the platform team" in said()
    server.kubectl("delete", "namespace", namespace, "--wait=false")
    eventually(lambda: said() == "")


# Namespaces


@pytest.mark.parametrize("subresource", ["", "/status", "/finalize"])
@pytest.mark.parametrize("value", [None, "disabled"])
def test_the_label_of_a_namespace_is_taken_away_by_the_platforms_account_alone(
    server: KubeApiserver, team: str, subresource: str, value: str | None
) -> None:
    def said(labels: dict[str, str | None], user: str | None) -> str:
        changed = json.loads(server.kubectl("get", "namespace", NAMESPACE, "--output=json"))
        merged = {**changed["metadata"]["labels"], **labels}
        changed["metadata"]["labels"] = {k: v for k, v in merged.items() if v is not None}
        path = f"/api/v1/namespaces/{NAMESPACE}{subresource}?dryRun=All"
        text = json.dumps(changed)
        try:
            server.kubectl("replace", "--raw", path, "--filename=-", stdin=text, user=user)
        except KubectlError as error:
            return str(error)
        return ""

    loss: dict[str, str | None] = {"authz-sidecar.dev/pair": value}
    assert "may remove it: ask the platform team" in eventually(lambda: said(loss, team))
    assert said(loss, None) == ""
    assert said({"tier": "a"}, team) == ""


# Connections


def test_whoever_goes_round_envoy_through_the_api_server_is_refused_where_that_is_on(
    server: KubeApiserver, team: str, running: str
) -> None:
    def said(*arguments: str, user: str | None = team) -> str:
        try:
            server.kubectl("--namespace", NAMESPACE, *arguments, user=user)
        except KubectlError as error:
            return str(error)
        return ""

    execute = ("exec", running, "--container=application", "--", "true")
    assert "goes round Envoy" not in said(*execute)
    server.apply(*documents(CONNECT))
    eventually(lambda: "exec goes round Envoy" in said(*execute))
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{running}"
    assert "attach goes round Envoy" in said("attach", running, "--container=application")
    assert "proxy goes round Envoy" in said("get", "--raw", f"{path}/proxy/")
    assert "portforward goes round Envoy" in said("create", "--raw", f"{path}/portforward", "-f-")
    assert "goes round Envoy" not in said(*execute, user=None)
