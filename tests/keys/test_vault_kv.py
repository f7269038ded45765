"""Key sets in KV version 2 of a real OpenBao: one document, or one record per replica."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.records import MAXIMUM_RECORDS
from sidecar.clients.vault.settings import KvKeys, TokenFile
from sidecar.errors import SourceFault
from sidecar.jose.key_documents import MAXIMUM_KEYS
from sidecar.keys.sources import Fetched
from sidecar.keys.sources.vault import VaultKvSource
from tests.support.openbao import ROOT_TOKEN, OpenBao
from tests.support.tokens import Json, jwks, key_for, new_key

NOW = 1_800_000_000.0
ONE, TWO = new_key("ES256", "one"), new_key("ES256", "two")
PRIVATE = {"keys": [{**key_for("ES256").jwk(), "d": "AA"}]}


class Store:
    """A KV mount of its own, and a source that reads one path of it."""

    def __init__(self, openbao: OpenBao, token_file: Path) -> None:
        token_file.write_text(ROOT_TOKEN)
        self._openbao = openbao
        self.mount = openbao.mount("kv")
        self.vault = openbao.settings(TokenFile(token_file))

    def write(self, path: str, data: Mapping[str, Any]) -> None:
        self._openbao.write_kv(self.mount, path, data)

    def source(self, *, replicas: bool = False) -> VaultKvSource:
        settings = KvKeys(self.vault, "gateway/keys", self.mount, replicas=replicas)
        return VaultKvSource(settings, clock=lambda: NOW)

    def fetch(self, *, replicas: bool = False, times: int = 1) -> Fetched:
        """What the source's last fetch gives."""

        async def story() -> Fetched:
            source = self.source(replicas=replicas)
            try:
                return [await source.fetch() for _ in range(times)][-1]
            finally:
                await source.close()

        return asyncio.run(story())


@pytest.fixture
def store(openbao: OpenBao, tmp_path: Path) -> Store:
    return Store(openbao, tmp_path / "token")


def record(document: object, *, lasts: float = 60) -> Json:
    return {"jwks": document, "expires": NOW + lasts}


def kids(fetched: Fetched) -> set[str | None]:
    return {key.kid for key in fetched.keys}


def test_a_key_set_is_read_as_it_was_put_there(store: Store) -> None:
    store.write("gateway/keys", jwks(ONE))
    assert kids(store.fetch()) == {"one"}

    store.write("gateway/keys", jwks(ONE, TWO))
    assert kids(store.fetch()) == {"one", "two"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (PRIVATE, "holds private or shared key material"),
        ({"keys": []}, "holds no usable public key"),
        ({"jwks": "text"}, 'it has no list "keys"'),
        ({"keys": [{}] * (MAXIMUM_KEYS + 1)}, "holds 1001 keys"),
    ],
    ids=["private key", "empty", "something else", "too many"],
)
def test_a_secret_that_is_no_usable_key_set_says_why(
    store: Store, data: Json, problem: str
) -> None:
    store.write("gateway/keys", data)

    with pytest.raises(SourceFault, match=f"secret {store.mount}/gateway/keys .*{problem}"):
        store.fetch()


def test_a_secret_that_does_not_exist_is_named(store: Store) -> None:
    with pytest.raises(
        SourceFault, match=rf"secret {store.mount}/gateway/keys at https://\S+ does not exist"
    ):
        store.fetch()


def test_the_keys_are_those_of_all_replicas(store: Store) -> None:
    store.write("gateway/keys/one", record(jwks(ONE), lasts=60))
    store.write("gateway/keys/two", record(jwks(TWO), lasts=20))
    store.write("gateway/keys/below/three", record(jwks(key_for("ES256"))))

    fetched = store.fetch(replicas=True)
    assert kids(fetched) == {"one", "two"}
    assert fetched.max_age == 20, "it wants to be asked again when the first record expires"


def test_a_record_counts_until_it_expires(store: Store) -> None:
    store.write("gateway/keys/one", record(jwks(ONE), lasts=0.5))
    store.write("gateway/keys/two", record(jwks(TWO), lasts=0))

    assert kids(store.fetch(replicas=True)) == {"one"}


