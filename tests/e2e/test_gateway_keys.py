"""The keys of one gateway under trouble and change: Vault goes away, the configuration changes."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.gateway_deployment import Shop, running_shop
from tests.e2e.gateway_replicas import (
    ABOUT,
    Replica,
    gateway_configuration,
    kid_of,
    running_replica,
)
from tests.e2e.gateway_rings import Directory, Ephemeral, InVault, Transit
from tests.support.openbao import OpenBao
from tests.support.processes import eventually
from tests.support.relay import Relay


@pytest.fixture
def relay(openbao: OpenBao) -> Iterator[Relay]:
    """The way to OpenBao; it begins cut."""
    with Relay(openbao.address) as relay:
        yield relay


def home(directory: Path, name: str = "gateway") -> Path:
    (directory / name).mkdir()
    return directory / name


def refused_in_time(shop: Shop) -> str:
    """The reason of a refusal; where Envoy runs out of time there is none."""
    response = shop.ask()
    assert response.status == 503
    reason: str = response.json()["reason"]
    return reason


# Vault.


def test_sealed_vault_ends_the_minting_and_nothing_else(
    envoy_version: str, tmp_path: Path, openbao_to_seal: OpenBao
) -> None:
    place = Transit(openbao_to_seal, tmp_path)
    with running_shop(envoy_version, tmp_path, place, replicas=1, lifetime="1m") as shop:
        (gateway,) = shop.replicas
        assert shop.ask().status == 200
        token = gateway.mint()

        openbao_to_seal.seal()
        assert refused_in_time(shop) == "signing_unavailable"
        eventually(lambda: "sealed" in (gateway.ring()["last_error"] or ""))
        assert refused_in_time(shop) == "signing_unavailable"

        assert gateway.ready()
        assert shop.ask("/healthz", anonymous=True).status == 200
        assert shop.ask("/catalogue", anonymous=True).status == 200
        assert shop.ask("/orders/1", anonymous=True).status == 401
        assert shop.statuses(token) == {200}
        assert gateway.published_kids() == {kid_of(token)}


def test_minting_goes_on_when_vault_is_back_in_reach(
    envoy_version: str, tmp_path: Path, openbao: OpenBao, relay: Relay
) -> None:
    relay.mend()
    place = Transit(openbao, tmp_path, relay.url)
    with running_shop(envoy_version, tmp_path, place, replicas=1) as shop:
        assert shop.ask().status == 200
        for trouble in (relay.cut, relay.hold):
            trouble()
            assert refused_in_time(shop) == "signing_unavailable"
            assert shop.ask("/healthz").status == 200
            relay.mend()
            eventually(lambda: shop.ask().status == 200)


@pytest.mark.parametrize("kind", [Transit, Ephemeral])
def test_gateway_that_starts_before_vault_is_ready_and_mints_once_it_is_there(
    tmp_path: Path, openbao: OpenBao, relay: Relay, kind: type[InVault]
) -> None:
    place = kind(openbao, tmp_path, relay.url)
    with running_replica(home(tmp_path), place) as gateway:
        assert gateway.ready()
        assert gateway.kid is None
        assert gateway.internal("GET", "/.well-known/jwks.json").status == 503
        assert "cannot be reached" in gateway.ring()["last_error"]

        relay.mend()
        kid = eventually(lambda: gateway.kid)
        assert gateway.published_kids() == {kid}
        assert gateway.ring()["last_error"] is None


@pytest.mark.parametrize("kind", [Transit, Ephemeral])
def test_gateway_waits_for_a_key_to_sign_with_before_it_is_ready(
    tmp_path: Path,
    socket_directory: Path,
    openbao: OpenBao,
    relay: Relay,
    kind: type[InVault],
) -> None:
    directory, place = home(tmp_path), kind(openbao, tmp_path, relay.url)
    patient = gateway_configuration(directory, place.keys("gateway")) | {"start_timeout": "5m"}
    gateway = Replica(patient, directory, socket_directory)
    gateway.launch()
    try:
        eventually(lambda: "cannot be reached" in (problem_of(gateway) or ""))
        assert not gateway.ready()
        relay.mend()
        eventually(gateway.ready)
        assert gateway.kid is not None
    finally:
        gateway.process.stop()


def problem_of(gateway: Replica) -> str | None:
    """What is wrong with its ring; nothing while it cannot be asked yet."""
    with suppress(OSError):
        problem: str | None = gateway.ring()["last_error"]
        return problem
    return None


# The configuration.


def test_reload_under_traffic_keeps_the_keys_in_use(
    envoy_version: str, tmp_path: Path, openbao: OpenBao
) -> None:
    place = Ephemeral(openbao, tmp_path)
    with running_shop(envoy_version, tmp_path, place, replicas=1) as shop:
        (gateway,) = shop.replicas
        before = gateway.ring()
        assert shop.ask("/about").status == 403
        with shop.traffic() as load:
            gateway.reload(place, ABOUT)
            load.wait_for(50)
        assert shop.ask("/about").status == 200
        assert gateway.ring() == before
        assert shop.kids() == set(before["keys"])


def test_reload_with_other_keys_leaves_the_signatures_under_way_their_time(
    envoy_version: str, tmp_path: Path, openbao: OpenBao, relay: Relay
) -> None:
    relay.mend()
    before, after = Transit(openbao, tmp_path, relay.url), Directory(tmp_path / "ring")
    with running_shop(envoy_version, tmp_path, before, replicas=1) as shop:
        (gateway,) = shop.replicas
        with shop.requests() as load:
            relay.hold()
            answered = load.answered
            gateway.reload(after)
            assert load.answered <= answered + load.clients
            relay.mend()
            load.wait_for(50)
        # A pod may have fetched the new keys before a token of the old ones reached it.
        assert {failure.what for failure in load.failures} <= {"401"}
        assert len(shop.kids()) == 2


def test_reload_with_other_keys_ends_the_ring_before(tmp_path: Path, openbao: OpenBao) -> None:
    before, after = Ephemeral(openbao, tmp_path), Directory(tmp_path / "ring")
    with running_replica(home(tmp_path), before) as gateway:
        old = gateway.kid
        (replica,) = before.replicas()
        record = before.record(replica)
        gateway.reload(after)

        assert gateway.kid != old
        assert gateway.published_kids() == {gateway.kid}
        assert gateway.ring()["source"] == f"file {after.path / 'ring.json'}"
        # It is left to expire with the last token, and not renewed.
        eventually(lambda: before.record(replica)["expires"] < record["expires"])


def test_keys_in_memory_cannot_be_exchanged_while_it_runs(tmp_path: Path, openbao: OpenBao) -> None:
    before, after = Directory(tmp_path / "ring"), Ephemeral(openbao, tmp_path)
    with running_replica(home(tmp_path), before) as gateway:
        kid = gateway.kid
        gateway.reload(after, succeeds=False)

        assert gateway.kid == kid
        assert "request_tokens of an ephemeral ring cannot change while the program runs" in (
            gateway.admin("/").body.decode()
        )


# What an operator sees.


def test_metrics_and_status_page_follow_a_rotation(tmp_path: Path) -> None:
    place = Directory(tmp_path / "ring")
    with running_replica(home(tmp_path), place) as gateway:
        (old,) = gateway.published_kids()
        assert shown(gateway) == {old: "active"}
        due = gateway.rotation_due()
        assert due is not None

        place.rotate()
        eventually(lambda: len(gateway.published_kids()) == 2)
        (new,) = gateway.published_kids() - {old}
        assert shown(gateway) == {old: "active", new: "published"}
        assert (gateway.rotation_due() or 0) > due > time.time()
        eventually(lambda: gateway.kid == new)
        assert shown(gateway) == {old: "retired", new: "active"}
        eventually(lambda: gateway.published_kids() == {new})
        assert shown(gateway) == {old: "gone", new: "active"}


def test_when_a_transit_key_is_rotated_is_not_known(tmp_path: Path, openbao: OpenBao) -> None:
    with running_replica(home(tmp_path), Transit(openbao, tmp_path)) as gateway:
        assert gateway.rotation_due() is None


def shown(gateway: Replica) -> dict[str, str]:
    """The state of each key on the status page, which the metrics agree with."""
    counted = {
        sample.labels["state"]: sample.value
        for sample in gateway.metrics()
        if sample.name == "sidecar_signing_keys" and sample.labels["set"] == "request"
    }
    states: dict[str, str] = gateway.ring()["keys"]
    assert counted == {state: list(states.values()).count(state) for state in counted}
    return states
