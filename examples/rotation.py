"""The gateway's keys are rotated while requests go on, and nobody notices."""

import time
from typing import Final

from examples.exchange import kid
from examples.facts import Fact, Stop, stop
from examples.world import HOST, World
from tests.support.gateway_process import keys
from tests.support.http1 import Field
from tests.support.load import Load
from tests.support.processes import eventually

CLIENTS: Final = 2
PAUSE: Final = 0.02  # seconds between two requests of one client


def rotation(world: World, alice: Field) -> Stop:
    """Rotate the keys under alice's requests, until payments gets tokens of the new one."""

    def headers() -> list[Field]:
        time.sleep(PAUSE)
        return [("host", HOST), alice]

    def signer() -> str:
        return kid(world.payments.arrived()[-1].token)

    edge = world.edge
    with Load(edge.envoy.address, "/orders/42", headers, CLIENTS, tls=edge.tls) as load:
        old = signer()
        keys(world.request_keys, "rotate", "--early")
        eventually(lambda: signer() != old)
        load.wait_for(20)
    new = signer()
    return stop(
        "sidecar keys rotate, while requests go on",
        Fact(f"{load.answered} requests, {len(load.failures)} refused", not load.failures),
        Fact(f"kid at payments before: {old[:8]}…, after: {new[:8]}…", old != new),
        Fact(
            "the gateway still publishes both: tokens of the old one may be on their way",
            {old, new} <= world.gateway.published_kids(),
        ),
    )
