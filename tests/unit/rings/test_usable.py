"""What is found out about a ring in a directory before it is used."""

import re
from pathlib import Path

import pytest

from sidecar.errors import ConfigurationFault, SourceFault
from sidecar.rings.directory import FILE, store
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.rotation import begin
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from sidecar.rings.stored import StoredKey
from sidecar.rings.usable import examine_directory

NOW = 1_800_000_000.0


def fault(
    directory: Path,
    kind: type[StoredKey] = LocalKey,
    needed: Timings | None = None,
    now: float = NOW,
) -> str:
    """Why a configuration with this ring cannot be used, without the file's name."""
    with pytest.raises(ConfigurationFault) as caught:
        examine_directory(directory, kind, needed or Timings(), now)
    name, text = str(caught.value).split(" ", 1)
    assert name == str(directory / FILE)
    return text


def test_a_ring_that_fits_is_found_good(tmp_path: Path) -> None:
    store(tmp_path, begin(LocalKey.generate("ES256"), Timings(), NOW))

    examine_directory(tmp_path, LocalKey, Timings(), NOW)


def test_a_ring_of_sealing_keys_is_good_for_sessions_alone(tmp_path: Path) -> None:
    store(tmp_path, begin(SealingKey.generate(), TIMINGS, NOW))

    examine_directory(tmp_path, SealingKey, TIMINGS, NOW)
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

    examine_directory(tmp_path, LocalKey, Timings(), NOW - 10)
    assert fault(tmp_path, now=NOW - 10.1) == (
        "cannot be used yet: no key is active until 2027-01-15T07:59:50+00:00; set the clock if "
        "it is wrong, or make a new ring with sidecar keys new, whose key is active at once"
    )


def test_a_ring_that_cannot_be_read_is_the_directorys_fault(tmp_path: Path) -> None:
    with pytest.raises(SourceFault, match=re.escape(f"{tmp_path / FILE} cannot be read: No such")):
        examine_directory(tmp_path, LocalKey, Timings(), NOW)

    store(tmp_path, begin(LocalKey.generate("ES256"), Timings(), NOW))
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(SourceFault, match="holds secret keys and is open to every user"):
        examine_directory(tmp_path, LocalKey, Timings(), NOW)
