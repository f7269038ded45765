"""base64url as JOSE uses it: without padding, one encoding for the same bytes (RFC 7515 §2)."""

import base64
import binascii
from typing import Final

# In the last character of a group of two or three, the bits that carry no data must be zero
# (RFC 4648 §3.5); otherwise two texts would be one token.
_LAST_OF_TWO: Final = frozenset("AQgw")
_LAST_OF_THREE: Final = frozenset("AEIMQUYcgkosw048")


def decode(segment: str) -> bytes | None:
    """The bytes of a segment, or None where it is not canonical.

    Args:
        segment: only characters of the alphabet; the caller has checked this.
    """
    rest = len(segment) % 4
    if (
        rest == 1
        or (rest == 2 and segment[-1] not in _LAST_OF_TWO)
        or (rest == 3 and segment[-1] not in _LAST_OF_THREE)
    ):
        return None
    standard = segment.replace("-", "+").replace("_", "/") + "=" * (-len(segment) % 4)
    return binascii.a2b_base64(standard)


def encode(data: bytes) -> str:
    """The canonical encoding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
