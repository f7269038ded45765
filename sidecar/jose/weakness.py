"""Detects weak public keys, for which an attacker may be able to make signatures. Pure.

Only checks that take microseconds are made, since a set may have 1,000 keys. They do not prove that
a key is strong: a modulus that is easy to factor may pass them.
"""

import math
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sidecar.jose.algorithms import PublicKey

# NIST SP 800-89 §5.3.3: a modulus has no factor below 752.
_FACTORS_BELOW: Final = 752
_SMALL_PRIMES: Final = math.prod(
    number
    for number in range(2, _FACTORS_BELOW)
    if all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
)
# With a larger exponent, verifying takes as long as signing. Common ones are 3, 17 and 65,537.
_EXPONENT_BITS: Final = 32

_P: Final = 2**255 - 19  # RFC 8032 §5.1: the field of the curve
# The y of the eight points whose order divides 8: for such a key, valid signatures can be made
# without a private key. 0 is of order 4, 1 and -1 are of order 1 and 2, the others of order 8.
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})


def weakness(key: PublicKey) -> str | None:
    """Why a key is weak; None if no weakness is found.

    The text continues a sentence whose subject is the key. A NIST curve has no points of small
    order, and ``cryptography`` refuses points that are not on the curve.

    Args:
        key: of an accepted size (``algorithms_for``): a far larger modulus would take long.
    """
    if isinstance(key, RSAPublicKey):
        return _of_rsa(key)
    if isinstance(key, Ed25519PublicKey):
        return _of_ed25519(key.public_bytes_raw())
    return None


def _of_rsa(key: RSAPublicKey) -> str | None:
    numbers = key.public_numbers()
    if numbers.n % 2 == 0:
        return "has an even modulus"
    if math.gcd(numbers.n, _SMALL_PRIMES) != 1:
        return f"has a modulus with a factor below {_FACTORS_BELOW}"
    if numbers.e.bit_length() > _EXPONENT_BITS:
        return f"has an exponent of more than {_EXPONENT_BITS} bits"
    return None


def _of_ed25519(encoded: bytes) -> str | None:
    """RFC 8032 §5.1.3. Bytes that encode no point need no check: no signature is valid for them."""
    number = int.from_bytes(encoded, "little")
    y = number % 2**255  # the highest bit is the sign of x
    if y % _P in _SMALL_ORDER:
        return "is a point of small order"
    return "is a point in an encoding that is not canonical" if y >= _P else None
