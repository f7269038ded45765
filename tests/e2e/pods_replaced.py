"""Pods of the payments service, run from the rendered manifest, with clients good and bad.

In place of its Service is a table of addresses. A pod's is used as soon as the pod is ready, and
for a while after it began to end: a cluster takes as long to tell all its nodes.
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Self

from sidecar.config.sections.listen import Listen
from tests.e2e import shop
from tests.support.envoy import ROOT, binary
from tests.support.http1 import Address, Connection, Field
from tests.support.key_server import KeyServer
from tests.support.kubelet import POD_ADDRESS, RunningPod, Table
from tests.support.manifests import SIDECAR, documents
from tests.support.manifests import Pod as Manifest
from tests.support.ports import free_port, socket_directory
from tests.support.processes import eventually
from tests.support.sidecar_process import SIDECAR as SIDECAR_HERE
from tools.pairs import PORTS

RENDERED: Final = ROOT / "deploy" / "k8s" / "examples" / "shop" / "paired" / "rendered.yaml"
# What the sidecar's configuration leaves to the program.
LISTEN: Final = {name: key.default for name, key in Listen.model_fields.items()}
JWKS: Final = "https://gateway-internal.gateway.svc.cluster.local/.well-known/jwks.json"
ENVOY, ENVOY_ADMIN, APPLICATION = 8080, 9901, 8081
# Seconds until a pod that ends gets no new connections. Envoy's listeners are open for ten.
PROPAGATION: Final = 5.0
PATH: Final = "/payments/7"
# What nobody but the sidecar may say.
FORGED: Final[Field] = ("x-user-id", "mallory")


def bearer(audience: str = "payments") -> list[Field]:
    token = shop.token(audience=audience, scope="payments:read")
    return [("authorization", f"Bearer {token}"), FORGED]


class Intruder:
    """Asks one pod without a right to, from before its start to after its end."""

    def __init__(self, pod: RunningPod) -> None:
        self._envoy = (POD_ADDRESS, pod.table.port(ENVOY))
        self._application = (POD_ADDRESS, pod.table.port(APPLICATION))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: Counter[int] = Counter()
        self.reached_past_envoy = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait_for_an_answer(self) -> None:
        """Return once it was refused; at once, if the pod it asks has been there a while."""
        eventually(lambda: self.answers[401])

    def _run(self) -> None:
        while not self._over.wait(0.01):
            for headers in ([FORGED], bearer(audience="orders")):
                if status := _status(self._envoy, headers):
                    self.answers[status] += 1
            if _status(self._application, [FORGED]):
                self.reached_past_envoy = True


def _status(address: Address, headers: list[Field]) -> int | None:
    try:
        with Connection(address) as connection:
            return connection.request(target=PATH, headers=headers).status
    except OSError:
        return None


@dataclass
class Service:
    """Who asks for payments, and the addresses that they are sent to."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Until when each address is used.
        self._addresses: dict[Address, float] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client) for _ in range(4)]

    def add(self, pod: RunningPod) -> None:
        with self._lock:
            self._addresses[POD_ADDRESS, pod.table.port(ENVOY)] = float("inf")

    def remove(self, pod: RunningPod) -> None:
        """Clients learn of it after ``PROPAGATION``."""
        with self._lock:
            self._addresses[POD_ADDRESS, pod.table.port(ENVOY)] = time.monotonic() + PROPAGATION

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _client(self) -> None:
        while not self._over.is_set():
            try:
                with Connection(self._address()) as connection:
                    self._ask(connection)
            except OSError as error:
                self._count(repr(error))

    def _ask(self, connection: Connection) -> None:
        """Some requests on one connection, unless it is to be closed."""
        for _ in range(20):
            response = connection.request(target=PATH, headers=bearer())
            self._count(None if response.status == 200 else f"{response.status} {response.body!r}")
            if response.header("connection") == "close" or self._over.wait(0.005):
                return

    def _address(self) -> Address:
        now = time.monotonic()
        with self._lock:
            used = [address for address, end in self._addresses.items() if now < end]
        return random.choice(used)  # noqa: S311 - no secret

    def _count(self, failure: str | None) -> None:
        with self._lock:
            self.answered += 1
            if failure:
                self.failures.append(failure)


class Cluster:
    """Starts pods of one manifest; each has an intruder."""

    def __init__(self, manifest: Manifest, envoy_version: str, keys: KeyServer) -> None:
        self._manifest = manifest
        self._envoy = str(binary(envoy_version))
        self._keys = keys
        self._stack = ExitStack()
        self._ports: set[int] = set()
        self.pods: list[RunningPod] = []
        self.intruders: dict[RunningPod, Intruder] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> RunningPod:
        """A pod that is ready."""
        directory = self._stack.enter_context(socket_directory())
        directory.chmod(0o755)
        pod = RunningPod(self._manifest, self._config_maps(), self._table(), directory)
        self._stack.enter_context(pod)
        self.pods.append(pod)
        self.intruders[pod] = self._stack.enter_context(Intruder(pod))
        pod.start()
        eventually(lambda: pod.ready, within=30)
        return pod

    def _table(self) -> Table:
        words = {str(port): str(self._port()) for port in {*PORTS, APPLICATION}}
        every = ("0.0.0.0", "[::]")  # noqa: S104 - which nothing listens on here
        programs = {
            (SIDECAR,): SIDECAR_HERE,
            # Its default is not written in the manifest.
            (SIDECAR, "drain"): (*SIDECAR_HERE, "drain", "--admin", f"127.0.0.1:{ENVOY_ADMIN}"),
            ("envoy",): (self._envoy,),
            ("python",): (sys.executable, "-m", "tests.support.recorded"),
        }
        words |= dict.fromkeys(every, POD_ADDRESS)
        return Table(programs, {**words, JWKS: self._keys.jwks_url})

    def _port(self) -> int:
        """One that is free, and that no pod has: what listens on a pod's address does not show."""
        while (port := free_port()) in self._ports:
            continue
        self._ports.add(port)
        return port

    def _config_maps(self) -> dict[str, dict[str, str]]:
        """Those of the manifest, and the gateway's CA."""
        maps = {
            document["metadata"]["name"]: dict(document["data"])
            for document in documents(RENDERED)
            if document["kind"] == "ConfigMap"
        }
        for files in maps.values():
            if "sidecar.yaml" in files:
                # The defaults are not written there.
                files["sidecar.yaml"] += f"\nlisten: {json.dumps(LISTEN)}\n"
        return {**maps, "gateway-ca": {"ca.crt": self._keys.ca_file.read_text()}}
