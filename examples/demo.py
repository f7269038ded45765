"""`make demo`: the shop with an SSO, a gateway and two services, and a tour of what they do.

Without a terminal it ends after the tour: 0 if everything was as expected, 1 otherwise.
"""

import signal
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from examples.facts import Stop
from examples.invitation import invitation
from examples.tour import Tour
from examples.world import ENVOY_VERSION, HOST, World, running
from tests.support.leaks import LEAKS

INTRODUCTION: Final = """
client ─▶ Envoy + gateway ─▶ Envoy + sidecar ─▶ orders ─▶ Envoy + sidecar ─▶ payments
            │     ╰─▶ SSO
            ╰─▶ login page ─▶ SSO, gateway

  the edge   envoy/gateway.yaml  examples/shop/gateway.yaml   https://{host} at {address}
  orders     envoy/sidecar.yaml  examples/shop/orders.yaml    examples/shop/orders.py
  payments   envoy/sidecar.yaml  examples/shop/payments.yaml  examples/shop/payments.py
  login      docs/login-page.md                               examples/shop/login.py

Envoy {version}. Other addresses, files and times are in examples/configurations.py."""


def introduction(world: World) -> str:
    """What runs, and where to read about it."""
    host, port = world.edge.envoy.address
    return INTRODUCTION.format(host=HOST, address=f"{host}:{port}", version=ENVOY_VERSION)


def conduct(stops: Iterable[Stop]) -> bool:
    """Print every stop, and return whether all of them are as they should be."""
    good = []
    for number, stop in enumerate(stops, start=1):
        print(f"\n{number}. {stop.title}")
        for fact in stop.facts:
            print(f"   {'✓' if fact.holds else '✗'} {fact.text}", flush=True)
        good.append(stop.good)
    print(f"\n{sum(good)} of {len(good)} stops were as expected.", flush=True)
    return all(good)


def main() -> int:
    """Run the tour; stay up when there is somebody to talk to."""
    # `kill` ends it as Ctrl-C does, with everything it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("Starting an OpenID provider, a gateway, two services and three Envoys ...", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="authz-sidecar-demo-") as directory,
        running(Path(directory)) as world,
    ):
        print(introduction(world))
        good = conduct(Tour(world).stops())
        if sys.stdout.isatty():
            with suppress(KeyboardInterrupt):
                print(invitation(world, Path(directory)), flush=True)
                signal.pause()
    # What they have written was looked at when they ended: logs, metrics, status pages.
    if LEAKS.found:
        print(f"✗ {len(LEAKS.found)} credentials were found in what was written")
    return 0 if good and not LEAKS.found else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell tells of Ctrl-C