@pytest.mark.parametrize(
    "garbage",
    [
        {},
        jwks(TWO),
        record(PRIVATE),
        record({"keys": []}),
        record([]),
        {"jwks": jwks(TWO), "expires": "tomorrow"},
        {"jwks": jwks(TWO)},
    ],
    ids=["empty", "a key set", "private key", "no keys", "a list", "a date in words", "no date"],
)
def test_a_record_that_cannot_be_used_takes_down_no_other(
    store: Store, garbage: Json, caplog: pytest.LogCaptureFixture
) -> None:
    store.write("gateway/keys/good", record(jwks(ONE)))
    store.write("gateway/keys/garbage", garbage)

    with caplog.at_level(logging.ERROR):
        assert kids(store.fetch(replicas=True, times=2)) == {"one"}
    (complaint,) = caplog.messages
    assert complaint.startswith("the record gateway/keys/garbage of a replica is not used: it ")


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ({}, "holds no records"),
        ({"one": record(PRIVATE)}, "can be used: holds private or shared key material"),
        ({"one": record(jwks(ONE), lasts=-1)}, "can be used: all have expired"),
    ],
    ids=["none", "garbage", "expired"],
)
def test_without_a_record_that_can_be_used_the_fetch_fails(
    store: Store, records: dict[str, Json], problem: str
) -> None:
    for name, data in records.items():
        store.write(f"gateway/keys/{name}", data)

    with pytest.raises(SourceFault, match=f"folder {store.mount}/gateway/keys .*{problem}"):
        store.fetch(replicas=True)


def test_a_record_that_cannot_be_read_fails_the_fetch(
    openbao: OpenBao, store: Store, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        store.write(f"gateway/keys/{name}", record(jwks(ONE)))
    policy = openbao.write_policy(
        {
            f"{store.mount}/metadata/gateway/keys": ["list"],
            f"{store.mount}/data/gateway/keys/one": ["read"],
        }
    )
    (tmp_path / "token").write_text(openbao.new_token(policy))

    with pytest.raises(SourceFault, match=r"gateway/keys/two is denied to this login"):
        store.fetch(replicas=True)


def test_a_record_that_was_removed_since_it_was_listed_is_passed_over(
    openbao: OpenBao, store: Store
) -> None:
    store.write("gateway/keys/one", record(jwks(ONE)))
    store.write("gateway/keys/two", record(jwks(TWO)))
    # Its latest version alone: it stays on the list.
    openbao.call("DELETE", f"{store.mount}/data/gateway/keys/two")

    assert kids(store.fetch(replicas=True)) == {"one"}


def test_the_keys_of_all_records_are_bounded_together(store: Store) -> None:
    # The server takes documents of so many strings and no more.
    bare = ONE.jwk(kid=None, alg=None, use=None)
    for number in range(10):
        store.write(f"gateway/keys/{number}", record({"keys": [bare] * 101}))

    with pytest.raises(SourceFault, match="holds 1010 keys; at most 1000 are read"):
        store.fetch(replicas=True)


def test_the_number_of_records_is_bounded(store: Store) -> None:
    for number in range(MAXIMUM_RECORDS + 1):
        store.write(f"gateway/keys/{number}", {})

    with pytest.raises(SourceFault, match="holds 101 records; at most 100 are read"):
        store.fetch(replicas=True)


def test_what_is_written_is_read_listed_and_removed(store: Store) -> None:
    async def story() -> None:
        client = VaultClient(store.vault)
        assert await client.read_kv(store.mount, "a/b") is None
        assert await client.list_kv(store.mount, "a") == ()
        assert await client.write_kv(store.mount, "a/b", {"n": 1}, cas=0) == 1
        with pytest.raises(SourceFault, match="check-and-set parameter did not match"):
            await client.write_kv(store.mount, "a/b", {"n": 2}, cas=0)
        assert await client.write_kv(store.mount, "a/b", {"n": 2}, cas=1) == 2
        assert await client.write_kv(store.mount, "a/c d/e", {}) == 1
        assert await client.read_kv(store.mount, "a/b") == ({"n": 2}, 2)
        assert await client.list_kv(store.mount, "a") == ("b", "c d/")
        await client.delete_kv(store.mount, "a/b")
        assert await client.read_kv(store.mount, "a/b") is None
        assert await client.list_kv(store.mount, "a") == ("c d/",)
        await client.close()

    asyncio.run(story())


def test_a_secret_whose_latest_version_was_deleted_is_gone(openbao: OpenBao, store: Store) -> None:
    store.write("gateway/keys", jwks(ONE))
    openbao.call("DELETE", f"{store.mount}/data/gateway/keys")

    with pytest.raises(SourceFault, match="does not exist"):
        store.fetch()
