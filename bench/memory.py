"""Memory: of an idle sidecar, import by import, of each token it remembers, and of Envoy beside it.

The requests and limits of ``deploy/k8s`` are made from these figures (docs/kubernetes.md).
"""

import gc
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.figures import Figure
from bench.gateway import running_gateway
from bench.in_process import sidecar_checks
from bench.pod import running_pod
from bench.service import Service
from tests.support.envoy import Envoy
from tests.support.http1 import Connection

_TOKENS = 2000
# Of clients, each with one request and kept open: a quarter of what the shipped Envoy allows.
_CONNECTIONS = 1000
# What `sidecar serve` imports, in an order in which each adds only its own. CEL comes with the
# first condition, which this service does not have.
_STEPS = {
    "Python itself": "pass",
    "grpc, protobuf and the messages": "import sidecar.wire.grpc.codec, sidecar.wire.grpc.server",
    "cryptography and PyJWT": "import sidecar.check.jws",
    "aiohttp and asyncio": "import sidecar.pages.metrics",
    "prometheus-client": "import sidecar.telemetry.metrics",
    "pydantic and ruamel.yaml": "import sidecar.config.loader",
    "the rest": "import sidecar.cli.serve",
}
_RESIDENT = (
    "next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1]"
)


def measure(*, quick: bool) -> list[Figure]:
    """Resident memory in MiB, and the bytes Python allocates for a remembered token."""
    del quick  # it takes seconds either way
    with running_pod() as pod:
        idle = resident(pod.sidecar.process.pid)
        envoy = pod.envoy(pod.checked())
        idle_envoy = resident(envoy.process.pid)
        with _clients(envoy, pod.service):
            busy, busy_envoy = (resident(each.process.pid) for each in (pod.sidecar, envoy))
    with tempfile.TemporaryDirectory() as name, running_gateway(Path(name)) as (_, gateway):
        idle_gateway = resident(gateway.process.pid)
    steps = _steps()
    return [
        Figure("idle, keys from a file", (idle,), "MiB", 80),
        *(Figure(f"of it: {name}", (size,), "MiB") for name, size in steps.items()),
        Figure("of it: serving", (idle - sum(steps.values()),), "MiB"),
        Figure(f"after {_CONNECTIONS:,} new tokens", (busy,), "MiB"),
        Figure("idle, role: gateway", (idle_gateway,), "MiB"),
        Figure("Envoy, idle", (idle_envoy,), "MiB"),
        Figure(f"Envoy, {_CONNECTIONS:,} connections", (busy_envoy,), "MiB"),
        Figure("a remembered token of 700 bytes", (_per_token(),), "KiB", 1.5),
    ]


@contextmanager
def _clients(envoy: Envoy, service: Service) -> Iterator[None]:
    """Connections that stay open until the end of the block, each with a token of its own."""
    with ExitStack() as stack:
        for _ in range(_CONNECTIONS):
            connection = stack.enter_context(Connection(envoy.address))
            connection.request("GET", service.path, service.headers(service.token()))
        yield


def resident(pid: int) -> float:
    """The resident memory of a process, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (size,) = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return int(size) / 1024


def _steps() -> dict[str, float]:
    """What each import adds in a fresh interpreter."""
    program = "\n".join(f"{statement}\nprint({_RESIDENT})" for statement in _STEPS.values())
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    sizes = [int(line) / 1024 for line in done.stdout.split()]
    added = [size - before for size, before in zip(sizes, [0.0, *sizes], strict=False)]
    return dict(zip(_STEPS, added, strict=True))


def _per_token() -> float:
    with tempfile.TemporaryDirectory() as name:
        service = Service(Path(name))
        checks = sidecar_checks(service, Path(name))
    tokens = [service.token() for _ in range(_TOKENS)]
    assert 650 <= len(tokens[0]) <= 850, len(tokens[0])
    bodies = [service.check_request(token) for token in tokens]
    checks.expect_allow(service.check_request(service.token()))
    gc.collect()
    tracemalloc.start()
    for body in bodies:
        checks.answer(body)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return grown / _TOKENS / 1024
