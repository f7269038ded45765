"""Header blocks as the RFC's own examples have them, and as Envoy writes statuses."""

import pytest

from tests.support.http2_frames import Encoder, block, request, status


def test_a_field_is_a_byte_from_its_second_time_on() -> None:
    encoder = Encoder()
    custom = ("custom-key", "custom-header")

    # RFC 7541 §C.2.1
    assert encoder.indexed([custom]).hex() == "400a637573746f6d2d6b65790d637573746f6d2d686561646572"
    assert encoder.indexed([custom, custom]) == bytes([0x80 | 62, 0x80 | 62])

    encoder.indexed([("another", "field")])
    assert encoder.indexed([custom]) == bytes([0x80 | 63])


def test_a_field_for_which_the_table_has_no_room_is_a_literal() -> None:
    encoder = Encoder()
    large = ("a", "a" * 4096)

    assert encoder.indexed([large]) == encoder.indexed([large]) == block([large])


def test_a_long_string_has_its_length_in_several_bytes() -> None:
    # RFC 7541 §C.1.2: 1337, in a prefix of 7 bits here
    assert block([("", "a" * 1337)])[:5].hex() == "00007fba09"


def test_a_request_that_is_too_large_for_a_frame_has_several() -> None:
    frames = request(1, b"a" * 40_000)

    assert frames[:9].hex() == "004000010100000001"  # HEADERS, END_STREAM
    assert frames[9 + 16_384 :][:9].hex() == "004000090000000001"  # CONTINUATION
    assert frames[2 * (9 + 16_384) :][:9].hex() == "001c40090400000001"  # END_HEADERS


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param("88", 200, id="indexed"),
        pytest.param("208c", 400, id="after a change of the table's size"),
        pytest.param("0803343239", 429, id="a literal"),
        # RFC 7541 §C.6.1
        pytest.param("48826402", 302, id="Huffman-coded"),
    ],
)
def test_a_status_is_read(head: str, expected: int) -> None:
    assert status(bytes.fromhex(head)) == expected
