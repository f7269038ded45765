"""Every pod satisfies Pod Security *restricted*, field by field, and has a read-only root.

The fields are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

import pytest

from tests.support.manifests import RENDERINGS, Json, Pod, pods

EVERY_POD = [pod for path in RENDERINGS for pod in pods(path)]
NAMES = [f"{path.parent.name}/{pod.name}" for path in RENDERINGS for pod in pods(path)]

every_pod = pytest.mark.parametrize("pod", EVERY_POD, ids=NAMES)

RESTRICTED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def test_there_are_pods() -> None:
    assert len(EVERY_POD) >= 8


@every_pod
def test_a_pod_shares_nothing_with_its_node(pod: Pod) -> None:
    for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        assert not pod.spec.get(field, False)
    assert not pod.spec.get("securityContext", {}).get("sysctls")
    for volume in pod.spec.get("volumes", []):
        (kind,) = set(volume) - {"name"}
        assert kind in RESTRICTED_VOLUMES


@every_pod
def test_a_container_can_gain_no_privilege(pod: Pod) -> None:
    for container in pod.containers:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert not context.get("privileged", False)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert "procMount" not in context
        assert not any("hostPort" in port for port in container.get("ports", []))


@every_pod
def test_a_container_runs_as_a_user_that_is_not_root_under_the_runtimes_seccomp_profile(
    pod: Pod,
) -> None:
    inherited = pod.spec.get("securityContext", {})
    for container in pod.containers:
        context = inherited | container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


@every_pod
def test_neither_a_probe_nor_a_hook_names_a_host(pod: Pod) -> None:
    for container in pod.containers:
        for handler in handlers(container):
            for action in ("httpGet", "tcpSocket"):
                assert "host" not in handler.get(action, {})


@every_pod
def test_no_token_of_the_service_account_is_mounted_that_nobody_asked_for(pod: Pod) -> None:
    assert pod.spec["automountServiceAccountToken"] is False


@every_pod
def test_a_container_has_a_memory_limit_and_ours_no_cpu_limit(pod: Pod) -> None:
    for container in pod.containers:
        assert "memory" in container["resources"]["limits"]
        assert "memory" in container["resources"]["requests"]
        assert "cpu" in container["resources"]["requests"]
        assert "cpu" not in container["resources"]["limits"]


def handlers(container: Json) -> list[Json]:
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    return [
        *(container[probe] for probe in probes if probe in container),
        *container.get("lifecycle", {}).values(),
    ]
