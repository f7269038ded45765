"""What a restart of the sidecar alone costs the requests that come meanwhile, through Envoy."""

import statistics
import time

from bench.figures import Figure
from bench.pod import running_pod
from tests.support.load import Load

_PAUSE = 0.04  # of each of four clients between two requests: about 100 requests a second


def measure(*, quick: bool) -> list[Figure]:
    """Requests that failed, and for how long requests failed, per restart."""
    failed, gaps = [], []
    with running_pod() as pod:
        front = pod.envoy(pod.checked())
        headers = pod.service.headers(pod.service.token())

        def next_headers() -> tuple[tuple[str, str], ...]:
            time.sleep(_PAUSE)
            return headers

        for _ in range(1 if quick else 3):
            with Load(front.address, pod.service.path, next_headers) as load:
                pod.sidecar.process.stop()
                pod.sidecar.start()
                load.wait_for(20)
            times = [failure.at for failure in load.failures]
            failed.append(len(times))
            gaps.append(max(times) - min(times) if times else 0.0)
    return [
        Figure("requests failed, of about 100 a second", (statistics.median(failed),), ""),
        Figure("from the first to the last that failed", (statistics.median(gaps),), "s"),
    ]
