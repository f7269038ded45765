"""The file of a ring: its format, who may read it, and what an interrupted writer leaves."""

import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import SourceFault
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing, begin, rotated
from sidecar.rings.ring_file import FILE, dump, load, load_directory, locked, store
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from tests.support.rings import NamedKey

KEY, NEXT = LocalKey.generate("ES256"), LocalKey.generate("Ed25519")
RING = rotated(begin(KEY, Timings(), 1000.5), lambda: NEXT, 2000.0, early=True)

Json = dict[str, Any]


def changed(change: Callable[[Json], object]) -> bytes:
    document = json.loads(dump(RING))
    change(document)
    return json.dumps(document).encode()


SEALING = rotated(begin(SealingKey.generate(), TIMINGS, 1000.5), SealingKey.generate, 2e7)


@pytest.mark.parametrize("ring", [RING, SEALING])
def test_a_ring_survives_being_written_down(ring: KeyRing) -> None:
    assert load(dump(ring)) == ring


def test_a_ring_is_of_one_kind() -> None:
    other = json.loads(dump(SEALING))["keys"][1]
    mixed = changed(lambda ring: ring["keys"].append(other))

    with pytest.raises(SourceFault) as caught:
        load(mixed)
    assert str(caught.value) == "holds keys that sign and keys that seal; a ring is of one kind"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a key ring: it is not UTF-8 JSON"),
        (b"[]", "is not a key ring: it is not a JSON object"),
        (dump(RING)[:-20], "is not a key ring: it is not UTF-8 JSON"),
        (dump(RING).replace(b'"x"', b'"y"', 1), "holds a name twice"),
        (changed(lambda ring: ring.update(version=2)), "expected an object with keys, timings and"),
        (changed(lambda ring: ring.pop("timings")), "expected an object with keys, timings and"),
        (changed(lambda ring: ring.update(keys=[])), "a list with at least one key"),
        (changed(lambda ring: ring.update(keys={})), "a list with at least one key"),
        (changed(lambda ring: ring.update(keys=["key"])), "expected an object with activates, jwk"),
        (changed(lambda ring: ring["keys"][0].pop("published")), "expected an object with activ"),
        (changed(lambda ring: ring["keys"][0].update(published="now")), "a time is not a number"),
        (changed(lambda ring: ring["keys"][0].update(published=True)), "a time is not a number"),
        (changed(lambda ring: ring["keys"][0].update(jwk=[])), '"jwk" must be an object'),
        (changed(lambda ring: ring["keys"][0]["jwk"].pop("d")), "a public key where a private one"),
        (changed(lambda ring: ring["keys"].append(ring["keys"][1])), "holds a key twice"),
        (changed(lambda ring: ring["keys"].reverse()), "not in the order in which they become"),
        (changed(lambda ring: ring["timings"].pop("leeway")), "expected an object with leeway, "),
        (changed(lambda ring: ring["timings"].update(period=1)), "has timings that cannot be used"),
    ],
)
def test_what_is_not_a_ring_says_why_and_quotes_no_key(content: bytes, words: str) -> None:
    with pytest.raises(SourceFault) as caught:
        load(content)

    assert words in str(caught.value)
    assert KEY.private_jwk()["d"] not in str(caught.value)


def new_ring() -> KeyRing:
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


def test_a_key_whose_private_half_is_elsewhere_cannot_be_written_down() -> None:
    ring = begin(NamedKey("in-vault"), Timings(), 1000.0)

    with pytest.raises(TypeError, match="the private key is not in this process"):
        dump(ring)
