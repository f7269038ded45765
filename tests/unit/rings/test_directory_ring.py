"""A ring in a directory: which are refused, and what happens when the file is replaced."""

import asyncio
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import ConfigurationFault, SourceFault
from sidecar.rings import directory_ring, periodic_task
from sidecar.rings.directory_ring import DirectoryRing, check_directory, usable_ring
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing, begin
from sidecar.rings.ring_file import FILE, StoredKey, store
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from tests.support.mounted import turn
from tests.support.rings import until

NOW = 1_800_000_000.0


def fault(
    directory: Path,
    kind: type[StoredKey] = LocalKey,
    needed: Timings | None = None,
    now: float = NOW,
) -> str:
    """Why a configuration with this ring cannot be used, without the file's name."""
    with pytest.raises(ConfigurationFault) as caught:
        check_directory(directory, kind, needed or Timings(), now)
    name, text = str(caught.value).split(" ", 1)
    assert name == str(directory / FILE)
    return text


def test_a_ring_that_fits_is_found_good(tmp_path: Path) -> None:
    store(tmp_path, begin(LocalKey.generate("ES256"), Timings(), NOW))

    check_directory(tmp_path, LocalKey, Timings(), NOW)


def test_a_ring_of_sealing_keys_is_good_for_sessions_alone(tmp_path: Path) -> None:
    store(tmp_path, begin(SealingKey.generate(), TIMINGS, NOW))

    check_directory(tmp_path, SealingKey, TIMINGS, NOW)
    assert fault(tmp_path) == (
        "holds sealing keys; request tokens need a ring made with sidecar keys new "
        "--algorithm ES256"
    )


def test_a_ring_of_signing_keys_is_good_for_tokens_alone(tmp_path: Path) -> None:
    store(tmp_path, begin(LocalKey.generate("ES256"), TIMINGS, NOW))

    assert fault(tmp_path, SealingKey) == (
        "holds signing keys; sessions need a ring made with sidecar keys new --algorithm A256GCM"
    )


def test_a_ring_made_for_shorter_sessions_is_not_good_enough(tmp_path: Path) -> None:
    store(tmp_path, begin(SealingKey.generate(), Timings(token_life=3600), NOW))

    assert fault(tmp_path, SealingKey, TIMINGS) == (
        "keeps a key for 3620 s after its last use, and the tokens it signed are accepted for "
        "43220 s; make a ring with longer timings"
    )


def test_a_ring_whose_keys_are_all_for_later_says_when_and_what_to_do(tmp_path: Path) -> None:
    store(tmp_path, begin(LocalKey.generate("ES256"), Timings(), NOW))

    check_directory(tmp_path, LocalKey, Timings(), NOW - 10)
    assert fault(tmp_path, now=NOW - 10.1) == (
        "cannot be used yet: no key is active until 2027-01-15T07:59:50+00:00; set the clock if "
        "it is wrong, or make a new ring with sidecar keys new, whose key is active at once"
    )


def test_a_ring_that_cannot_be_read_is_the_directorys_fault(tmp_path: Path) -> None:
    with pytest.raises(SourceFault, match=re.escape(f"{tmp_path / FILE} cannot be read: No such")):
        check_directory(tmp_path, LocalKey, Timings(), NOW)

    store(tmp_path, begin(LocalKey.generate("ES256"), Timings(), NOW))
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(SourceFault, match="holds secret keys and is open to every user"):
        check_directory(tmp_path, LocalKey, Timings(), NOW)


LONG_AGO = 1_000_000_000
LOOK_EVERY = 0.01


def new_ring(timings: Timings | None = None) -> KeyRing:
    return begin(LocalKey.generate("ES256"), timings or Timings(), 1000.0)


def mount(directory: Path, ring: KeyRing) -> None:
    """As the kubelet does: a new directory, and a link turned to it."""
    version = directory / f"..{ring.keys[0].key.kid}"
    version.mkdir()
    store(version, ring)
    os.utime(version / FILE, (LONG_AGO, LONG_AGO))
    (version / FILE).chmod(0o440)
    turn(directory, version)


