"""Answers that are packed although nobody asked: what is unpacked, how far, and what is refused."""

import zlib
from collections.abc import Sequence
from gzip import compress

import pytest

from sidecar.clients.content_coding import Gzip, Plain, reader, refuse_packed
from sidecar.errors import SourceFault

DOCUMENT = b'{"keys": []}' * 1000
PACKED = compress(DOCUMENT)
MOST = 1_000_000


def read(coding: Plain | Gzip, parts: Sequence[bytes], most: int = MOST) -> bytes:
    found = b"".join(coding.read(part, most) for part in parts)
    coding.end()
    return found


@pytest.mark.parametrize(
    "headers", [[], [""], ["identity"], ["Identity, identity"], ["identity", ""]]
)
def test_an_answer_without_a_coding_is_read_as_it_is(headers: list[str]) -> None:
    assert read(reader(headers), [DOCUMENT]) == DOCUMENT


@pytest.mark.parametrize("headers", [["gzip"], [" GZIP "], ["x-gzip"], ["gzip, identity"]])
def test_gzip_is_unpacked(headers: list[str]) -> None:
    assert read(reader(headers), [PACKED]) == DOCUMENT


@pytest.mark.parametrize("length", [1, 7, len(PACKED) - 1])
def test_gzip_may_come_in_parts_of_any_length(length: int) -> None:
    parts = [PACKED[at : at + length] for at in range(0, len(PACKED), length)]
    assert read(Gzip(), parts) == DOCUMENT


def test_no_more_is_unpacked_than_may_be_read() -> None:
    bomb = compress(b" " * 10_000_000)
    assert Gzip().read(bomb, 1000) == b" " * 1000


def test_an_answer_without_a_body_needs_no_end() -> None:
    assert read(Gzip(), []) == b""


def test_gzip_of_nothing_is_nothing() -> None:
    assert read(Gzip(), [compress(b"")]) == b""


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([PACKED[:-1]], "ends too early"),
        ([PACKED[:10]], "ends too early"),
        ([b"\x1f"], "ends too early"),
        ([DOCUMENT], "it is not, or damaged"),
        ([zlib.compress(DOCUMENT)], "it is not, or damaged"),
        ([PACKED[:-8] + bytes(8)], "it is not, or damaged"),
        ([PACKED[:20] + b"\xff" * 20 + PACKED[40:]], "it is not, or damaged"),
        ([PACKED + b"\n"], "something after the end"),
        ([PACKED, b"\n"], "something after the end"),
        ([PACKED + PACKED], "something after the end"),
        ([PACKED, PACKED], "something after the end"),
    ],
)
def test_what_is_no_whole_member_of_gzip_is_refused(parts: list[bytes], why: str) -> None:
    with pytest.raises(SourceFault, match=why):
        read(Gzip(), parts)


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        (["br"], "'br'"),
        (["deflate"], "'deflate'"),
        (["zstd"], "'zstd'"),
        (["gzip, gzip"], "'gzip, gzip'"),
        (["gzip", "gzip"], "'gzip, gzip'"),
        (["deflate, gzip"], "'deflate, gzip'"),
        (["x" * 10_000], f"'{'x' * 40}'"),
        (["\x1b[31m"], r"'\\x1b\[31m'"),
    ],
)
def test_another_coding_is_refused_by_its_name(headers: list[str], named: str) -> None:
    with pytest.raises(SourceFault, match=f"packed as {named}, which was not asked for"):
        reader(headers)


def test_gzip_that_is_called_a_document_is_refused() -> None:
    with pytest.raises(SourceFault, match="packed twice, or its Content-Encoding"):
        refuse_packed(PACKED)
    refuse_packed(DOCUMENT)
    refuse_packed(b"")
