"""The whole: checks over gRPC and requests through a real Envoy, 1 and 16 at a time.

New tokens are taken in turn from more than the sidecar remembers, so that each is new again when
it comes back. Client and servers share the CPUs: latencies hold for this machine, CPU ratios
travel.
"""

import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import TIMES, Figure
from bench.http2 import Answer, Connection, Request
from bench.pod import Pod, running_pod
from bench.sampling import cpu_of, percentiles
from bench.service import HOST
from sidecar.wire._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from sidecar.wire.authorization import METHOD
from tests.support.envoy import Envoy

_TOKENS = 2_500  # the sidecar remembers 2,000
_CALLS = {1: 1_000, 16: 4_000}  # in flight: calls in a round
_ADDED = "CPU a check adds in all processes, 16 in flight"


@dataclass(slots=True)
class _Samples:
    """CPU per request by process, one sample a round, and all latencies."""

    cpu: dict[str, list[float]] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def cost(self) -> float:
        """The CPU of everybody who works on a request, in microseconds."""
        return sum(statistics.median(samples) for samples in self.cpu.values())


@dataclass(slots=True)
class _Way:
    """One way to ask, who works on it, and what came of it by requests in flight."""

    address: Path | tuple[str, int]
    requests: Callable[[], Request]
    pids: dict[str, int]
    samples: dict[int, _Samples] = field(default_factory=lambda: {n: _Samples() for n in _CALLS})

    def run(self, in_flight: int, calls: int) -> None:
        """Take one sample."""
        samples = self.samples[in_flight]
        requests = [self.requests() for _ in range(calls)]
        with Connection(self.address) as connection:
            connection.ask([self.requests()] * in_flight, in_flight=in_flight)
            before = {name: cpu_of(pid) for name, pid in self.pids.items()}
            answers = connection.ask(requests, in_flight=in_flight)
            for name, pid in self.pids.items():
                used = (cpu_of(pid) - before[name]) / calls * 1e6
                samples.cpu.setdefault(name, []).append(used)
        _all_good(answers)
        samples.latencies += [answer.seconds for answer in answers]


def measure(*, quick: bool) -> list[Figure]:
    """CPU per request and latency, way by way."""
    rounds, share = (1, 5) if quick else (3, 1)
    with running_pod() as pod:
        ways = _ways(pod)
        for _ in range(rounds):
            for in_flight, calls in _CALLS.items():
                for way in ways.values():
                    way.run(in_flight, calls // share)
    figures = [
        figure
        for in_flight in _CALLS
        for name, way in ways.items()
        for figure in _figures(f"{name}, {in_flight} in flight", way.samples[in_flight])
    ]
    busy = {name: way.samples[16].cost() for name, way in ways.items()}
    builtin = busy["Envoy's jwt_authn, new tokens"] - busy["Envoy alone"]
    for tokens in ("one token", "new tokens"):
        added = busy[f"through Envoy, {tokens}"] - busy["Envoy alone"]
        figures.append(Figure(f"{_ADDED}, {tokens} / jwt_authn", (added / builtin,), TIMES))
    return figures


def _ways(pod: Pod) -> dict[str, _Way]:
    service, sidecar = pod.service, pod.sidecar
    sidecar_pid = {"sidecar": sidecar.process.pid}
    tokens = itertools.cycle([service.token() for _ in range(_TOKENS)])
    same = itertools.repeat(service.token())

    def direct(source: Iterator[str]) -> _Way:
        return _Way(
            sidecar.socket,
            lambda: Request.grpc(METHOD, service.check_request(next(source))),
            sidecar_pid,
        )

    def through(envoy: Envoy, source: Iterator[str], pids: dict[str, int]) -> _Way:
        return _Way(
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


def _figures(name: str, samples: _Samples) -> list[Figure]:
    cpu = [
        Figure(f"{name}: CPU of {process}", (statistics.median(used),), "µs")
        for process, used in samples.cpu.items()
    ]
    return [*cpu, Figure(f"{name}: p50 / p99 / p99.9", percentiles(samples.latencies), "µs")]


def _all_good(answers: list[Answer]) -> None:
    """Make sure that what is measured is an allow."""
    bad = sum(not answer.good for answer in answers)
    assert not bad, f"{bad} of {len(answers)} requests were refused"
    if answers[0].body:
        response = CheckResponse.FromString(answers[0].body[5:])
        assert response.HasField("ok_response"), response
