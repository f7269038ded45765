import json

import pytest
from joserfc import jwe as other
from joserfc.jwk import OctKey

from sidecar.jose import jwe
from sidecar.jose.jwe import JweError, Sealed
from sidecar.rings.sealing_key import SealingKey
from tests.support.sessions import sealed
from tests.support.tokens import segment

KEY = SealingKey("first", bytes(range(32)))
TYPE = "session+jwt"
HEADER = {"alg": "dir", "enc": "A256GCM", "kid": "first", "typ": TYPE}
PAYLOAD = b'{"sub": "alice"}'
ENCODED, _, IV, CIPHERTEXT, TAG = jwe.seal(PAYLOAD, KEY, TYPE).split(".")


def parsed(text: str) -> Sealed:
    return jwe.parse(text, TYPE)


def refused(text: str) -> str:
    """Why it cannot be taken apart."""
    with pytest.raises(JweError) as refusal:
        jwe.parse(text, TYPE)
    return str(refusal.value)


def test_what_a_key_sealed_it_opens() -> None:
    token = parsed(jwe.seal(PAYLOAD, KEY, TYPE))

    assert token.kid == "first"
    assert jwe.unseal(token, KEY) == PAYLOAD


def test_a_token_is_a_compact_jwe_without_an_encrypted_key() -> None:
    token = jwe.seal(PAYLOAD, KEY, TYPE)
    header, encrypted_key, iv, ciphertext, tag = token.split(".")

    assert header == segment(json.dumps(HEADER, separators=(",", ":")).encode())
    assert encrypted_key == ""
    assert (len(iv), len(ciphertext), len(tag)) == (16, len(segment(PAYLOAD)), 22)


def test_the_payload_cannot_be_read_in_the_token() -> None:
    assert segment(PAYLOAD) not in jwe.seal(PAYLOAD, KEY, TYPE)


def test_no_initialisation_vector_is_used_twice() -> None:
    vectors = {jwe.seal(PAYLOAD, KEY, TYPE).split(".")[2] for _ in range(1000)}

    assert len(vectors) == 1000


def test_another_key_of_the_same_name_does_not_open_it() -> None:
    token = parsed(jwe.seal(PAYLOAD, KEY, TYPE))

    with pytest.raises(JweError, match="it was changed, or sealed with another key of this id"):
        jwe.unseal(token, SealingKey("first", bytes(32)))


def test_joserfc_opens_what_we_seal() -> None:
    token = other.decrypt_compact(jwe.seal(PAYLOAD, KEY, TYPE), OctKey.import_key(KEY.secret))

    assert token.plaintext == PAYLOAD
    assert token.protected == HEADER


def test_we_open_what_joserfc_seals() -> None:
    text = other.encrypt_compact(HEADER, PAYLOAD, OctKey.import_key(KEY.secret))

    assert jwe.unseal(parsed(text), KEY) == PAYLOAD


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("....", id="five empty segments"),
        pytest.param(f"{ENCODED}.{IV}.{CIPHERTEXT}.{TAG}", id="four segments"),
        pytest.param(f"{ENCODED}..{IV}.{CIPHERTEXT}.{TAG}.", id="six segments"),
        pytest.param(f"..{IV}.{CIPHERTEXT}.{TAG}", id="no header"),
        pytest.param(f"{ENCODED}.AAAA.{IV}.{CIPHERTEXT}.{TAG}", id="an encrypted key"),
        pytest.param(f"{ENCODED}..{IV[:-1]}.{CIPHERTEXT}.{TAG}", id="95 bits of vector"),
        pytest.param(f"{ENCODED}..{IV}AAAA.{CIPHERTEXT}.{TAG}", id="120 bits of vector"),
        pytest.param(f"{ENCODED}..{IV}..{TAG}", id="no ciphertext"),
        pytest.param(f"{ENCODED}..{IV}.{CIPHERTEXT}.{TAG[:16]}", id="96 bits of tag"),
        pytest.param(f"{ENCODED}..{IV}.{CIPHERTEXT}.{TAG}AA", id="more than 128 bits of tag"),
        pytest.param(f"{ENCODED}..{IV}.{CIPHERTEXT}.{TAG}==", id="padding"),
        pytest.param(f"{ENCODED}..{IV}.{CIPHERTEXT}.{TAG}\n", id="newline at the end"),
        pytest.param(f"{ENCODED}..{IV[:-1]}+.{CIPHERTEXT}.{TAG}", id="base64, not base64url"),
        pytest.param(f"{ENCODED}..{IV[:-1]}\u0661.{CIPHERTEXT}.{TAG}", id="not ASCII"),
    ],
)
def test_a_token_is_five_segments_of_which_three_have_their_length(text: str) -> None:
    assert "five base64url segments" in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{ENCODED[:-1]}..{IV}.{CIPHERTEXT}.{TAG}", id="header"),
        pytest.param(f"{ENCODED}..{IV}.{CIPHERTEXT[:-2]}B.{TAG}", id="ciphertext"),
        pytest.param(f"{ENCODED}..{IV}.{CIPHERTEXT}.{TAG[:-1]}B", id="tag"),
    ],
)
def test_a_segment_has_one_spelling(text: str) -> None:
    assert "not canonical base64url" in refused(text)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        pytest.param(b"[]", "its header is not a JSON object", id="a list"),
        pytest.param(b"\xff", "its header is not UTF-8 JSON", id="no JSON"),
        pytest.param(
            b'{"alg":"dir","alg":"dir","enc":"A256GCM","kid":"first","typ":"session+jwt"}',
            "its header holds a name twice",
            id="alg twice",
        ),
        pytest.param(json.dumps({**HEADER, "kid": 1}).encode(), "not that of", id="kid is no text"),
        pytest.param(b"{}", "its header is not that of a session+jwt", id="nothing in it"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(header: bytes, problem: str) -> None:
    assert problem in refused(sealed(header, PAYLOAD, KEY))


def test_the_order_of_the_headers_members_does_not_matter() -> None:
    header = dict(reversed(HEADER.items()))

    assert jwe.unseal(parsed(sealed(header, PAYLOAD, KEY)), KEY) == PAYLOAD
