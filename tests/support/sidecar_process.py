"""The sidecar as its users run it: `sidecar serve` in a process of its own, on a real socket."""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from ruamel.yaml import YAML

from tests.support import http1
from tests.support.http1 import Response
from tests.support.leaks import LEAKS
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Child

Json = dict[str, Any]

FAULTY_SIDECAR = (sys.executable, "-m", "tests.support.faulty_sidecar")
# `make test-public-grpc` has the same tests run on the gRPC server that is used with a grpcio which
# lacks what the fast one needs.
SIDECAR = (
    (*FAULTY_SIDECAR, "public-grpc")
    if os.environ.get("GRPC_SERVER") == "public"
    else (sys.executable, "-m", "sidecar")
)


class SidecarProcess:
    """A sidecar for the length of a ``with`` block, ready when the block begins.

    ``directory`` gets its configuration and its output, ``socket_directory`` (short, see
    ``tests.support.ports``) its socket. ``command`` is what stands before ``serve``.
    """

    def __init__(
        self,
        configuration: Mapping[str, object],
        directory: Path,
        socket_directory: Path,
        *,
        command: Sequence[str] = SIDECAR,
    ) -> None:
        self.socket = socket_directory / "authz.sock"
        self.configuration_file = directory / "sidecar.yaml"
        self._metrics_port = free_port()
        self._admin_port = free_port()
        self._command = command
        self._directory = directory
        self._metrics_read = -math.inf
        self.configure(configuration)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._look_at_pages()
        self.process.stop()

    def launch(self) -> None:
        """Start the program, or start it anew, whenever it will be ready."""
        self.process = Child(
            [*self._command, "serve", "-c", str(self.configuration_file)], self._directory
        )

    def start(self) -> None:
        """Start the program, or start it anew, and wait until it is ready."""
        self.launch()
        self.process.wait_until(self.ready)

    def configure(self, configuration: Mapping[str, object]) -> None:
        """Replace the configuration file at one stroke; the listeners are added to it."""
        document = {"role": self._role(), "listen": self._listen(), **configuration}
        replacement = self.configuration_file.with_suffix(".new")
        with replacement.open("w") as file:
            YAML(typ="safe").dump(document, file)
        replacement.replace(self.configuration_file)

    def _role(self) -> str:
        return "sidecar"

    def _listen(self) -> dict[str, object]:
        return {
            "authz": f"unix:{self.socket}",
            "metrics": f"{LOOPBACK}:{self._metrics_port}",
            "admin": f"{LOOPBACK}:{self._admin_port}",
        }

    def _look_at_pages(self) -> None:
        """Hold what it shows to what no page may show."""
        with contextlib.suppress(OSError):  # it may have ended already
            LEAKS.look("/metrics", self.get("/metrics").body.decode())
            LEAKS.look("the status page", self.admin("/").body.decode())

    def ready(self) -> bool:
        """What the kubelet's readiness probe sees."""
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    @property
    def metrics_url(self) -> str:
        return f"http://{LOOPBACK}:{self._metrics_port}"

    @property
    def admin_url(self) -> str:
        return f"http://{LOOPBACK}:{self._admin_port}"

    def get(self, target: str) -> Response:
        """From the listener that Prometheus and the kubelet use."""
        return http1.request((LOOPBACK, self._metrics_port), target=target)

    def admin(self, target: str) -> Response:
        """From the listener for people."""
        return http1.request((LOOPBACK, self._admin_port), target=target)

    def status_page(self) -> Json:
        """What ``/readyz?verbose`` says."""
        accept = [("accept", "application/json")]
        address = (LOOPBACK, self._admin_port)
        answer = http1.request(address, target="/readyz?verbose", headers=accept)
        page: Json = answer.json()
        return page

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples whose labels include ``labels``; 0 when there is none."""
        return sum(
            sample.value
            for sample in self.metrics()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def metrics(self) -> list[Sample]:
        """Every sample there is, as it is now."""
        # What was read last is shown for a second.
        time.sleep(max(0.0, self._metrics_read + 1.0 - time.monotonic()))
        page = self.get("/metrics").body.decode()
        self._metrics_read = time.monotonic()
        families = text_string_to_metric_families(page)
        return [sample for family in families for sample in family.samples]

    def log(self) -> list[Json]:
        """Its log lines, on whichever stream they are."""
        lines = self.process.stdout() + self.process.stderr()
        return [json.loads(line) for line in lines if line.startswith("{")]


def write_json(file: Path, document: object) -> None:
    """Replace ``file`` at one stroke, as Kubernetes does."""
    replacement = file.with_suffix(".new")
    replacement.write_text(json.dumps(document))
    replacement.replace(file)
