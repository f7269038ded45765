"""How samples are taken on a machine that others use too: CPU clocks, interleaving, medians."""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def cpu_of(pid: int) -> float:
    """The CPU seconds another process has used."""
    # clock_getcpuclockid(3), which Python has no name for.
    return time.clock_gettime(~pid << 3 | 2)


def cpu_per_call(call: Callable[[T], object], arguments: Sequence[T]) -> float:
    """The CPU microseconds one call takes in this process."""
    began = time.process_time()
    for argument in arguments:
        call(argument)
    return (time.process_time() - began) / len(arguments) * 1e6


def interleaved(
    subjects: Mapping[str, Callable[[int], float]], rounds: int
) -> dict[str, list[float]]:
    """Each subject's samples, taken in turns: what disturbs one disturbs its neighbours.

    A subject is given the number of the round.
    """
    gc.collect()
    gc.freeze()  # as the sidecar does before it serves
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds):
        for name, sample in subjects.items():
            samples[name].append(sample(number))
    gc.unfreeze()
    return samples


def ratio(samples: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of samples taken in the same round."""
    return statistics.median(one / other for one, other in zip(samples, base, strict=True))


def percentiles(latencies: Iterable[float]) -> tuple[float, float, float]:
    """The 50th, 99th and 99.9th percentile of seconds, in microseconds."""
    cuts = statistics.quantiles(latencies, n=1000, method="inclusive")
    return cuts[499] * 1e6, cuts[989] * 1e6, cuts[998] * 1e6
