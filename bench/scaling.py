"""What a check costs when the configuration grows: more routes, more issuers, more keys.

Of the issuers of one entry, start, memory and lines of metrics are measured as well.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.figures import TIMES, Figure
from bench.in_process import sidecar_checks
from bench.memory import resident
from bench.sampling import cpu_of, cpu_per_call, interleaved, ratio
from bench.service import Service
from tests.support.ports import socket_directory
from tests.support.sidecar_process import SidecarProcess

_BATCH = 100
_BUDGET, _BUDGET_OF_ENTRY = 1.1, 1.05
_SEEN, _NEW = "a token seen before", "a new token"
_OF_ENTRY = "issuers of one entry"
_SIZES = {"routes": (10, 1000), "issuers": (1, 100), _OF_ENTRY: (1, 1000), "keys": (1, 1000)}
_SERVICES: dict[str, Callable[[Path, int], Service]] = {
    "routes": lambda directory, size: Service(directory, routes=size),
    "issuers": lambda directory, size: Service(directory, issuers=size),
    _OF_ENTRY: lambda directory, size: Service(directory, issuers_of_entry=size),
    "keys": lambda directory, size: Service(directory, keys=size),
}


def measure(*, quick: bool) -> list[Figure]:
    """The ratio of the large to the small, for tokens seen before and for new ones."""
    figures = [figure for what in _SIZES for figure in _grown(what, 5 if quick else 25)]
    return [*figures, *_processes(1 if quick else 5)]


def _processes(rounds: int) -> Iterator[Figure]:
    """The ratio of many issuers of one entry to one, for running sidecars."""
    what = _OF_ENTRY
    small, large = _SIZES[what]
    with _running(what, small) as before, _running(what, large) as after:
        samples = interleaved(
            {
                f"{name}, {size}": partial(_restarted, sidecar, figure)
                for name, figure in _OF_PROCESS.items()
                for size, sidecar in (("small", before), ("large", after))
            },
            rounds,
        )
    for name in _OF_PROCESS:
        value = ratio(samples[f"{name}, large"], samples[f"{name}, small"])
        yield Figure(f"{small:,} → {large:,} {what}, {name}", (value,), TIMES, _BUDGET_OF_ENTRY)


@contextmanager
def _running(what: str, size: int) -> Iterator[SidecarProcess]:
    with tempfile.TemporaryDirectory() as name, socket_directory() as sockets:
        service = _SERVICES[what](Path(name), size)
        with SidecarProcess(service.configuration, Path(name), sockets) as sidecar:
            yield sidecar


def _restarted(sidecar: SidecarProcess, figure: Callable[[SidecarProcess], float], _: int) -> float:
    sidecar.process.stop()
    sidecar.start()
    return figure(sidecar)


_OF_PROCESS: dict[str, Callable[[SidecarProcess], float]] = {
    "CPU until it is ready": lambda sidecar: cpu_of(sidecar.process.pid),
    "resident memory": lambda sidecar: resident(sidecar.process.pid),
    "lines of metrics": lambda sidecar: sidecar.get("/metrics").body.count(b"\n"),
}


def _grown(what: str, rounds: int) -> list[Figure]:
    small, large = _SIZES[what]
    before, after = _Size(what, small, rounds), _Size(what, large, rounds)
    samples = interleaved(
        {
            f"{_SEEN}, small": before.seen,
            f"{_SEEN}, large": after.seen,
            f"{_NEW}, small": before.new,
            f"{_NEW}, large": after.new,
        },
        rounds,
    )
    return [
        Figure(
            f"{small:,} → {large:,} {what}, {kind}",
            (ratio(samples[f"{kind}, large"], samples[f"{kind}, small"]),),
            TIMES,
            _BUDGET_OF_ENTRY if what == _OF_ENTRY else _BUDGET,
        )
        for kind in (_SEEN, _NEW)
    ]


class _Size:
    """A service of one size, its checks, and the requests to make."""

    def __init__(self, what: str, size: int, rounds: int) -> None:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            service = _SERVICES[what](directory, size)
            self._checks = sidecar_checks(service, directory)
        self._seen = [service.check_request(service.token())] * _BATCH
        self._checks.expect_allow(self._seen[0])
        self._new = [
            [service.check_request(service.token()) for _ in range(_BATCH)] for _ in range(rounds)
        ]

    def seen(self, _: int) -> float:
        """One batch with a token that is remembered."""
        return cpu_per_call(self._checks.answer, self._seen)

    def new(self, number: int) -> float:
        """One batch with tokens that are not."""
        return cpu_per_call(self._checks.answer, self._new[number])
