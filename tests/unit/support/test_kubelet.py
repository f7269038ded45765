"""The order in which containers end, and what becomes of one that does not."""

from pathlib import Path

import pytest

from tests.support import kubelet
from tests.support.kubelet import RunningPod, Table
from tests.support.manifests import Json, Pod

HERE = Table({("sh",): ("sh",)}, {"8080": "18080"})
DEAF = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"


@pytest.fixture(autouse=True)
def this_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """These containers' files are nobody else's."""
    monkeypatch.setattr(kubelet, "separate_users", lambda: False)


def container(name: str, script: str = "sleep 60", **others: object) -> Json:
    return {"name": name, "command": ["sh", "-c", script], **others}


def ended(directory: Path, application: Json, *, grace: int = 20) -> list[tuple[str, str]]:
    """What happens when a pod of this application and two sidecars is deleted."""
    sidecars = [container(name, restartPolicy="Always") for name in ("first", "second")]
    spec = {
        "initContainers": sidecars,
        "containers": [application],
        "terminationGracePeriodSeconds": grace,
    }
    with RunningPod(Pod("", {}, spec), {}, HERE, directory) as pod:
        pod.start()
        assert pod.ready
        if "deaf" in application["command"][-1]:
            process = pod.containers["application"].process
            process.wait_until(lambda: process.stdout() == ["deaf"])
        pod.delete()
        pod.wait()
        return pod.events[6:]


def test_the_application_ends_first_and_the_first_sidecar_last(tmp_path: Path) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "exit 3"]}}}

    assert ended(tmp_path, container("application", lifecycle=hook)) == [
        ("application", "preStop 3"),
        *((name, to) for name in ("application", "second", "first") for to in ("TERM", "ended")),
    ]


def test_a_container_that_does_not_end_is_killed_when_the_grace_period_is_over(
    tmp_path: Path,
) -> None:
    events = ended(tmp_path, container("application", DEAF), grace=1)

    # The sidecars have waited as long, and then end all at once.
    assert ("application", "KILL") in events
    assert {("first", "ended"), ("second", "ended")} < set(events)


def test_a_hook_ends_with_the_grace_period(tmp_path: Path) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "sleep 60"]}}}
    events = ended(tmp_path, container("application", lifecycle=hook), grace=1)

    assert events.index(("application", "preStop -9")) < events.index(("application", "TERM"))


def test_a_pod_whose_sidecar_ends_does_not_start(tmp_path: Path) -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 5}
    sidecar = container("first", "exit 1", restartPolicy="Always", startupProbe=probe)
    spec = {"initContainers": [sidecar], "containers": [container("application")]}

    with RunningPod(Pod("", {}, spec), {}, HERE, tmp_path) as pod:
        with pytest.raises(AssertionError, match="ended with 1"):
            pod.start()
        assert pod.events == [("first", "starts")]


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("port_value: 8080}", "port_value: 18080}"),
        ("'[::]:8080'", "'[::]:18080'"),
        ("18080 80801 8080s 1.8080 a-8080", "18080 80801 8080s 1.8080 a-8080"),
    ],
)
def test_words_are_replaced_whole(text: str, replaced: str) -> None:
    assert HERE.text(text) == replaced


def test_a_program_that_is_not_in_the_table_is_not_run() -> None:
    with pytest.raises(LookupError, match="bash is not in the table"):
        HERE.command(["bash", "-c", "true"])
