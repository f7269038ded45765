"""Ten thousand tokens with kids nobody has heard of: key server and clients are spared."""

from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from time import monotonic

import pytest

from tests.e2e.keys_authorities import FileAuthority, JwksAuthority
from tests.e2e.keys_pod import KeysPod, Note, keys_pod
from tests.support.flood import Flood, unknown_keys
from tests.support.http1 import Connection
from tests.support.key_server import KeyServer
from tests.support.upstream import Upstream

TOKENS = 10_000
COOLDOWN = 0.5


@pytest.fixture
def flooded(own_key_server: KeyServer) -> JwksAuthority:
    """Its keys are fetched for unknown kids alone, once there are any."""
    authority = JwksAuthority(
        "flooded", own_key_server, refresh="1h", max_stale="2h", cooldown=f"{COOLDOWN:g}s"
    )
    authority.open()
    return authority


@pytest.fixture
def neighbour(tmp_path: Path) -> FileAuthority:
    authority = FileAuthority("neighbour", tmp_path)
    authority.open()
    return authority


@pytest.fixture
def pod(
    envoy_version: str,
    upstream: Upstream,
    flooded: JwksAuthority,
    neighbour: FileAuthority,
    tmp_path: Path,
) -> Iterator[KeysPod]:
    with keys_pod(envoy_version, upstream, tmp_path, flooded, neighbour) as running:
        yield running


def test_flood_of_random_kids_costs_one_fetch_per_cooldown_and_nobody_else_anything(
    pod: KeysPod,
    flooded: JwksAuthority,
    neighbour: FileAuthority,
    tmp_path: Path,
    record_property: Note,
) -> None:
    fetched, counting = flooded.fetches, monotonic()
    tokens = unknown_keys(flooded.token(), TOKENS)
    statuses: set[int] = set()
    latencies: list[float] = []

    with (
        Flood(pod.sidecar.socket, tokens, tmp_path, per_second=TOKENS) as flood,
        Connection(pod.pod.envoy.address) as others,
    ):
        while not flood.over:
            for authority in (flooded, neighbour):
                headers = [("authorization", f"Bearer {authority.token()}")]
                began = monotonic()
                statuses.add(others.request(target="/orders/1", headers=headers).status)
                latencies.append(monotonic() - began)
    answers, seconds = flood.told()
    # The flood is over a little sooner than what it led to.
    fetches, counted = flooded.fetches - fetched, monotonic() - counting

    record_property(f"of {TOKENS} random kids", f"{answers} in {seconds:.1f} s")
    record_property(
        "others meanwhile",
        f"p99 {quantiles(latencies, n=100)[98] * 1000:.0f} ms of {len(latencies)} requests",
    )
    assert statuses == {200}
    assert answers.keys() <= {"401", "503"}
    assert 1 <= fetches <= counted / COOLDOWN + 1


def test_key_that_nobody_announced_costs_one_fetch_however_many_bring_it(
    pod: KeysPod, flooded: JwksAuthority
) -> None:
    fetched = flooded.fetches

    with pod.requests(flooded) as load:
        flooded.signer = flooded.add()
        load.wait_for(100)

    assert {failure.what for failure in load.failures} <= {"503"}
    assert flooded.fetches == fetched + 1
    assert pod.sidecar.metric(
        "sidecar_unknown_key_lookups_total", issuer=flooded.name, result="found"
    )
