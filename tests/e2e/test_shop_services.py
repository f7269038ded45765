"""How the shop's services run in a container of their own."""

import sys
from pathlib import Path

import pytest

from tests.support.http1 import Connection
from tests.support.kubelet import POD_ADDRESS
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Child, eventually


@pytest.mark.parametrize(
    ("given", "reached_at"), [("", {LOOPBACK}), ("0.0.0.0:", {LOOPBACK, POD_ADDRESS})]
)
def test_a_service_is_reached_where_it_is_told_to_listen_and_ends_at_term(
    tmp_path: Path, given: str, reached_at: set[str]
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "examples.shop.payments", f"{given}{port}"]
    with Child(command, tmp_path) as child:
        eventually(lambda: answers(LOOPBACK, port))

        assert {host for host in (LOOPBACK, POD_ADDRESS) if answers(host, port)} == reached_at
        # Its own end, and not the signal's: to the first process of a container TERM does nothing.
        assert child.stop() == 0


def answers(host: str, port: int) -> bool:
    try:
        with Connection((host, port)) as connection:
            return connection.request(target="/healthz").status == 200
    except OSError:
        return False