def test_a_ring_that_is_replaced_is_used_from_then_on(tmp_path: Path) -> None:
    first, second = new_ring(), new_ring()
    mount(tmp_path, first)

    async def story() -> None:
        ring = DirectoryRing(tmp_path, LocalKey, Timings(), poll_interval=LOOK_EVERY)
        await ring.start()
        assert ring.keys == first
        mount(tmp_path, second)
        await until(lambda: ring.keys == second)
        await ring.stop()

    asyncio.run(story())


def test_nothing_on_the_event_loop_waits_for_keys_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount(tmp_path, new_ring())
    turned = threading.Event()

    def slowly(*arguments: Any) -> KeyRing:
        assert turned.wait(5), "the event loop stood still"
        return usable_ring(*arguments)

    async def story() -> None:
        ring = DirectoryRing(tmp_path, LocalKey, Timings())
        starting = asyncio.create_task(ring.start())
        await asyncio.sleep(0.05)
        turned.set()
        await starting
        await ring.stop()

    monkeypatch.setattr(directory_ring, "usable_ring", slowly)
    asyncio.run(story())


def test_what_cannot_be_used_leaves_the_last_good_ring(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = new_ring(), new_ring()
    mount(tmp_path, first)

    async def story() -> None:
        ring = DirectoryRing(tmp_path, LocalKey, Timings(), poll_interval=LOOK_EVERY)
        await ring.start()
        mount(tmp_path, second)
        (tmp_path / FILE).chmod(0o444)
        await until(lambda: ring.problem is not None)
        assert ring.keys == first
        assert "open to every user" in str(ring.problem)

        # Nothing but its mode changes.
        (tmp_path / FILE).chmod(0o440)
        await until(lambda: ring.keys == second)
        assert ring.problem is None
        await ring.stop()

    asyncio.run(story())
    assert [record.message for record in caplog.records] == ["key ring"]


def test_a_ring_made_for_shorter_lived_tokens_does_not_start(tmp_path: Path) -> None:
    mount(tmp_path, new_ring())
    ring = DirectoryRing(tmp_path, LocalKey, Timings(token_life=300))

    with pytest.raises(ConfigurationFault, match="keeps a key for 80 s after its last use"):
        asyncio.run(ring.start())
    assert ring.keys.keys == ()


def test_a_ring_that_is_missing_is_used_as_soon_as_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(periodic_task, "RETRY_PAUSE", LOOK_EVERY)
    ring, made = DirectoryRing(tmp_path, LocalKey, Timings(), poll_interval=LOOK_EVERY), new_ring()

    async def story() -> None:
        await ring.start()
        assert str(ring.problem) == f"{tmp_path / FILE} cannot be read: No such file or directory"
        assert ring.jwks(time.time()) == {"keys": []}
        assert ring.max_age() == 0

        mount(tmp_path, made)
        await until(lambda: ring.problem is None)
        assert ring.keys == made
        await ring.stop()

    asyncio.run(story())
    assert str(ring) == f"file {tmp_path / FILE}"


def test_what_it_publishes_is_what_is_in_the_directory(tmp_path: Path) -> None:
    made = new_ring()
    mount(tmp_path, made)

    async def story() -> None:
        ring = DirectoryRing(tmp_path, LocalKey, Timings())
        await ring.start()
        now = time.time()
        assert ring.jwks(now) == made.jwks(now) != {"keys": []}
        assert ring.max_age() == 30
        await ring.stop()

    asyncio.run(story())


def test_a_ring_of_the_other_kind_does_not_start(tmp_path: Path) -> None:
    mount(tmp_path, new_ring())

    with pytest.raises(ConfigurationFault, match="holds signing keys; sessions need a ring made"):
        asyncio.run(DirectoryRing(tmp_path, SealingKey, TIMINGS).start())


def test_a_ring_without_an_active_key_leaves_the_last_good_one(tmp_path: Path) -> None:
    good, early = new_ring(), begin(LocalKey.generate("ES256"), Timings(), 5e9)
    mount(tmp_path, good)

    async def story() -> None:
        ring = DirectoryRing(tmp_path, LocalKey, Timings(), poll_interval=LOOK_EVERY)
        await ring.start()
        mount(tmp_path, early)
        await until(lambda: ring.problem is not None)
        assert "no key is active until 2128-06-11T08:53:10+00:00" in str(ring.problem)
        assert ring.keys == good
        await ring.stop()

    asyncio.run(story())
