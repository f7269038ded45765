"""The examples that the RFCs publish. Most of their payloads are no claims, so that the signature
function is asked directly; a whole check would refuse them before.
"""

import base64

import pytest

from sidecar.check import jws
from sidecar.check.jws import UnverifiedToken
from sidecar.check.refusal import Refusal
from sidecar.jose import algorithms
from sidecar.jose.algorithms import SUPPORTED_ALGORITHMS
from sidecar.model import Reason
from tests.support.checks import verification_keys
from tests.support.vectors import NOT_FOR_US, SIGNED, Vector


def signed(vector: Vector) -> tuple[bytes, bytes]:
    """The signing input and the signature."""
    message, _, encoded = vector.compact.rpartition(".")
    return message.encode(), base64.urlsafe_b64decode(encoded + "==")


@pytest.mark.parametrize("vector", SIGNED, ids=str)
def test_a_published_signature_holds(vector: Vector) -> None:
    (key,) = verification_keys(vector.jwk)

    assert vector.algorithm in key.algorithms
    assert algorithms.verify(vector.algorithm, key.public_key, *signed(vector))


@pytest.mark.parametrize("vector", SIGNED, ids=str)
def test_a_published_signature_holds_for_nothing_else(vector: Vector) -> None:
    (key,) = verification_keys(vector.jwk)
    message, published = signed(vector)
    altered = message[:-1] + b"-"

    assert altered != message
    assert not algorithms.verify(vector.algorithm, key.public_key, altered, published)


def test_the_examples_whose_payload_is_claims_are_read() -> None:
    readable = [
        vector for vector in SIGNED if not isinstance(jws.parse(vector.compact, 8192), Refusal)
    ]

    assert [str(vector) for vector in readable] == ["rfc7515 A.2 RS256", "rfc7515 A.3 ES256"]


@pytest.mark.parametrize("vector", NOT_FOR_US, ids=str)
def test_the_examples_with_hmac_and_without_signature_are_never_accepted(vector: Vector) -> None:
    token = jws.parse(vector.compact, 8192)

    # Without a signature, or with a payload that is not claims, it is not even read.
    assert vector.algorithm not in SUPPORTED_ALGORITHMS
    assert isinstance(token, UnverifiedToken) or token.reason is Reason.MALFORMED_TOKEN
