"""The core: a CheckRequest in, a CheckResponse out, against one raw ES256 verification."""

import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bench.figures import TIMES, Figure
from bench.in_process import sidecar_checks
from bench.sampling import cpu_per_call, interleaved, ratio
from bench.service import Service

_BATCH = 100
_RAW = "raw ES256 verification by cryptography"
_SEEN = "a token seen before"
_NEW = {"ES256": 1.7, "RS256": None, "Ed25519": None}


def measure(*, quick: bool) -> list[Figure]:
    """The cost of a check for a token seen before and for new ones."""
    rounds = 5 if quick else 25
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        service = Service(directory, algorithms=tuple(_NEW))
        checks = sidecar_checks(service, directory)
    seen = service.check_request(service.token())
    checks.expect_allow(seen)
    verify = _raw_verification(service)
    new = {
        algorithm: [service.check_request(service.token(algorithm)) for _ in range(rounds * _BATCH)]
        for algorithm in _NEW
    }

    def batch(bodies: Sequence[bytes], number: int) -> float:
        return cpu_per_call(checks.answer, bodies[number * _BATCH : (number + 1) * _BATCH])

    samples = interleaved(
        {
            _RAW: lambda _: cpu_per_call(verify, range(_BATCH)),
            _SEEN: lambda _: cpu_per_call(checks.answer, [seen] * _BATCH),
            **{algorithm: partial(batch, bodies) for algorithm, bodies in new.items()},
        },
        rounds,
    )
    raw = samples[_RAW]
    figures = [
        Figure(_RAW, (statistics.median(raw),), "µs"),
        Figure(_SEEN, (statistics.median(samples[_SEEN]),), "µs"),
        Figure(f"{_SEEN} / raw ES256", (ratio(samples[_SEEN], raw),), TIMES, 0.6),
    ]
    for algorithm, budget in _NEW.items():
        costs = samples[algorithm]
        figures += [
            Figure(f"a new {algorithm} token", (statistics.median(costs),), "µs"),
            Figure(f"a new {algorithm} token / raw ES256", (ratio(costs, raw),), TIMES, budget),
        ]
    return figures


def _raw_verification(service: Service) -> "_Verification":
    key = service.keys["ES256"].private
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return _Verification(key, service.token().rpartition(".")[0].encode())


class _Verification:
    """One signature over a token's text, verified each time it is called."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, message: bytes) -> None:
        self._algorithm = ec.ECDSA(SHA256())
        self._message = message
        self._key = key.public_key()
        self._signature = key.sign(message, self._algorithm)

    def __call__(self, _: int) -> None:
        self._key.verify(self._signature, self._message, self._algorithm)
