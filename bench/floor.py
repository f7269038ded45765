"""The transport: a call that does nothing on our server, against the best public one."""

import os
import statistics

from bench import transport
from bench.figures import TIMES, Figure

_BUDGET = 1.1


def measure(*, quick: bool) -> list[Figure]:
    """CPU per call and its ratio to the cheapest of grpc's own servers in the same run."""
    del quick  # bench.transport has one length
    # sidecar.wire has set it in this process; grpc's own servers are to run as grpc has them.
    os.environ.pop("GRPC_EXPERIMENTS", None)
    taken = transport.measure()
    figures = []
    for in_flight in transport.CALLS:
        cost = {name: statistics.median(by[in_flight].cpu) for name, by in taken.items()}
        ours = cost.pop(transport.OURS)
        best = min(cost, key=cost.__getitem__)
        when = f"{in_flight} in flight"
        figures += [
            Figure(f"our server, {when}", (ours,), "µs"),
            Figure(f"the best public one ({best}), {when}", (cost[best],), "µs"),
            Figure(
                f"ratio, {when}", (ours / cost[best],), TIMES, _BUDGET if in_flight > 1 else None
            ),
        ]
    return figures
