"""No document makes the key reader raise anything but a fault that says what is wrong."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import SourceFault
from sidecar.jose.algorithms import algorithms_for
from sidecar.jose.key_documents import parse
from tests.property.test_jws import json_values
from tests.support.tokens import key_for

MEMBERS = ["kty", "kid", "alg", "use", "key_ops", "crv", "x", "y", "n", "e"]

# A good key in which members are exchanged for others, or for nonsense.
jwks = st.tuples(
    st.sampled_from([key_for(name).jwk() for name in ("ES256", "ES512", "RS256", "EdDSA")]),
    st.dictionaries(
        st.sampled_from(MEMBERS),
        json_values | st.sampled_from(["RSA", "EC", "OKP", "P-256", "P-521", "Ed25519", "AQAB"]),
        max_size=3,
    ),
).map(lambda parts: {**parts[0], **parts[1]})
documents = st.lists(jwks | json_values, max_size=3).map(
    lambda keys: json.dumps({"keys": keys}).encode()
)
pems = st.binary(max_size=40).map(lambda data: b"-----BEGIN PUBLIC KEY-----\n" + data) | st.binary(
    max_size=40
).map(lambda data: b"-----BEGIN PUBLIC KEY-----\n" + data + b"\n-----END PUBLIC KEY-----")


@given(documents | pems | st.binary(max_size=60))
def test_a_document_is_read_or_refused(document: bytes) -> None:
    try:
        keys = parse(document).keys
    except SourceFault:
        return
    assert keys
    for key in keys:
        assert key.algorithms
        assert key.algorithms <= algorithms_for(key.public_key)
