"""HTTP/2 as it goes over the wire: frames (RFC 9113) and header blocks (RFC 7541).

For clients that send what a well-behaved library would not. No string is Huffman-coded.
"""

import struct
from collections.abc import Iterable
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Types of frames, and their flags.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *(0, 1, 2, 3),
    *(4, 6, 7, 8, 9),
)
END_STREAM, ACK, END_HEADERS = 1, 1, 4

HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4  # settings
LARGEST_WINDOW: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65_535
CANCEL: Final = 8  # an error code

Fields = Iterable[tuple[str, str]]

_LARGEST_FRAME: Final = 16_384
_STATIC_ENTRIES: Final = 61
_DEFAULT_TABLE: Final = 4096
_ENTRY_OVERHEAD: Final = 32


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113 §4.1)."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def request(stream: int, head: bytes) -> bytes:
    """A request without a body, in as many frames as its header block needs (RFC 9113 §6.10)."""
    first, rest = head[:_LARGEST_FRAME], head[_LARGEST_FRAME:]
    frames = frame(HEADERS, END_STREAM if rest else END_STREAM | END_HEADERS, stream, first)
    while rest:
        part, rest = rest[:_LARGEST_FRAME], rest[_LARGEST_FRAME:]
        frames += frame(CONTINUATION, 0 if rest else END_HEADERS, stream, part)
    return frames


def setting(identifier: int, value: int) -> bytes:
    """One setting, for the payload of a SETTINGS frame (RFC 9113 §6.5.1)."""
    return struct.pack(">HI", identifier, value)


def block(fields: Fields) -> bytes:
    """Each field as a literal that is not indexed (RFC 7541 §6.2.2)."""
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in fields)


class Encoder:
    """Writes fields once and refers to them from then on: a byte for each repetition.

    It fills the dynamic table of its connection up to the size that every decoder begins with, and
    evicts nothing from it.
    """

    def __init__(self) -> None:
        self._inserted: dict[tuple[str, str], int] = {}
        self._room = _DEFAULT_TABLE

    def indexed(self, fields: Fields) -> bytes:
        """Fields that were sent before, or will be again (RFC 7541 §6.1, §6.2.1)."""
        return b"".join(map(self._field, fields))

    def _field(self, field: tuple[str, str]) -> bytes:
        name, value = field
        inserted = self._inserted.get(field)
        if inserted is not None:
            age = len(self._inserted) - inserted
            return _integer(_STATIC_ENTRIES + age, bits=7, pattern=0x80)
        size = len(name) + len(value) + _ENTRY_OVERHEAD
        if size > self._room:
            return block([field])
        self._room -= size
        self._inserted[field] = len(self._inserted)
        return b"\x40" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    data = text.encode()
    return _integer(len(data), bits=7) + data


def _integer(value: int, *, bits: int, pattern: int = 0) -> bytes:
    """A number in a prefix of so many bits, and in further bytes if need be (RFC 7541 §5.1)."""
    limit = 2**bits - 1
    if value < limit:
        return bytes([pattern | value])
    encoded, rest = bytes([pattern | limit]), value - limit
    while rest >= 128:
        encoded += bytes([rest % 128 + 128])
        rest //= 128
    return encoded + bytes([rest])


# RFC 7541 appendices A and B: statuses that have an index, and digits as Huffman codes.
_INDEXED_STATUSES: Final = {
    bytes([0x88 + index]): status
    for index, status in enumerate((200, 204, 206, 304, 400, 404, 500))
}
_DIGITS: Final = (
    *("00000", "00001", "00010", "011001", "011010"),
    *("011011", "011100", "011101", "011110", "011111"),
)


def _huffman(number: int) -> bytes:
    bits = "".join(_DIGITS[int(digit)] for digit in str(number))
    padded = bits + "1" * (-len(bits) % 8)
    return int(padded, 2).to_bytes(len(padded) // 8)


_STATUSES: Final = {b"\x03%d" % status: status for status in range(100, 600)} | {
    bytes([0x80 | len(coded)]) + coded: status
    for status in range(100, 600)
    for coded in [_huffman(status)]
}
_SIZE_UPDATE: Final = b"\x20"  # to 0 (RFC 7541 §6.3)


def status(head: bytes) -> int:
    """The status that a response's header block begins with.

    Only for connections whose HEADER_TABLE_SIZE is 0: nothing then refers to an earlier response.
    """
    head = head.removeprefix(_SIZE_UPDATE)
    indexed = _INDEXED_STATUSES.get(head[:1])
    if indexed is not None:
        return indexed
    # A literal whose name is the one of index 8; 0x40 would insert it into a table of no size.
    assert head[0] & 0x0F == 8, head[:8]
    text = head[1 : 2 + (head[1] & 0x7F)]
    return _STATUSES[text]
