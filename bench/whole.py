"""The whole: checks over gRPC and requests through a real Envoy, 1 and 16 at a time.

New tokens are taken in turn from more than the sidecar remembers, so that each is new again when
it comes back. Client and servers share the CPUs: latencies hold for this machine, CPU ratios
travel.
"""

import itertools
from collections.abc import Iterator

from bench.figures import TIMES, Figure
from bench.http2 import Request
from bench.pod import Pod, running_pod
from bench.service import HOST
from bench.ways import CALLS, Way, take
from sidecar.wire.grpc.authorization import METHOD
from tests.support.envoy import Envoy

_TOKENS = 2_500  # the sidecar remembers 2,000
_ADDED = "CPU a check adds in all processes, 16 in flight"


def measure(*, quick: bool) -> list[Figure]:
    """CPU per request and latency, way by way."""
    with running_pod() as pod:
        ways = _ways(pod)
        take(ways.values(), quick=quick)
    figures = [
        figure
        for in_flight in CALLS
        for name, way in ways.items()
        for figure in way.samples[in_flight].figures(f"{name}, {in_flight} in flight")
    ]
    busy = {name: way.samples[16].cost() for name, way in ways.items()}
    builtin = busy["Envoy's jwt_authn, new tokens"] - busy["Envoy alone"]
    for tokens in ("one token", "new tokens"):
        added = busy[f"through Envoy, {tokens}"] - busy["Envoy alone"]
        figures.append(Figure(f"{_ADDED}, {tokens} / jwt_authn", (added / builtin,), TIMES))
    return figures


def _ways(pod: Pod) -> dict[str, Way]:
    service, sidecar = pod.service, pod.sidecar
    sidecar_pid = {"sidecar": sidecar.process.pid}
    tokens = itertools.cycle([service.token() for _ in range(_TOKENS)])
    same = itertools.repeat(service.token())

    def direct(source: Iterator[str]) -> Way:
        return Way(
            sidecar.socket,
            lambda: Request.grpc(METHOD, service.check_request(next(source))),
            sidecar_pid,
        )

    def through(envoy: Envoy, source: Iterator[str], pids: dict[str, int]) -> Way:
        return Way(
            envoy.address,
            lambda: Request.get(HOST, service.path, service.headers(next(source))),
            {**pids, "Envoy": envoy.process.pid},
        )

    checked = pod.envoy(pod.checked())
    return {
        "gRPC, one token": direct(same),
        "gRPC, new tokens": direct(tokens),
        "through Envoy, one token": through(checked, same, sidecar_pid),
        "through Envoy, new tokens": through(checked, tokens, sidecar_pid),
        "Envoy's jwt_authn, new tokens": through(pod.envoy(pod.jwt_authn()), tokens, {}),
        "Envoy alone": through(pod.envoy(pod.alone()), same, {}),
    }
