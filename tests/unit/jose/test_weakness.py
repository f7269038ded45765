"""Keys that are weak in themselves, and that none of them is used wherever keys are read."""

import base64
import json
from collections.abc import Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.clients.vault.transit import TransitKey, verification_keys
from sidecar.errors import SourceFault
from sidecar.jose.algorithms import PublicKey, verify
from sidecar.jose.jwk import members
from sidecar.jose.key_documents import parse
from sidecar.jose.weakness import weakness
from tests.support.tokens import ALGORITHMS, Json, key_for, segment

GOOD = key_for("ES256")
P = 2**255 - 19
ORDER_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03"
NEGATED = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc"
# All encodings of the eight points whose order divides 8, canonical or not.
SMALL_ORDER = {
    "1": "01" + "00" * 31,
    "1 with a sign": "01" + "00" * 30 + "80",
    "-1": "ec" + "ff" * 30 + "7f",
    "-1 with a sign": "ec" + "ff" * 31,
    "0": "00" * 32,
    "0 with a sign": "00" * 31 + "80",
    "order 8": ORDER_8 + "7a",
    "order 8 with a sign": ORDER_8 + "fa",
    "order 8, negated": NEGATED + "05",
    "order 8, negated, with a sign": NEGATED + "85",
    "0 as p": "ed" + "ff" * 30 + "7f",
    "0 as p with a sign": "ed" + "ff" * 31,
    "1 as p + 1": "ee" + "ff" * 30 + "7f",
    "1 as p + 1 with a sign": "ee" + "ff" * 31,
}
# y = 3 is that of a point of the curve (RFC 8032 §5.1.3), and p + 3 the same number.
NOT_CANONICAL = (P + 3).to_bytes(32, "little").hex()


def ed25519(encoded: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(encoded))


def modulus() -> int:
    public = key_for("RS256").private.public_key()
    assert isinstance(public, RSAPublicKey)
    return public.public_numbers().n


def rsa(n: int, e: int = 65537) -> RSAPublicKey:
    return RSAPublicNumbers(e, n).public_key()


WEAK: dict[str, tuple[Callable[[], PublicKey], str]] = {
    "even modulus": (lambda: rsa(modulus() - 1), "has an even modulus"),
    "modulus divisible by 3": (
        lambda: rsa((modulus() // 3 | 1) * 3),
        "has a modulus with a factor below 752",
    ),
    "modulus divisible by 751": (
        lambda: rsa((modulus() // 751 | 1) * 751),
        "has a modulus with a factor below 752",
    ),
    "exponent of 33 bits": (
        lambda: rsa(modulus(), 2**32 + 1),
        "has an exponent of more than 32 bits",
    ),
    "exponent as long as the modulus": (
        lambda: rsa(modulus(), modulus() - 2),
        "has an exponent of more than 32 bits",
    ),
    "not canonical": (
        lambda: ed25519(NOT_CANONICAL),
        "is a point in an encoding that is not canonical",
    ),
    **{
        f"small order: {name}": (partial(ed25519, encoded), "is a point of small order")
        for name, encoded in SMALL_ORDER.items()
    },
}


def jwk(key: PublicKey, **others: str) -> Json:
    return {**members(key), **others}


def pem(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("name", WEAK)
def test_a_weak_key_is_found(name: str) -> None:
    make, cause = WEAK[name]
    assert weakness(make()) == cause


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_as_it_should_be_is_not_weak(algorithm: str) -> None:
    assert weakness(key_for(algorithm).private.public_key()) is None


@pytest.mark.parametrize("exponent", [3, 17, 65537, 2**32 - 1])
def test_exponents_in_use_are_accepted(exponent: int) -> None:
    assert weakness(rsa(modulus(), exponent)) is None


def test_with_a_point_of_small_order_anybody_signs() -> None:
    """Why such a key is refused: R is the neutral element and S is 0."""
    forged = bytes.fromhex(SMALL_ORDER["1"]) + bytes(32)

    assert verify("EdDSA", ed25519(SMALL_ORDER["1"]), b"any message", forged)


@pytest.mark.parametrize("name", WEAK)
def test_a_set_is_read_without_its_weak_key_and_the_cause_is_told(name: str) -> None:
    make, cause = WEAK[name]
    document = json.dumps({"keys": [jwk(make(), kid="weak"), GOOD.jwk()]}).encode()

    keys, left_out = parse(document)

    assert [key.kid for key in keys] == [GOOD.kid]
    assert left_out == (f"the key 'weak' {cause}",)


@pytest.mark.parametrize("name", ["even modulus", "small order: 1"])
def test_a_weak_key_in_pem_is_left_out_too(name: str) -> None:
    make, cause = WEAK[name]

    keys, left_out = parse(pem(GOOD.private.public_key()) + pem(make()))

    assert [key.algorithms for key in keys] == [{"ES256"}]
    assert left_out == (f"PEM block 2 {cause}",)


def test_a_set_of_weak_keys_alone_cannot_be_used_and_says_why() -> None:
    document = json.dumps({"keys": [jwk(ed25519(SMALL_ORDER["0"]))]}).encode()

    with pytest.raises(SourceFault, match=r"no usable public key.*a kid is a point of small order"):
        parse(document)


def test_a_weak_version_of_a_transit_key_is_refused() -> None:
    raw = base64.b64encode(bytes.fromhex(SMALL_ORDER["1"])).decode()

    with pytest.raises(SourceFault, match="shows a public key that is a point of small order"):
        verification_keys(TransitKey("ed25519", 1, {1: raw}, {}))


def test_a_point_that_is_not_on_its_nist_curve_is_left_out() -> None:
    off = {**GOOD.jwk(kid="off"), "y": segment(b"\1" * 32)}

    keys, left_out = parse(json.dumps({"keys": [off, GOOD.jwk()]}).encode())

    assert [key.kid for key in keys] == [GOOD.kid]
    assert left_out == ("the key 'off' cannot be read as one of type EC",)
