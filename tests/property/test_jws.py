"""No text makes the parser raise, and whatever it reads has no other spelling."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.check import jws
from sidecar.check.jws import UnverifiedToken
from sidecar.check.refusal import Refusal
from sidecar.jose.strict_json import StrictJsonError, load_object
from tests.support.tokens import segment

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
objects = st.dictionaries(st.text(), json_values, max_size=5)
headers = st.fixed_dictionaries(
    {"alg": st.text() | json_values},
    optional={"kid": st.text() | json_values, "typ": st.text() | json_values, "crit": json_values},
)
segments = (
    st.text(ALPHABET, max_size=12) | headers.map(segment) | st.binary(max_size=30).map(segment)
)
almost_tokens = st.lists(segments, min_size=2, max_size=6).map(".".join)
tokens = st.builds("{}.{}.{}".format, headers.map(segment), objects.map(segment), segments)
near_json = st.text('{}[]",:\\u0d8 \tnaNtrefls-+.eE19', max_size=60).map(str.encode)


@given(st.text() | almost_tokens | tokens)
@example(".." * 5000)
def test_no_text_makes_the_parser_raise(text: str) -> None:
    assert isinstance(jws.parse(text, 8192), UnverifiedToken | Refusal)


@given(tokens)
def test_what_is_read_has_this_one_spelling(text: str) -> None:
    token = jws.parse(text, 8192)

    if isinstance(token, UnverifiedToken):
        assert f"{token.signing_input.decode()}.{segment(token.signature)}" == text
        assert token.signing_input.decode().endswith("." + segment(token.payload))
        assert json.loads(token.payload) == token.claims


@given(st.binary(max_size=60) | near_json | objects.map(json.dumps).map(str.encode))
def test_json_is_read_strictly_or_refused(data: bytes) -> None:
    try:
        value = load_object(data)
    except StrictJsonError:
        return
    # Whatever is read, every reader reads alike, and can be written again.
    assert value == json.loads(data)
    assert load_object(json.dumps(value).encode()) == value
