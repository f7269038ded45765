import pytest

from sidecar.check import jws
from sidecar.jose.compact import compact, signing_input
from sidecar.rings.local_key import ALGORITHMS, LocalKey
from tests.support.checks import signed_with, verification_keys
from tests.support.minting import claims_of, read


def token(key: LocalKey, **claims: object) -> str:
    message = signing_input(claims, key.kid, key.algorithm, "at+jwt")
    signature = key.sign(message)
    assert isinstance(signature, bytes)
    return compact(message, signature)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_verifier_reads_what_was_signed(algorithm: str) -> None:
    key = LocalKey.generate(algorithm)

    text = token(key, sub="Zoë", nested={"a": [1, 2.5, None]})

    assert claims_of(text) == {"sub": "Zoë", "nested": {"a": [1, 2.5, None]}}
    assert signed_with(verification_keys(dict(key.jwk))[0], text)


def test_the_header_names_the_key_the_algorithm_and_the_type() -> None:
    key = LocalKey.generate("ES256")

    header = read(token(key)).header

    assert header == jws.JoseHeader("ES256", key.kid, "at+jwt")
