"""Mixed load: good traffic beside a flood of tokens that name keys nobody has.

Each of the flood's tokens makes the sidecar look for a key. Those who bring good tokens must not
wait for that. Both come at a steady rate, whatever the answers; the flood from a process of its
own, ``python -m bench.flood SOCKET FILE``, which leaves the clock of the good traffic alone.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import TIMES, Figure
from bench.http2 import Connection, Request
from bench.pod import running_pod
from bench.sampling import percentiles, ratio
from bench.service import Service
from sidecar.wire.grpc.authorization import METHOD
from tests.support.tokens import new_key

_GOOD_PER_SECOND = 200
_FLOOD_PER_SECOND = 500
# Below the 256 checks that the sidecar lets wait; at this rate it is never reached.
_FLOOD_IN_FLIGHT = 200


def measure(*, quick: bool) -> list[Figure]:
    """The latencies of good traffic with and without the flood, and their ratio."""
    rounds, seconds = (1, 2) if quick else (7, 2)
    calm: list[tuple[float, float, float]] = []
    flooded: list[tuple[float, float, float]] = []
    with running_pod() as pod, tempfile.NamedTemporaryFile("w") as file:
        service, socket = pod.service, pod.sidecar.socket
        for _ in range(rounds):
            # A second more than the good traffic lasts; no key is asked for twice.
            _write_flood(service, Path(file.name), _FLOOD_PER_SECOND * (seconds + 1))
            calm.append(percentiles(_good(service, socket, seconds)))
            with _flood(socket, Path(file.name)):
                flooded.append(percentiles(_good(service, socket, seconds)))
    growth = ratio([p99 for _, p99, _ in flooded], [p99 for _, p99, _ in calm])
    return [
        Figure("good traffic alone: p50 / p99 / p99.9", _medians(calm), "µs"),
        Figure(f"beside {_FLOOD_PER_SECOND} unknown keys a second", _medians(flooded), "µs"),
        Figure("ratio of the p99", (growth,), TIMES),
    ]


def _medians(rounds: list[tuple[float, float, float]]) -> tuple[float, ...]:
    return tuple(map(statistics.median, zip(*rounds, strict=True)))


def _good(service: Service, socket: Path, seconds: int) -> list[float]:
    requests = [
        Request.grpc(METHOD, service.check_request(service.token()))
        for _ in range(_GOOD_PER_SECOND * seconds)
    ]
    with Connection(socket) as connection:
        answers = connection.ask(requests, in_flight=64, per_second=_GOOD_PER_SECOND)
    return [answer.seconds for answer in answers]


def _write_flood(service: Service, file: Path, count: int) -> None:
    tokens = (service.token(key=new_key("ES256", f"nobody-{n}")) for n in range(count))
    file.write_text("\n".join(service.check_request(token).hex() for token in tokens))


@contextmanager
def _flood(socket: Path, file: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.flood", str(socket), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
            yield
        finally:
            process.kill()


def main() -> None:
    """Be the flood."""
    socket, file = map(Path, sys.argv[1:])
    bodies = [bytes.fromhex(line) for line in file.read_text().splitlines()]
    with Connection(socket) as connection:
        print("begun", flush=True)
        connection.ask(
            [Request.grpc(METHOD, body) for body in bodies],
            in_flight=_FLOOD_IN_FLIGHT,
            per_second=_FLOOD_PER_SECOND,
        )


if __name__ == "__main__":
    main()
