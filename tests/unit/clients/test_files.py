"""Files that other programs replace: believed when left alone, bounded, never half read."""

import asyncio
import os
from pathlib import Path

import pytest

from sidecar.clients.files import changed, read, read_settled, version
from sidecar.errors import SourceFault

LONG_AGO = 1_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    write(path, b"content")
    return path


def write(path: Path, content: bytes) -> None:
    """Write a file and date it long ago, as if nobody had touched it since."""
    path.write_bytes(content)
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_a_file_is_read_whole(file: Path) -> None:
    assert read(file, 7) == b"content"


def test_a_file_beyond_the_limit_is_refused(file: Path) -> None:
    with pytest.raises(SourceFault, match=r"is larger than 6 bytes$"):
        read(file, 6)


def test_a_missing_file_is_named_with_the_cause(tmp_path: Path) -> None:
    with pytest.raises(SourceFault, match=r"absent cannot be read: No such file or directory$"):
        read(tmp_path / "absent", 10)


def test_a_pipe_in_the_files_place_does_not_hold_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read(tmp_path / "pipe", 10) == b""


def test_a_settled_file_is_read_with_its_version(file: Path) -> None:
    assert asyncio.run(read_settled(file, 10)) == (b"content", version(file))


def test_a_file_that_is_being_written_is_read_once_it_is_left_alone(file: Path) -> None:
    file.write_bytes(b"half")

    async def write_the_rest() -> bytes:
        reading = asyncio.ensure_future(read_settled(file, 100))
        await asyncio.sleep(0)
        write(file, b"half and half")
        data, _ = await reading
        return data

    assert asyncio.run(write_the_rest()) == b"half and half"


def test_a_file_dated_in_the_future_is_read(file: Path) -> None:
    os.utime(file, (2**33, 2**33))
    assert asyncio.run(read_settled(file, 10))[0] == b"content"


def test_a_file_that_never_comes_to_rest_is_a_fault(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def growing(path: Path, maximum_bytes: int) -> bytes:
        with path.open("ab") as writer:
            writer.write(b".")
        return read(path, maximum_bytes)

    monkeypatch.setattr("sidecar.clients.files.read", growing)
    monkeypatch.setattr("sidecar.clients.files.SETTLED_AFTER", 0.001)
    with pytest.raises(SourceFault, match="keeps changing while it is read"):
        asyncio.run(read_settled(file, 1000))


def test_a_link_turned_elsewhere_is_another_version(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"content")
    link = tmp_path / "link"
    link.symlink_to(file)
    before = version(link)
    link.unlink()
    link.symlink_to(other)
    assert version(link) != before


def test_a_change_is_noticed(file: Path) -> None:
    known = version(file)

    async def change() -> None:
        watching = asyncio.ensure_future(changed(file, known, interval=0.001))
        await asyncio.sleep(0)
        write(file, b"new content")
        await watching

    asyncio.run(asyncio.wait_for(change(), 5))


def test_a_file_that_is_gone_has_no_version(tmp_path: Path) -> None:
    assert version(tmp_path / "absent") is None
