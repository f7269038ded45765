"""Ways to ask over a socket, measured in turns: CPU per request by process, and latencies."""

import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Figure
from bench.http2 import Answer, Connection, Request
from bench.sampling import cpu_of, percentiles
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse

CALLS = {1: 1_000, 16: 4_000}  # in flight: calls in a round


@dataclass(slots=True)
class Samples:
    """CPU per request by process, one sample a round, and all latencies."""

    cpu: dict[str, list[float]] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def cost(self) -> float:
        """The CPU of everybody who works on a request, in microseconds."""
        return sum(statistics.median(samples) for samples in self.cpu.values())

    def figures(self, name: str) -> list[Figure]:
        """The medians of CPU, and the percentiles of all rounds."""
        cpu = [
            Figure(f"{name}: CPU of {process}", (statistics.median(used),), "µs")
            for process, used in self.cpu.items()
        ]
        return [*cpu, Figure(f"{name}: p50 / p99 / p99.9", percentiles(self.latencies), "µs")]


@dataclass(slots=True)
class Way:
    """One way to ask, who works on it, and what came of it by requests in flight."""

    address: Path | tuple[str, int]
    requests: Callable[[], Request]
    pids: dict[str, int]
    samples: dict[int, Samples] = field(default_factory=lambda: {n: Samples() for n in CALLS})

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


def take(ways: Collection[Way], *, quick: bool) -> None:
    """Sample each way in turn: what disturbs one disturbs its neighbours."""
    rounds, share = (1, 5) if quick else (3, 1)
    for _ in range(rounds):
        for in_flight, calls in CALLS.items():
            for way in ways:
                way.run(in_flight, calls // share)


def _all_good(answers: list[Answer]) -> None:
    """Make sure that what is measured is an allow."""
    bad = sum(not answer.good for answer in answers)
    assert not bad, f"{bad} of {len(answers)} requests were refused"
    if answers[0].body:
        response = CheckResponse.FromString(answers[0].body[5:])
        assert response.HasField("ok_response"), response
