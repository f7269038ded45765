"""What fetching keys costs the checks in flight: p99 with a refresh every 50 ms, against none.

No configuration may ask that often: ``python -m bench.keys sidecar serve …`` does. The key server,
over TLS, is ``python -m bench.keys server DIRECTORY``, a process of its own that leaves the clock
of the checks alone. What is fetched stays the same, or is new each time.
"""

import itertools
import json
import runpy
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bench.figures import TIMES, Figure
from bench.http2 import Connection, Request
from bench.sampling import percentiles, ratio
from bench.service import Service
from sidecar.clients.proxy import ProxySettings
from sidecar.config.sections.trust import Trust
from sidecar.keys.settings import KeySettings
from sidecar.wire.grpc.authorization import METHOD
from tests.support.key_server import Connection as KeyRequest
from tests.support.key_server import KeyServer
from tests.support.ports import socket_directory
from tests.support.sidecar_process import SIDECAR, SidecarProcess
from tests.support.tokens import jwks, new_key

_EVERY: Final = 0.05
_PER_SECOND: Final = 500
_OTHER_KEYS: Final = 20  # that come and go where what is fetched is new
_HASTY: Final = (sys.executable, "-m", "bench.keys", "sidecar")


@dataclass(frozen=True, slots=True)
class _Case:
    """Which document is fetched, by which sidecar, and the percentiles of each round."""

    document: str
    command: Sequence[str]
    samples: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def p99(self) -> list[float]:
        return [p99 for _, p99, _ in self.samples]

    @property
    def medians(self) -> tuple[float, ...]:
        return tuple(map(statistics.median, zip(*self.samples, strict=True)))


def measure(*, quick: bool) -> list[Figure]:
    """The latencies of checks in each case, and the ratios of their p99 to that of no refresh."""
    rounds, seconds = (1, 2) if quick else (7, 4)
    none = _Case("same", SIDECAR)
    hasty = {
        "a refresh every 50 ms, nothing new": _Case("same", _HASTY),
        "a refresh every 50 ms, 20 new keys": _Case("new", _HASTY),
    }
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        service = Service(directory)
        with _key_server(directory) as url:
            for _, case in itertools.product(range(rounds), [none, *hasty.values()]):
                _fetch_from(service, f"{url}/{case.document}", directory / "ca.crt")
                latencies = _checks(service, directory, case.command, seconds)
                case.samples.append(percentiles(latencies))
    return [
        *(
            Figure(f"{name}: p50 / p99 / p99.9", case.medians, "µs")
            for name, case in {"no refresh": none, **hasty}.items()
        ),
        *(
            Figure(f"{name}: p99 / that without", (ratio(case.p99, none.p99),), TIMES)
            for name, case in hasty.items()
        ),
    ]


def _fetch_from(service: Service, url: str, ca_file: Path) -> None:
    """Have the service's keys fetched, once an hour in a sidecar that is not hasty."""
    (entry,) = service.configuration["trust"]
    entry["keys"] = {"jwks": {"url": url, "ca_file": str(ca_file), "refresh": "1h"}}


def _checks(service: Service, directory: Path, command: Sequence[str], seconds: int) -> list[float]:
    """The seconds that checks of new tokens take, at a steady rate, in a sidecar just started."""
    requests = [
        Request.grpc(METHOD, service.check_request(service.token()))
        for _ in range(_PER_SECOND * seconds)
    ]
    with (
        socket_directory() as sockets,
        SidecarProcess(service.configuration, directory, sockets, command=command) as sidecar,
        Connection(sidecar.socket) as connection,
    ):
        connection.ask(requests[:100])
        answers = connection.ask(requests, in_flight=64, per_second=_PER_SECOND)
        fetches = sidecar.metric("sidecar_key_refreshes_total", result="success")
    assert all(answer.good for answer in answers)
    assert (fetches > seconds / _EVERY / 2) == (command is _HASTY), f"{fetches:.0f} refreshes"
    return [answer.seconds for answer in answers]


@contextmanager
def _key_server(directory: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.keys", "server", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _be_the_key_server() -> None:
    """At ``/same`` are the service's keys; at ``/new`` there are others besides, each time."""
    directory = Path(sys.argv[1])
    mine = json.loads((directory / "0.json").read_text())["keys"]
    others = itertools.cycle(
        [
            jwks(*(new_key("ES256", f"{generation}-{number}") for number in range(_OTHER_KEYS)))
            for generation in ("even", "odd")
        ]
    )

    def serve(request: KeyRequest) -> None:
        more = next(others)["keys"] if request.path == "/new" else []
        request.answer(json.dumps({"keys": mine + more}).encode())

    with KeyServer(directory) as server:
        server.misbehave(serve)
        print(server.url, flush=True)
        server.stopping.wait()


def _be_a_hasty_sidecar() -> None:
    """Refresh more often than any configuration may ask for."""

    key_settings = Trust.key_settings

    def hasty(trust: Trust, key_waiters: int, proxy: ProxySettings | None) -> KeySettings:
        usual = key_settings(trust, key_waiters, proxy)
        return replace(usual, refresh=_EVERY, min_refresh=_EVERY)

    Trust.key_settings = hasty  # type: ignore[method-assign, assignment]  # only here
    runpy.run_module("sidecar", run_name="__main__")


if __name__ == "__main__":
    {"server": _be_the_key_server, "sidecar": _be_a_hasty_sidecar}[sys.argv.pop(1)]()
