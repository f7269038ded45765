"""Keys in memory, published to the KV engine of a real OpenBao and fetched as verifiers do."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.settings import KvKeys, TokenFile
from sidecar.errors import SourceFault
from sidecar.keys.sources.vault import VaultKvSource
from sidecar.rings import ephemeral
from sidecar.rings.ephemeral import EphemeralRing
from sidecar.rings.lifecycle import State, Timings
from sidecar.rings.local_key import LocalKey
from tests.support.openbao import ROOT_TOKEN, Json, OpenBao
from tests.support.rings import signed, until, verifies

SLOW = Timings(verifier_refresh=100, token_life=60, leeway=10, propagation=70, period=10_000)
# The folder is looked at every second, and the record renewed each time.
FAST = Timings(verifier_refresh=0.1, token_life=0.2, leeway=0.1, propagation=0.1, period=1000)


class Folder:
    """A folder of records, and the processes that publish in it."""

    def __init__(self, openbao: OpenBao, mount: str, token_file: Path) -> None:
        self.openbao = openbao
        self.settings = KvKeys(
            openbao.settings(TokenFile(token_file)),
            openbao.new_name(),
            mount,
            replicas=True,
        )
        self.offset = 0.0

    def clock(self) -> float:
        return time.time() + self.offset

    def ring(self, timings: Timings = SLOW, name: str = "gateway-1") -> EphemeralRing:
        return EphemeralRing(self.settings, "ES256", timings, name, clock=self.clock)

    def records(self) -> dict[str, Json]:
        names = self._call("LIST", "metadata", "").get("keys", [])
        return {name: self._call("GET", "data", f"/{name}")["data"] for name in names}

    def put(self, name: str, record: Json) -> None:
        self.openbao.write_kv(self.settings.mount, f"{self.settings.path}/{name}", record)

    async def fetched(self) -> set[str | None]:
        """The kids a verifier knows when it has fetched."""
        source = VaultKvSource(self.settings, clock=self.clock)
        try:
            return {key.kid for key in (await source.fetch()).keys}
        finally:
            await source.close()

    def _call(self, method: str, kind: str, name: str) -> Json:
        path = f"{self.settings.mount}/{kind}/{self.settings.path}{name}"
        data: Json = self.openbao.call(method, path)["data"]
        return data


@pytest.fixture(scope="module")
def mount(openbao: OpenBao) -> str:
    return openbao.mount("kv")


@pytest.fixture
def folder(openbao: OpenBao, mount: str, tmp_path: Path) -> Folder:
    (tmp_path / "token").write_text(ROOT_TOKEN)
    return Folder(openbao, mount, tmp_path / "token")


def kid(ring: EphemeralRing) -> str:
    return ring.keys.keys[0].key.kid


def published(ring: EphemeralRing, now: float) -> list[str]:
    return [jwk["kid"] for jwk in ring.jwks(now)["keys"]]


def record(key: LocalKey, expires: float) -> Json:
    """What a replica leaves that is killed."""
    return {"jwks": {"keys": [dict(key.jwk)]}, "expires": expires}


def test_the_first_process_signs_at_once_and_publishes_no_secret(folder: Folder) -> None:
    async def story() -> None:
        ring = folder.ring()
        await ring.start()
        assert ring.keys.signer(time.time()).kid == kid(ring)
        assert await folder.fetched() == {kid(ring)}
        ((name, record),) = folder.records().items()
        assert name.startswith("gateway-1-")
        assert record["expires"] == pytest.approx(
            time.time() + 2 * (SLOW.ahead + SLOW.kept), abs=10
        )
        key = ring.keys.keys[0].key
        assert isinstance(key, LocalKey)
        assert key.private_jwk()["d"] not in json.dumps(record)
        await ring.stop()

    asyncio.run(story())


def test_the_next_process_signs_when_every_verifier_has_its_key(folder: Folder) -> None:
    async def story() -> None:
        first, second = folder.ring(), folder.ring(name="gateway-2")
        await first.start()
        await second.start()
        assert await folder.fetched() == {kid(first), kid(second)}
        now = time.time()
        with pytest.raises(SourceFault, match="published for long enough"):
            second.keys.signer(now)
        assert second.keys.signer(now + SLOW.ahead).kid == kid(second)
        await first.stop()
        await second.stop()

    asyncio.run(story())


def test_who_waits_signs_as_soon_as_nobody_else_does(folder: Folder) -> None:
    async def story() -> None:
        first = folder.ring()
        await first.start()
        second, third = folder.ring(name="gateway-2"), folder.ring(name="gateway-3")
        await second.start()
        await third.start()
        assert second.keys.states(time.time()) == (State.PUBLISHED,)

        # Those that wait do not wait for each other.
        await first.stop()
        await until(lambda: second.keys.states(time.time()) == (State.ACTIVE,))
        assert second.keys.signer(time.time()).kid == kid(second)
        assert kid(second) in await folder.fetched()
        await second.stop()
        await third.stop()

    asyncio.run(story())


def test_who_waits_does_so_until_the_last_that_signs_has_ended(folder: Folder) -> None:
    last = time.time() + SLOW.kept + 1.5
    folder.put("gateway-9", record(LocalKey.generate("ES256"), last))

    async def story() -> None:
        ring = folder.ring()
        await ring.start()
        assert ring.keys.states(time.time()) == (State.PUBLISHED,)
        await until(lambda: ring.keys.states(time.time()) == (State.ACTIVE,))
        assert ring.keys.keys[0].activates + SLOW.leeway >= last - SLOW.kept
        await ring.stop()

    asyncio.run(story())


def test_who_leaves_signs_no_more_and_its_last_tokens_verify(folder: Folder) -> None:
    async def story() -> None:
        ring = folder.ring()
        await ring.start()
        await ring.stop()
        with pytest.raises(SourceFault, match="about to expire"):
            ring.keys.signer(time.time())
        assert await folder.fetched() == {kid(ring)}
        (record,) = folder.records().values()
        assert record["expires"] == pytest.approx(time.time() + SLOW.kept, abs=10)

        # Nobody signs any more: who comes now does not wait.
        following = folder.ring()
        await following.start()
        assert following.keys.signer(time.time()).kid == kid(following)
        assert await folder.fetched() == {kid(ring), kid(following)}
        await following.stop()

    asyncio.run(story())


def test_keys_that_never_signed_leave_nothing(folder: Folder) -> None:
    async def story() -> None:
        first, second = folder.ring(), folder.ring(name="gateway-2")
        await first.start()
        await second.start()
        await second.stop()
        assert await folder.fetched() == {kid(first)}
        assert len(folder.records()) == 1
        await first.stop()

    asyncio.run(story())


def test_a_record_is_renewed_and_those_of_the_dead_are_removed(folder: Folder) -> None:
    folder.put("dead", record(LocalKey.generate("ES256"), 1))
    folder.put("odd", {"not": "a record"})

    async def story() -> None:
        ring = folder.ring(FAST)
        await ring.start()
        name = next(name for name in folder.records() if name.startswith("gateway-1"))
        first = folder.records()[name]["expires"]
        await until(lambda: folder.records()[name]["expires"] > first + 0.8)
        await until(lambda: "dead" not in folder.records())
        assert "odd" in folder.records()
        assert ring.problem is None
        await ring.stop()

    asyncio.run(story())


def test_keys_are_rotated_in_the_record(folder: Folder) -> None:
    async def story() -> None:
        ring = folder.ring(FAST)
        await ring.start()
        first = kid(ring)
        folder.offset = 999.0
        await until(lambda: len(ring.keys.keys) == 2)
        assert ring.keys.keys[1].published >= folder.clock() - 30
        await until(lambda: ring.keys.states(folder.clock()) == (State.ACTIVE,))
        assert kid(ring) != first
        assert await folder.fetched() == {kid(ring)}
        await ring.stop()

    asyncio.run(story())


def test_who_is_stopped_while_renewing_stops_though_vault_fails(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        renewing = asyncio.Event()

        async def hang(*_: object) -> int:
            renewing.set()
            await asyncio.Event().wait()
            return 0

        async def fail(*_: object) -> int:
            raise SourceFault("is sealed")

        ring = folder.ring(FAST)
        await ring.start()
        monkeypatch.setattr(VaultClient, "write_kv", hang)
        monkeypatch.setattr(VaultClient, "list_kv", fail)
        await asyncio.wait_for(renewing.wait(), 10)
        monkeypatch.setattr(VaultClient, "write_kv", fail)
        await asyncio.wait_for(ring.stop(), 10)

    asyncio.run(story())


def test_who_cannot_renew_stops_signing_before_verifiers_forget(
    folder: Folder, tmp_path: Path
) -> None:
    accessor = folder.openbao.call("POST", "auth/token/create", {"ttl": "1h"})["auth"]
    (tmp_path / "token").write_text(accessor["client_token"])

    async def story() -> None:
        ring = folder.ring(FAST)
        await ring.start()
        folder.openbao.revoke(accessor["accessor"])
        await until(lambda: ring.problem is not None)
        (record,) = folder.records().values()
        with pytest.raises(SourceFault, match="about to expire"):
            ring.keys.signer(record["expires"] - FAST.kept)
        # It cannot say good-bye either, and its record expires by itself.
        await ring.stop()

    asyncio.run(story())


def test_a_process_that_cannot_publish_signs_as_soon_as_it_can(
    folder: Folder, tmp_path: Path
) -> None:
    (tmp_path / "token").unlink()

    async def story() -> None:
        ring = folder.ring()
        await ring.start()
        assert "token cannot be read" in str(ring.problem)
        assert (ring.keys.keys, ring.max_age()) == ((), 0)

        (tmp_path / "token").write_text(ROOT_TOKEN)
        await until(lambda: ring.problem is None)
        assert ring.keys.signer(time.time()).kid == kid(ring)
        assert await folder.fetched() == {kid(ring)}
        assert ring.max_age() == 100
        await ring.stop()

    asyncio.run(story())


def test_every_replica_publishes_the_keys_of_all(folder: Folder) -> None:
    async def story() -> None:
        first, second = folder.ring(FAST), folder.ring(FAST, "gateway-2")
        await first.start()
        await second.start()
        both = {kid(first), kid(second)}
        assert published(second, folder.clock()) == [kid(second), kid(first)]

        # Within the propagation time the one that was there before has it as well.
        await until(lambda: len(published(first, folder.clock())) == 2)
        assert published(first, folder.clock()) == [kid(first), kid(second)]
        assert await folder.fetched() == both
        key = second.keys.keys[0].key
        assert isinstance(key, LocalKey)
        assert verifies(await signed(key), first.jwks(folder.clock()))
        await second.stop()
        await first.stop()

    asyncio.run(story())


def test_the_key_of_a_killed_replica_is_published_until_its_record_expires(
    folder: Folder,
) -> None:
    killed = LocalKey.generate("Ed25519")
    expires = time.time() + 500
    folder.put("gateway-2-killed", record(killed, expires))

    async def story() -> None:
        ring = folder.ring()
        await ring.start()
        own, theirs = ring.jwks(expires - 1)["keys"]
        assert own["kid"] == kid(ring)
        assert theirs == {**killed.jwk}
        assert published(ring, expires) == [kid(ring)]
        await ring.stop()

    asyncio.run(story())


def test_what_no_replica_would_publish_is_not_published(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    key, soon = LocalKey.generate("ES256"), time.time() + 500
    folder.put("private", {"jwks": {"keys": [key.private_jwk()]}, "expires": soon})
    folder.put("renamed", {"jwks": {"keys": [{**key.jwk, "kid": "another"}]}, "expires": soon})
    folder.put("more", {"jwks": {"keys": [{**key.jwk, "x5u": "https://evil"}]}, "expires": soon})
    folder.put("twice", record(key, soon))
    folder.put("expired", record(LocalKey.generate("ES256"), time.time() - 5))

    async def story() -> None:
        ring = folder.ring()
        await ring.start()
        own, theirs = ring.jwks(time.time())["keys"]
        assert (own["kid"], theirs) == (kid(ring), dict(key.jwk))
        await ring.stop()

    asyncio.run(story())
    assert "private of a replica is not used: it holds private or shared key" in caplog.text
    assert key.private_jwk()["d"] not in caplog.text


def test_a_folder_of_too_many_records_is_a_problem_and_is_cleaned(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ephemeral, "MAXIMUM_RECORDS", 2)
    for number in range(2):
        folder.put(f"dead-{number}", record(LocalKey.generate("ES256"), 1))
    folder.put("living", record(LocalKey.generate("ES256"), time.time() + 500))

    async def story() -> None:
        ring = folder.ring(FAST)
        await ring.start()
        assert "has 3 others beside it; at most 2 are read" in str(ring.problem)
        await until(lambda: ring.problem is None)
        assert len(published(ring, folder.clock())) == 2
        await ring.stop()

    asyncio.run(story())


def test_a_sealed_vault_takes_no_known_key_away_before_its_time(
    openbao_to_seal: OpenBao, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(ROOT_TOKEN)
    folder = Folder(openbao_to_seal, openbao_to_seal.mount("kv"), tmp_path / "token")

    async def story() -> None:
        first, second = folder.ring(FAST), folder.ring(FAST, "gateway-2")
        await first.start()
        await second.start()
        await until(lambda: len(published(first, folder.clock())) == 2)
        openbao_to_seal.seal()
        await until(lambda: "sealed" in str(first.problem))
        # Its record may have been renewed a moment before.
        assert set(published(first, time.time() - 1)) == {kid(first), kid(second)}
        assert published(first, time.time() + 10) == [kid(first)]
        await second.stop()
        await first.stop()

    asyncio.run(story())
