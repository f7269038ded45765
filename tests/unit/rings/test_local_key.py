"""Private keys in this process: what they sign is verified by the check itself."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sidecar.errors import SourceFault
from sidecar.jose.jwk import thumbprint
from sidecar.rings.local_key import ALGORITHMS, LocalKey, from_private_jwk
from tests.support.rings import signed_now, verifies
from tests.support.tokens import key_for

PRIVATE = {"d", "p", "q", "dp", "dq", "qi"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_new_key_signs_verifies_with_what_it_publishes(algorithm: str) -> None:
    key = LocalKey.generate(algorithm)

    assert verifies(signed_now(key), {"keys": [dict(key.jwk)]})
    assert not verifies(signed_now(key), {"keys": [LocalKey.generate(algorithm).jwk]})


def test_a_key_in_this_process_signs_at_once_on_any_thread() -> None:
    key = LocalKey.generate("ES256")

    with ThreadPoolExecutor(1) as elsewhere:
        signature = elsewhere.submit(key.sign, b"message").result()
    assert isinstance(signature, bytes)
    assert len(signature) == 64


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_published_half_names_its_use_and_nothing_private(algorithm: str) -> None:
    key = LocalKey.generate(algorithm)

    assert key.jwk["kid"] == key.kid == thumbprint(key.private.public_key())
    assert (key.jwk["alg"], key.jwk["use"]) == (algorithm, "sig")
    assert PRIVATE.isdisjoint(key.jwk)
    assert "key_ops" not in key.jwk


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_survives_being_written_down(algorithm: str) -> None:
    key = LocalKey.generate(algorithm)
    again = from_private_jwk(key.private_jwk())

    assert again == key
    assert verifies(signed_now(again), {"keys": [key.jwk]})


def test_a_key_does_not_show_its_private_half() -> None:
    key = LocalKey.generate("ES256")

    assert key.private_jwk()["d"] not in repr(key)
    assert "private" not in repr(key)


def short_rsa() -> dict[str, Any]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
    return LocalKey.of(private, "RS256").private_jwk()


@pytest.mark.parametrize(
    ("jwk", "words"),
    [
        ({}, "alg is none of ES256, "),
        (key_for("ES256").jwk(), "a public key where a private one is needed"),
        (LocalKey.generate("ES256").private_jwk() | {"alg": "none"}, "alg is none of"),
        (LocalKey.generate("ES256").private_jwk() | {"alg": ["ES256"]}, "alg is none of"),
        (
            LocalKey.generate("ES256").private_jwk() | {"alg": "ES384"},
            "does not fit its alg, ES384",
        ),
        (LocalKey.generate("ES256").private_jwk() | {"alg": "RS256"}, "cannot be read"),
        (LocalKey.generate("ES256").private_jwk() | {"kid": "mine"}, "kid is not its thumbprint"),
        (LocalKey.generate("ES256").private_jwk() | {"d": "!"}, "cannot be read"),
        (LocalKey.generate("ES256").private_jwk() | {"d": 7}, "cannot be read"),
        (LocalKey.generate("ES256").private_jwk() | {"x": key_for("ES256").jwk()["x"]}, "cannot"),
        (short_rsa(), "does not fit its alg, RS256"),
    ],
)
def test_what_is_no_usable_private_key_is_refused(jwk: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceFault, match=words):
        from_private_jwk(jwk)


def test_no_kid_looks_like_an_option_of_a_command() -> None:
    kids = [LocalKey.generate("Ed25519").kid for _ in range(500)]

    assert not [kid for kid in kids if kid.startswith("-")]
