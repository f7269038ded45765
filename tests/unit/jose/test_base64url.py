import pytest

from sidecar.jose.base64url import decode, encode


@pytest.mark.parametrize(
    ("data", "text"),
    # RFC 4648 §10, and the two characters in which base64url differs from base64 (§5).
    [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"\xfb\xff", "-_8")],
)
def test_bytes_have_one_spelling(data: bytes, text: str) -> None:
    assert encode(data) == text
    assert decode(text) == data


@pytest.mark.parametrize("text", ["Z", "Zh", "Zm9", "Zm9vZ", "Zm9vZh"])
def test_another_spelling_is_refused(text: str) -> None:
    assert decode(text) is None
