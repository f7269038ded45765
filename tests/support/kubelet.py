"""A pod of a rendered manifest, run as processes: what a kubelet does with it, without containers.

From the manifest it takes commands, variables, ConfigMaps, memory volumes, users, capabilities,
probes, hooks, all their times, the order of start and end, and the grace period. A table says where
the pod's programs, ports and addresses are on this machine.

It has no root file system, no namespaces and no limits of resources, and starts nothing again: it
asks no liveness probe. The others it asks as soon as somebody waits for them, and not each period.
Where it may not take other users (``separate_users``), all containers run as this one.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from signal import SIGKILL
from typing import Final, Self

from tests.support.http1 import Connection
from tests.support.manifests import Json, Pod
from tests.support.processes import Child

# The pod's address on the network: no program that listens on the pod's 127.0.0.1 is reached there.
POD_ADDRESS: Final = "127.0.0.2"
# Seconds that a container has to end, even where its hook took the whole grace period.
_LEAST_GRACE: Final = 2.0


@cache
def separate_users() -> bool:
    """Whether each container runs as its own user: this one is root, and others can run Python."""
    other = ("setpriv", "--reuid=64646", "--regid=64646", "--clear-groups", "--inh-caps=-all")
    program = "import sys, sidecar; sys.exit(sys.argv[1] != sys.base_prefix)"
    command = [*other, sys.executable, "-c", program, sys.base_prefix]
    done = subprocess.run(command, capture_output=True, check=False)
    return os.geteuid() == 0 and done.returncode == 0


@dataclass(frozen=True, slots=True)
class Table:
    """What stands here for what a manifest names.

    ``programs`` replaces the beginning of a command, the longest that it has; ``words`` replaces
    ports, addresses and URLs in commands, variables and ConfigMaps.
    """

    programs: Mapping[tuple[str, ...], Sequence[str]]
    words: Mapping[str, str]

    def port(self, number: int) -> int:
        return int(self.words[str(number)])

    def text(self, text: str) -> str:
        """``text`` with all words replaced."""
        every = "|".join(re.escape(word) for word in sorted(self.words, key=len, reverse=True))
        return re.sub(rf"(?<![\w.-])({every})(?![\w-])", lambda found: self.words[found[0]], text)

    def command(self, command: Sequence[str]) -> list[str]:
        for length in range(len(command), 0, -1):
            if (program := self.programs.get(tuple(command[:length]))) is not None:
                return [self.text(word) for word in [*program, *command[length:]]]
        raise LookupError(f"{command[0]} is not in the table of programs")


class Container:
    """A container of a pod. ``over`` is set when it has ended."""

    def __init__(self, pod: "RunningPod", description: Json, directory: Path) -> None:
        self._pod = pod
        self._description = description
        self._directory = directory
        self._ports = {port["name"]: port["containerPort"] for port in description.get("ports", [])}
        self._process: Child | None = None
        self.name: str = description["name"]
        self.over = threading.Event()

    @property
    def process(self) -> Child:
        assert self._process, f"{self.name} was not started"
        return self._process

    def start(self) -> None:
        """Start it, and return when its startup probe passes, if it has one."""
        self._pod.note(self.name, "starts")
        # The kernel kills it when this thread ends.
        self._process = Child(self._as_user(self._description["command"]), self._directory)
        if probe := self._description.get("startupProbe"):
            within = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
            self._process.wait_until(lambda: self.passes("startupProbe"), within=within)
        self._pod.note(self.name, "started")

    def passes(self, kind: str) -> bool:
        """Whether an ``httpGet`` probe passes now, or there is none and the process is there."""
        if (probe := self._description.get(kind)) is None:
            return self._process is not None and self._process.running
        # A name is one of this container's own ports.
        port = self._ports.get(probe["httpGet"]["port"], probe["httpGet"]["port"])
        address = (POD_ADDRESS, self._pod.table.port(port))
        try:
            with Connection(address, timeout=probe.get("timeoutSeconds", 1)) as connection:
                return 200 <= connection.request(target=probe["httpGet"]["path"]).status < 400
        except OSError:
            return False

    def end(self, deadline: float, before: Sequence["Container"]) -> None:
        """Run its hook, wait for those that end ``before`` it, then TERM, and KILL if need be."""
        if hook := self._description.get("lifecycle", {}).get("preStop"):
            self._pod.note(self.name, f"preStop {self._run_hook(hook, _left(deadline))}")
        for other in before:
            other.over.wait(_left(deadline))
        self._pod.note(self.name, "TERM")
        code = self.process.stop(within=max(_left(deadline), _LEAST_GRACE))
        self._pod.note(self.name, "KILL" if code == -SIGKILL else "ended")
        self.over.set()

    def kill(self) -> None:
        """End it at once."""
        if self._process and self._process.running:
            self._process.kill()

    def _run_hook(self, hook: Json, left: float) -> str:
        match hook:
            case {"sleep": {"seconds": seconds}}:
                time.sleep(min(seconds, left))
                return "slept"
            case {"exec": {"command": command}}:
                directory = self._directory / "preStop"
                directory.mkdir()
                child = Child(self._as_user(command), directory)
                try:
                    return str(child.wait(within=left))
                except subprocess.TimeoutExpired:
                    return str(child.kill())
        raise NotImplementedError(hook)

    def _as_user(self, command: Sequence[str]) -> list[str]:
        """``command`` as it runs here: its user, rights and variables, and nothing of ours."""
        table = self._pod.table
        given = self._description.get("env", [])
        variables = [f"{each['name']}={table.text(each['value'])}" for each in given]
        here = ["env", "-i", f"PATH={os.defpath}", *variables, *table.command(command)]
        if not separate_users():
            return here
        own = self._description.get("securityContext", {})
        context = {**self._pod.spec.get("securityContext", {}), **own}
        user = [f"--reuid={context['runAsUser']}", f"--regid={context.get('runAsGroup', 0)}"]
        rights = ["--no-new-privs"] if context.get("allowPrivilegeEscalation") is False else []
        if context.get("capabilities", {}).get("drop") == ["ALL"]:
            rights += ["--bounding-set=-all", "--inh-caps=-all"]
        return ["setpriv", *rights, *user, "--clear-groups", "--pdeathsig=KILL", *here]


class RunningPod:
    """A pod for the length of a ``with`` block: nothing of it is left then.

    ``directory``, which other users must get to, gets its volumes and its containers' output;
    ``config_maps`` are those of its namespace, by name.
    """

    def __init__(
        self, pod: Pod, config_maps: Mapping[str, Mapping[str, str]], table: Table, directory: Path
    ) -> None:
        self.spec = pod.spec
        # What happened to which container, in this order.
        self.events: list[tuple[str, str]] = []
        mounts = [mount for each in pod.containers for mount in each.get("volumeMounts", [])]
        paths = {mount["mountPath"]: str(directory / mount["name"]) for mount in mounts}
        self.table = Table(table.programs, {**table.words, **paths})
        for volume in pod.spec.get("volumes", []):
            path = directory / volume["name"]
            path.mkdir()
            match volume:
                case {"configMap": {"name": name}}:
                    for file, text in config_maps[name].items():
                        (path / file).write_text(self.table.text(text))
                case {"emptyDir": _}:
                    path.chmod(0o777)
                case _:
                    raise NotImplementedError(volume)
        self.containers: dict[str, Container] = {}
        for each in pod.containers:
            output = directory / f"output-{each['name']}"
            output.mkdir()
            self.containers[each["name"]] = Container(self, each, output)
        sidecars = pod.spec.get("initContainers", [])
        if any(each.get("restartPolicy") != "Always" for each in sidecars):
            raise NotImplementedError("init containers that are no sidecars")
        self._sidecars = {each["name"] for each in sidecars}
        self._ending = threading.Thread(target=self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for container in self.containers.values():
            container.kill()
        if self._ending.ident:
            self._ending.join()

    def start(self) -> None:
        """Start the containers in their order, from a thread that outlives them, as it must."""
        for container in self.containers.values():
            container.start()

    @property
    def ready(self) -> bool:
        return all(each.passes("readinessProbe") for each in self.containers.values())

    def delete(self) -> None:
        """Begin to end it: all hooks at once."""
        self._ending.start()

    def wait(self) -> None:
        self._ending.join()

    def note(self, container: str, what: str) -> None:
        self.events.append((container, what))

    def _end(self) -> None:
        deadline = time.monotonic() + self.spec.get("terminationGracePeriodSeconds", 30)
        containers = list(self.containers.values())
        with ThreadPoolExecutor(len(containers)) as threads:
            ended = [
                # Before a sidecar all those end that were started after it.
                threads.submit(
                    each.end, deadline, containers[place:] if each.name in self._sidecars else []
                )
                for place, each in enumerate(containers, 1)
            ]
        for each in ended:
            each.result()


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0)
