"""Replicas of a gateway, with their keys in every place: what clients and services notice of them.

Nothing, of one that is there or of a key that changes; and of one that is killed no more than the
checks that it was asked at that moment.
"""

import time
from pathlib import Path

import jwt
import pytest

from tests.e2e.gateway_deployment import Shop, running_shop
from tests.e2e.gateway_replicas import Replica, kid_of, running_replica
from tests.e2e.gateway_rings import AHEAD, Directory, Ephemeral, Place, Transit
from tests.support.openbao import OpenBao
from tests.support.processes import eventually

# Published by an ephemeral ring, found by every replica, fetched by every verifier, and forgotten.
WITHIN_ONE_ROTATION = 20.0


@pytest.fixture(params=["directory", "ephemeral", "transit"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each place where the keys may be."""
    if request.param == "directory":
        return Directory(tmp_path / "ring")
    openbao: OpenBao = request.getfixturevalue("openbao")
    if request.param == "ephemeral":
        return Ephemeral(openbao, tmp_path)
    return Transit(openbao, tmp_path)


def wait_until_all_sign(shop: Shop) -> None:
    """Return once every replica signs, and every pod has the key."""
    eventually(lambda: all(replica.kid for replica in shop.replicas))

    def known() -> bool:
        # Asked anew each time: a key of a short period may be gone by the next.
        kids = set().union(*(replica.published_kids() for replica in shop.replicas))
        return all(kids <= service.known_kids for service in shop.services)

    eventually(known)


def last_token(replica: Replica, old: set[str]) -> str:
    """The last token that it signs with one of these keys."""
    tokens = [replica.mint()]

    def changed() -> bool:
        tokens.append(replica.mint())
        return kid_of(tokens[-1]) not in old

    eventually(changed)
    return tokens[-2]


def verifies_until_it_expires(shop: Shop, token: str) -> None:
    """Every pod takes it as long as it is good, and no longer."""
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    assert shop.statuses(token) == {200}
    while time.time() < expires - 0.5:
        assert shop.statuses(token) == {200}
    eventually(lambda: shop.statuses(token) == {401})


def test_keys_change_and_tokens_of_every_replica_verify_everywhere(
    envoy_version: str, tmp_path: Path, place: Place
) -> None:
    if isinstance(place, Ephemeral):
        place.period = "6s"
    # No pod waits for a key: each has to be there before the first token that it signed.
    with running_shop(envoy_version, tmp_path, place, key_wait="0s") as shop:
        wait_until_all_sign(shop)
        with shop.traffic() as load:
            assert all(shop.statuses(replica.mint()) == {200} for replica in shop.replicas)
            load.wait_for(50)
            old = shop.kids()
            place.rotate()
            verifies_until_it_expires(shop, last_token(shop.replicas[0], old))
            eventually(lambda: not any(map(shop.knows, old)), within=WITHIN_ONE_ROTATION)
            load.wait_for(50)
            assert all(shop.statuses(replica.mint()) == {200} for replica in shop.replicas)
        assert all(replica.minted > 100 for replica in shop.replicas)
        assert all(service.application.kids[-1] not in old for service in shop.services)


def test_killed_replica_costs_the_checks_it_was_asked_and_no_token_it_made(
    envoy_version: str, tmp_path: Path, place: Place
) -> None:
    with running_shop(envoy_version, tmp_path, place) as shop:
        wait_until_all_sign(shop)
        killed, survivor = shop.replicas
        with shop.requests() as load:
            token = killed.mint()
            began = time.monotonic()
            killed.kill()
            verifies_until_it_expires(shop, token)
            assert shop.statuses(survivor.mint()) == {200}
            load.wait_for(50)
        # One for each client at most: what the replica was asked and did not answer any more. All
        # that came later was asked of the other one.
        assert len(load.failures) <= load.clients, load.failures
        assert all(failure.what == "503" for failure in load.failures), load.failures
        assert all(failure.at < began + 3 for failure in load.failures), load.failures


def test_replica_that_comes_later_is_ready_when_it_signs(tmp_path: Path, openbao: OpenBao) -> None:
    place = Ephemeral(openbao, tmp_path)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with running_replica(tmp_path / "first", place) as first:
        began = time.monotonic()
        # Ready is what the block waits for.
        with running_replica(tmp_path / "second", place) as second:
            assert second.mint()
            assert time.monotonic() - began > AHEAD
            assert first.mint()


def test_key_of_a_killed_replica_is_published_until_its_record_expires(
    tmp_path: Path, openbao: OpenBao
) -> None:
    place = Ephemeral(openbao, tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with running_replica(first, place) as killed, running_replica(second, place) as survivor:
        (replica,) = [name for name in place.replicas() if "/first-" in name]
        lost = killed.kid
        eventually(lambda: lost in survivor.published_kids())
        killed.kill()
        expires = place.record(replica)["expires"]
        eventually(lambda: lost not in survivor.published_kids(), within=15)
        assert time.time() >= expires
        assert survivor.published_kids() == {survivor.kid}
        eventually(lambda: replica not in place.replicas())
