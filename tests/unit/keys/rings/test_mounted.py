"""A ring that something else replaces while it is used."""

import asyncio
import os
from pathlib import Path

import pytest

from sidecar.errors import ConfigurationFault, SourceFault
from sidecar.keys.rings.directory import FILE, store
from sidecar.keys.rings.lifecycle import Timings
from sidecar.keys.rings.local import LocalKey
from sidecar.keys.rings.mounted import MountedRing
from sidecar.keys.rings.ring import KeyRing
from sidecar.keys.rings.rotation import begin
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
        ring = MountedRing(tmp_path, Timings(), look_every=LOOK_EVERY)
        await ring.start()
        assert ring.keys == first
        mount(tmp_path, second)
        await until(lambda: ring.keys == second)
        await ring.stop()

    asyncio.run(story())


def test_what_cannot_be_used_leaves_the_last_good_ring(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = new_ring(), new_ring()
    mount(tmp_path, first)

    async def story() -> None:
        ring = MountedRing(tmp_path, Timings(), look_every=LOOK_EVERY)
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
    assert [record.message for record in caplog.records] == ["signing keys"]


def test_a_ring_made_for_shorter_lived_tokens_does_not_start(tmp_path: Path) -> None:
    mount(tmp_path, new_ring())
    ring = MountedRing(tmp_path, Timings(token_life=300))

    with pytest.raises(ConfigurationFault, match="keeps a key for 80 s after its last use"):
        asyncio.run(ring.start())
    assert ring.keys.keys == ()


def test_a_ring_that_is_missing_does_not_start(tmp_path: Path) -> None:
    ring = MountedRing(tmp_path, Timings(), look_every=LOOK_EVERY)

    with pytest.raises(SourceFault, match="cannot be read"):
        asyncio.run(ring.start())
    asyncio.run(ring.stop())
    assert str(ring) == f"file {tmp_path / FILE}"
