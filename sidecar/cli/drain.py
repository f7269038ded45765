"""``sidecar drain``: has Envoy send its clients elsewhere, and waits until they have gone.

It is the ``preStop`` hook of a pod whose images have no shell. It runs within the memory of the
sidecar's container, and therefore imports next to nothing.
"""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, Protocol

from sidecar.clients.envoy_admin import EnvoyAdmin, Traffic
from sidecar.errors import SourceFault

# Seconds: between two looks, for an answer, and for the last answer where the time is over.
_INTERVAL: Final = 0.25
_ANSWER: Final = 5.0
_LAST_ANSWER: Final = 1.0


class Admin(Protocol):
    """What a drain asks of Envoy's admin (``EnvoyAdmin``)."""

    def drain(self, within: float) -> None:
        """Begin."""

    def traffic(self, within: float) -> Traffic | None:
        """What is left; None where Envoy has ended."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--admin",
        metavar="ADDRESS",
        type=_loopback,
        default="127.0.0.1:9901",
        help="the address and port of Envoy's admin, on loopback; 127.0.0.1:9901 if not given",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default="20",
        help="how long it waits, less than the pod's terminationGracePeriodSeconds; 20 if not "
        "given",
    )
    parser.epilog = (
        "Exits with 0 when no connection is left, when Envoy has ended, or when the time is over "
        "and no request is under way; with 1 when the time is over and requests will be cut off; "
        "with 2 when Envoy cannot be asked. Kubernetes ends the pod in any case, and records an "
        "event if it is not 0. Connections of Envoy's admin, and of a listener whose stat_prefix "
        "is status, are not waited for."
    )


def run(options: Namespace) -> int:
    """Drain; 1 if requests are still under way when the time is over."""
    return drained(EnvoyAdmin(*options.admin), options.timeout)


def drained(
    admin: Admin,
    timeout: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Have Envoy drain and wait for at most ``timeout`` seconds; returns the exit code.

    Raises:
        SourceFault: Envoy cannot be asked, from the beginning or at the end.
    """
    end = clock() + timeout
    admin.drain(within=min(_ANSWER, timeout))
    while True:
        over = clock() >= end
        try:
            left = admin.traffic(within=min(_ANSWER, max(end - clock(), _LAST_ANSWER)))
        except SourceFault:
            # A busy Envoy may not answer once. What cannot be seen at the end is a fault.
            if over:
                raise
        else:
            if left is None or left.connections == 0:
                sys.stderr.write("drained: no connection is left\n")
                return 0
            if over:
                return _unfinished(left, timeout)
        sleep(min(_INTERVAL, max(end - clock(), 0)))


def _unfinished(left: Traffic, timeout: float) -> int:
    sys.stderr.write(
        f"not drained after {timeout:g} s; connections left: {left.connections}, "
        f"requests under way, which may be cut off: {left.requests}\n"
    )
    return 1 if left.requests else 0


def _loopback(text: str) -> tuple[str, int]:
    unclear = f"{text!r} is not an address and a port; write 127.0.0.1:9901"
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        address, number = ip_address(bare), int(port)
    except ValueError as fault:
        raise ArgumentTypeError(unclear) from fault
    if not 0 < number < 65536 or (address.version == 6) != (host != bare):
        raise ArgumentTypeError(unclear)
    if not address.is_loopback:
        raise ArgumentTypeError(
            f"{text!r} is not on loopback; whoever reaches Envoy's admin can stop Envoy"
        )
    return bare, number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600; write 20")
    return number
