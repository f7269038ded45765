import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.jose.jwk import thumbprint
from tests.support.checks import verification_keys
from tests.support.tokens import ALGORITHMS, key_for, segment
from tests.support.vectors import THUMBPRINTS, Vector


@pytest.mark.parametrize("vector", THUMBPRINTS, ids=str)
def test_the_thumbprint_is_the_published_one(vector: Vector) -> None:
    (key,) = verification_keys(vector.jwk)

    assert key.thumbprint == vector.thumbprint


def test_the_thumbprint_leaves_out_what_does_not_make_the_key() -> None:
    (one,) = verification_keys(key_for("ES256").jwk())
    (other,) = verification_keys(key_for("ES256").jwk(kid="other", alg=None, use=None))

    assert one.thumbprint == other.thumbprint


def test_every_key_has_a_thumbprint_of_its_own() -> None:
    prints = {verification_keys(key_for(algorithm))[0].thumbprint for algorithm in ALGORITHMS}

    assert len(prints) == len(ALGORITHMS)
    assert {len(base64.urlsafe_b64decode(text + "=")) for text in prints} == {32}


def test_a_coordinate_with_leading_zeros_keeps_its_length() -> None:
    # RFC 7518 §6.2.1.2: a coordinate is as long as the curve's field. This private key is the
    # first whose public x begins with a zero byte.
    public = ec.derive_private_key(379, ec.SECP256R1()).public_key()
    numbers = public.public_numbers()
    x, y = (segment(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    members = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'

    assert numbers.x < 1 << 248
    assert thumbprint(public) == segment(sha256(members.encode()).digest())
