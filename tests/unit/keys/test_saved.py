"""Keys on disk: what is saved comes back the same, and nothing else comes back at all."""

import asyncio
import json
import logging
from hashlib import sha256
from pathlib import Path

import pytest

from sidecar.jose.key_documents import parse
from sidecar.keys.saved import SavedCopy, SavedKeys
from tests.support.tokens import ALGORITHMS, Json, key_for

KEYS = parse(json.dumps({"keys": [key_for(name).jwk() for name in ALGORITHMS]}).encode()).keys
SAVED = SavedKeys(KEYS, 1_700_000_000.25)
SOURCE = "jwks https://keys.example/"


@pytest.fixture
def copy(tmp_path: Path) -> SavedCopy:
    return SavedCopy(tmp_path, "gateway", SOURCE)


@pytest.fixture
def file(tmp_path: Path, copy: SavedCopy) -> Path:
    """The file of a copy that was saved."""
    asyncio.run(copy.write(SAVED))
    return tmp_path / "gateway.keys"


def read(copy: SavedCopy) -> SavedKeys | None:
    return asyncio.run(copy.read())


def seal(file: Path, **changes: object) -> None:
    """Change the content, and its digest with it."""
    content: Json = json.loads(file.read_bytes().partition(b"\n")[2])
    data = json.dumps(content | changes).encode()
    file.write_bytes(sha256(data).hexdigest().encode() + b"\n" + data)


def test_what_is_saved_comes_back_the_same(copy: SavedCopy, file: Path) -> None:
    assert read(copy) == SAVED
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_keys_without_a_kid_and_for_any_algorithm_come_back_the_same(copy: SavedCopy) -> None:
    jwk = key_for("RS256").jwk(kid=None, alg=None)
    saved = SavedKeys(parse(json.dumps({"keys": [jwk]}).encode()).keys, 1.0)
    asyncio.run(copy.write(saved))
    assert read(copy) == saved


@pytest.mark.parametrize("issuer", ["https://a.test", "https://login.test/{tenantid}/v2.0"])
def test_a_key_of_one_issuer_comes_back_as_such(copy: SavedCopy, issuer: str) -> None:
    jwk = {**key_for("RS256").jwk(), "issuer": issuer}
    saved = SavedKeys(parse(json.dumps({"keys": [jwk]}).encode()).keys, 1.0)
    asyncio.run(copy.write(saved))
    assert read(copy) == saved


def test_a_copy_that_was_never_saved_is_nothing_to_talk_about(
    copy: SavedCopy, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(copy) is None
    assert caplog.records == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": 2}, "is of another format"),
        ({"trust": "partner"}, "is of another trust"),
        ({"source": "jwks https://other.example/"}, "is of another source"),
        ({"fetched_at": "today"}, "does not say when its keys were fetched"),
        ({"jwks": {"keys": []}}, "holds no usable public key"),
        ({"jwks": None}, "is not a JSON object"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}, "holds private or shared key material"),
    ],
)
def test_another_ones_copy_is_not_used(
    copy: SavedCopy,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, object],
    why: str,
) -> None:
    seal(file, **changes)
    assert read(copy) is None
    (record,) = caplog.records
    assert record.message == "saved keys are not used"
    assert record.__dict__["issuer"] == "gateway"
    assert why in record.__dict__["problem"]


@pytest.mark.parametrize("damage", [b"", b"\n", b"{}", b"\xff" * 100])
def test_a_damaged_copy_is_not_used(
    copy: SavedCopy, file: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    file.write_bytes(damage)
    assert read(copy) is None
    expected = f"{file} is damaged: it does not match its own digest"
    assert [record.__dict__["problem"] for record in caplog.records] == [expected]


def test_one_changed_byte_is_noticed(copy: SavedCopy, file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert read(copy) is None


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_others_can_read_or_write_is_not_used(
    copy: SavedCopy, file: Path, mode: int
) -> None:
    file.chmod(mode)
    assert read(copy) is None


def test_a_link_is_not_followed(copy: SavedCopy, file: Path, tmp_path: Path) -> None:
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert read(copy) is None


def test_what_a_run_left_half_written_is_no_obstacle(copy: SavedCopy, file: Path) -> None:
    (file.parent / f".{file.name}.partial").write_bytes(b"half")
    asyncio.run(copy.write(SAVED))
    assert read(copy) == SAVED


def test_a_directory_that_is_not_there_is_logged_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asyncio.run(SavedCopy(tmp_path / "absent", "gateway", SOURCE).write(SAVED))
    (record,) = caplog.records
    assert record.message == "keys are not saved"
    expected = f"{tmp_path}/absent/gateway.keys: No such file or directory"
    assert record.__dict__["problem"] == expected
