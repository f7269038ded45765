"""A ring that something else replaces while it is used."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import ConfigurationFault
from sidecar.rings import directory_ring, periodic_task
from sidecar.rings.directory import FILE, store
from sidecar.rings.directory_ring import MountedRing
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing
from sidecar.rings.rotation import begin
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from sidecar.rings.usable import usable
from tests.support.rings import until

LONG_AGO = 1_000_000_000
LOOK_EVERY = 0.01


def new_ring(timings: Timings | None = None) -> KeyRing[LocalKey]:
    return begin(LocalKey.generate("ES256"), timings or Timings(), 1000.0)


def mount(directory: Path, ring: KeyRing[LocalKey]) -> None:
    """As the kubelet does: a new directory, and a link turned to it."""
    version = directory / f"..{ring.keys[0].key.kid}"
    version.mkdir()
    store(version, ring)
    os.utime(version / FILE, (LONG_AGO, LONG_AGO))
    (version / FILE).chmod(0o440)
    link = directory / "..turning"
    link.symlink_to(version.name)
    link.replace(directory / "..data")
    if not (directory / FILE).is_symlink():
        (directory / FILE).symlink_to(Path("..data") / FILE)


def test_a_ring_that_is_replaced_is_used_from_then_on(tmp_path: Path) -> None:
    first, second = new_ring(), new_ring()
    mount(tmp_path, first)

    async def story() -> None:
        ring = MountedRing(tmp_path, LocalKey, Timings(), look_every=LOOK_EVERY)
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

    def slowly(*arguments: Any) -> KeyRing[LocalKey]:
        assert turned.wait(5), "the event loop stood still"
        return usable(*arguments)

    async def story() -> None:
        ring = MountedRing(tmp_path, LocalKey, Timings())
        starting = asyncio.create_task(ring.start())
        await asyncio.sleep(0.05)
        turned.set()
        await starting
        await ring.stop()

    monkeypatch.setattr(directory_ring, "usable", slowly)
    asyncio.run(story())


def test_what_cannot_be_used_leaves_the_last_good_ring(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = new_ring(), new_ring()
    mount(tmp_path, first)

    async def story() -> None:
        ring = MountedRing(tmp_path, LocalKey, Timings(), look_every=LOOK_EVERY)
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
    ring = MountedRing(tmp_path, LocalKey, Timings(token_life=300))

    with pytest.raises(ConfigurationFault, match="keeps a key for 80 s after its last use"):
        asyncio.run(ring.start())
    assert ring.keys.keys == ()


def test_a_ring_that_is_missing_is_used_as_soon_as_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(periodic_task, "RETRY_PAUSE", LOOK_EVERY)
    ring, made = MountedRing(tmp_path, LocalKey, Timings(), look_every=LOOK_EVERY), new_ring()

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
        ring = MountedRing(tmp_path, LocalKey, Timings())
        await ring.start()
        now = time.time()
        assert ring.jwks(now) == made.jwks(now) != {"keys": []}
        assert ring.max_age() == 30
        await ring.stop()

    asyncio.run(story())


def test_a_ring_of_the_other_kind_does_not_start(tmp_path: Path) -> None:
    mount(tmp_path, new_ring())

    with pytest.raises(ConfigurationFault, match="holds signing keys; sessions need a ring made"):
        asyncio.run(MountedRing(tmp_path, SealingKey, TIMINGS).start())


def test_a_ring_without_an_active_key_leaves_the_last_good_one(tmp_path: Path) -> None:
    good, early = new_ring(), begin(LocalKey.generate("ES256"), Timings(), 5e9)
    mount(tmp_path, good)

    async def story() -> None:
        ring = MountedRing(tmp_path, LocalKey, Timings(), look_every=LOOK_EVERY)
        await ring.start()
        mount(tmp_path, early)
        await until(lambda: ring.problem is not None)
        assert "no key is active until 2128-06-11T08:53:10+00:00" in str(ring.problem)
        assert ring.keys == good
        await ring.stop()

    asyncio.run(story())
