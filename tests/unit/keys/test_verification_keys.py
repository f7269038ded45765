"""All issuers together: one snapshot, and no issuer holds up another."""

import asyncio
import json
import os
from hashlib import sha256
from pathlib import Path

from sidecar.keys.lookups import AbsentKeys, Outcome, Waiter
from sidecar.keys.settings import FileKeys, KeySettings
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import KeyQuestion, Tried
from tests.support.observers import NullObserver
from tests.support.settings import key_settings
from tests.support.tokens import SigningKey, jwks, key_for, new_key

LONG_AGO = 1_000_000_000


class Observer(NullObserver):
    """Remembers the problems."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.refreshed_one = asyncio.Event()
        self.failed_one = asyncio.Event()

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        del trust, keys, now
        self.refreshed_one.set()

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        del serving
        self.problems.append(f"{trust}: {problem}")
        self.failed_one.set()


def publish(file: Path, *keys: SigningKey) -> None:
    file.write_text(json.dumps(jwks(*keys)))
    os.utime(file, (LONG_AGO, LONG_AGO))


def settings(trust: str, file: Path) -> KeySettings:
    return key_settings(trust, FileKeys(file), refresh=3600, cooldown=0.0)


def test_the_snapshot_has_the_keys_of_every_source_that_could_be_read(tmp_path: Path) -> None:
    publish(tmp_path / "good", key_for("ES256"))
    (tmp_path / "bad").write_text("<html>")
    os.utime(tmp_path / "bad", (LONG_AGO, LONG_AGO))
    observer = Observer()

    async def start() -> VerificationKeys:
        entries = [settings(name, tmp_path / name) for name in ("good", "bad")]
        keeper = VerificationKeys(entries, observer)
        keeper.start()
        async with asyncio.timeout(10.0):
            await asyncio.gather(observer.refreshed_one.wait(), observer.failed_one.wait())
        await keeper.stop()
        return keeper

    keeper = asyncio.run(start())
    assert list(keeper.snapshot.sets) == ["good"]
    assert keeper.snapshot.sets["good"].knows("test-ES256")
    assert observer.problems == [
        f"bad: {tmp_path / 'bad'} is neither PEM nor a JWKS: it is not UTF-8 JSON"
    ]
    assert [status.trust for status in keeper.statuses()] == ["good", "bad"]


def test_a_key_added_to_the_file_is_found_when_a_token_names_it(tmp_path: Path) -> None:
    publish(tmp_path / "keys", key_for("ES256"))

    async def rotate() -> Outcome:
        keeper = VerificationKeys([settings("gateway", tmp_path / "keys")], Observer())
        keeper.start()
        await keeper.first_keys(5.0)
        publish(tmp_path / "keys", key_for("ES256"), new_key("ES256", "next"))
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        keeper.lookup(KeyQuestion("gateway", "next"), 5.0, answer.set_result)
        outcome = await answer
        assert keeper.snapshot.sets["gateway"].knows("next")
        await keeper.stop()
        return outcome

    assert asyncio.run(rotate()) is Outcome.FOUND


def test_keys_taken_over_in_a_reload_are_no_saved_copy(tmp_path: Path) -> None:
    publish(tmp_path / "keys", key_for("ES256"))

    async def reload() -> None:
        entries = [settings("gateway", tmp_path / "keys")]
        before = VerificationKeys(entries, Observer())
        before.start()
        await before.first_keys(5.0)
        (status,) = VerificationKeys(entries, Observer(), before=before).statuses()
        assert (status.kids, status.recalled) == (("test-ES256",), False)
        await before.stop()

    asyncio.run(reload())


def test_one_source_without_keys_is_waited_for_as_long_as_was_said(tmp_path: Path) -> None:
    publish(tmp_path / "good", key_for("ES256"))

    async def start() -> None:
        entries = [settings(name, tmp_path / name) for name in ("good", "missing")]
        keeper = VerificationKeys(entries, Observer())
        keeper.start()
        waiting = asyncio.ensure_future(keeper.first_keys(3600.0))
        await keeper.first_keys(0.05)
        assert not waiting.done()

        publish(tmp_path / "missing", key_for("ES256"))
        async with asyncio.timeout(10.0):
            await waiting
        assert sorted(keeper.snapshot.sets) == ["good", "missing"]
        await keeper.stop()

    asyncio.run(start())


def test_a_keeper_without_issuers_starts() -> None:
    async def start() -> None:
        keeper = VerificationKeys([], Observer())
        keeper.start()
        await keeper.first_keys(5.0)
        await keeper.stop()

    asyncio.run(start())


def test_what_is_absent_is_bounded_and_forgotten_oldest_first() -> None:
    absent = AbsentKeys(limit=2)
    names = [absent_as(KeyQuestion("gateway", kid)) for kid in ("one", "two", "\ud800", "three")]
    for name in names:
        absent.add(name)
    assert [name in absent for name in names] == [False, False, True, True]
    absent.clear()
    assert names[3] not in absent


def absent_as(question: KeyQuestion) -> bytes:
    name = Waiter(question, 0.0, lambda _: None).absent
    assert name is not None
    return name


def test_what_is_remembered_of_a_client_is_short_and_of_a_kid_and_a_token_apart() -> None:
    digest = sha256(b"a" * 5000).digest()
    kid = absent_as(KeyQuestion("gateway", "a" * 5000))
    token = absent_as(KeyQuestion("gateway", None, Tried(digest, frozenset())))

    assert kid != token
    assert max(len(kid), len(token)) < 24
    assert Waiter(KeyQuestion("gateway", None), 0.0, lambda _: None).absent is None
