"""From exec to ready, keys from a file, and how much of it is imports."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure
from bench.gateway import running_gateway
from bench.http2 import Connection, Request
from bench.pod import running_pod
from bench.sampling import cpu_of
from sidecar.wire.grpc.authorization import METHOD
from tests.support.sidecar_process import SidecarProcess


def measure(*, quick: bool) -> list[Figure]:
    """Seconds, the median of several starts."""
    times = 2 if quick else 5
    ready, used, answered = [], [], []
    with running_pod() as pod:
        request = Request.grpc(METHOD, pod.service.check_request(pod.service.token()))
        for _ in range(times):
            ready.append(_restart(pod.sidecar))
            began = time.perf_counter() - ready[-1]
            used.append(cpu_of(pod.sidecar.process.pid))
            with Connection(pod.sidecar.socket) as connection:
                connection.ask([request])
            answered.append(time.perf_counter() - began)
    imports = _imports()
    with tempfile.TemporaryDirectory() as name, running_gateway(Path(name)) as (_, gateway):
        gateway_ready = [_restart(gateway) for _ in range(times)]
    return [
        Figure("from exec to /readyz 200", (statistics.median(ready),), "s", 1.0),
        Figure("of it: CPU of the process, whatever else runs", (statistics.median(used),), "s"),
        Figure("of it: imports", (imports,), "s"),
        Figure("from exec to the first check answered", (statistics.median(answered),), "s"),
        Figure("role: gateway, to /readyz 200", (statistics.median(gateway_ready),), "s"),
    ]


def _restart(program: SidecarProcess) -> float:
    """Stop it and start it; the seconds from exec until it is ready."""
    program.process.stop()
    began = time.perf_counter()
    program.start()
    return time.perf_counter() - began


def _imports() -> float:
    """The seconds a fresh interpreter spends in imports, by its own account."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import sidecar.cli.serve"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    # "import time: self [us] | cumulative | imported package", below a line that says so
    lines = done.stderr.splitlines()[1:]
    return sum(int(line.split(":")[1].split("|")[0]) for line in lines) / 1e6
