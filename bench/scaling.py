"""What a check costs when the configuration grows: more routes, more issuers, more keys."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.figures import TIMES, Figure
from bench.in_process import sidecar_checks
from bench.sampling import cpu_per_call, interleaved, ratio
from bench.service import Service

_BATCH = 100
_BUDGET = 1.1
_SEEN, _NEW = "a token seen before", "a new token"
_SIZES = {"routes": (10, 1000), "issuers": (1, 100), "keys": (1, 1000)}
_SERVICES: dict[str, Callable[[Path, int], Service]] = {
    "routes": lambda directory, size: Service(directory, routes=size),
    "issuers": lambda directory, size: Service(directory, issuers=size),
    "keys": lambda directory, size: Service(directory, keys=size),
}


def measure(*, quick: bool) -> list[Figure]:
    """The ratio of the large to the small, for tokens seen before and for new ones."""
    return [figure for what in _SIZES for figure in _grown(what, 5 if quick else 25)]


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
            _BUDGET,
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
