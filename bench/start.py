"""From exec to ready, keys from a file, and how much of it is imports."""

import statistics
import subprocess
import sys
import time

from bench.figures import Figure
from bench.http2 import Connection, Request
from bench.pod import running_pod
from bench.sampling import cpu_of
from sidecar.wire.authorization import METHOD


def measure(*, quick: bool) -> list[Figure]:
    """Seconds, the median of several starts."""
    ready, used, answered = [], [], []
    with running_pod() as pod:
        request = Request.grpc(METHOD, pod.service.check_request(pod.service.token()))
        for _ in range(2 if quick else 5):
            pod.sidecar.process.stop()
            began = time.perf_counter()
            pod.sidecar.start()
            ready.append(time.perf_counter() - began)
            used.append(cpu_of(pod.sidecar.process.pid))
            with Connection(pod.sidecar.socket) as connection:
                connection.ask([request])
            answered.append(time.perf_counter() - began)
    imports = _imports()
    return [
        Figure("from exec to /readyz 200", (statistics.median(ready),), "s", 1.0),
        Figure("of it: CPU of the process, whatever else runs", (statistics.median(used),), "s"),
        Figure("of it: imports", (imports,), "s"),
        Figure("from exec to the first check answered", (statistics.median(answered),), "s"),
    ]


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
