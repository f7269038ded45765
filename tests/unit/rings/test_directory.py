"""The directory of a ring: who may read it, and what an interrupted or a second writer leaves."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sidecar.errors import SourceFault
from sidecar.rings.directory import FILE, load_directory, locked, store
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing
from sidecar.rings.rotation import begin, rotated


def new_ring() -> KeyRing[LocalKey]:
    return begin(LocalKey.generate("ES256"), Timings(), 1000.0)


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    ring = new_ring()
    store(tmp_path, ring)

    assert load_directory(tmp_path) == ring
    assert os.listdir(tmp_path) == [FILE]


def test_only_the_owner_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store(tmp_path, new_ring())
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_the_group_may_read_it_as_in_a_mounted_secret(tmp_path: Path, mode: int) -> None:
    store(tmp_path, new_ring())
    (tmp_path / FILE).chmod(mode)

    load_directory(tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o777])
def test_a_ring_open_to_every_user_is_refused(tmp_path: Path, mode: int) -> None:
    store(tmp_path, new_ring())
    (tmp_path / FILE).chmod(mode)

    with pytest.raises(SourceFault, match=f"open to every user .mode {mode:04o}.*defaultMode"):
        load_directory(tmp_path)


def test_a_ring_that_is_not_there_or_not_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceFault, match=r"ring\.json cannot be read: No such file"):
        load_directory(tmp_path)
    (tmp_path / FILE).write_text("{}")
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(SourceFault, match=r"ring\.json is not a key ring"):
        load_directory(tmp_path)


def test_an_interrupted_writer_leaves_the_ring_as_it_was(tmp_path: Path) -> None:
    ring = new_ring()
    store(tmp_path, ring)
    (tmp_path / ".ring.json.partial").write_text('{"timings": {')
    assert load_directory(tmp_path) == ring

    after = rotated(ring, lambda: LocalKey.generate("ES256"), 1001.0, early=True)
    store(tmp_path, after)
    assert load_directory(tmp_path) == after
    assert os.listdir(tmp_path) == [FILE]


def test_a_directory_that_cannot_be_written_to_keeps_its_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = new_ring()
    store(tmp_path, ring)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SourceFault, match="cannot be written to: No space left on device"):
        store(tmp_path, new_ring())
    assert load_directory(tmp_path) == ring


def test_a_directory_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(SourceFault, match="cannot be used: No such file"), locked(tmp_path / "no"):
        pass


def test_two_writers_lose_nothing_of_one_another(tmp_path: Path) -> None:
    # Tokens live for so long that no key is gone before the test is over.
    timings = Timings(token_life=1e6, period=1e7)
    store(tmp_path, begin(LocalKey.generate("ES256"), timings, 1000.0))

    def add_keys() -> None:
        for _ in range(10):
            with locked(tmp_path):
                ring = load_directory(tmp_path)
                now = ring.keys[-1].activates
                store(tmp_path, rotated(ring, lambda: LocalKey.generate("ES256"), now, early=True))

    # The lock belongs to whoever opened the directory: threads exclude one another as processes do.
    with ThreadPoolExecutor(2) as writers:
        for written in [writers.submit(add_keys) for _ in range(2)]:
            written.result()

    assert len(load_directory(tmp_path).keys) == 21
