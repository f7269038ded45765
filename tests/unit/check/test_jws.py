import pytest

from sidecar.check import jws
from sidecar.check.jws import JoseHeader, UnverifiedToken
from sidecar.check.refusal import Refusal
from sidecar.jose import algorithms
from sidecar.model import Reason
from tests.support.checks import verification_keys
from tests.support.tokens import ALGORITHMS, compact, key_for, resigned, segment, sign

KEY = key_for("ES256")
HEADER = segment({"alg": "ES256"})
EMPTY = segment({})


def parsed(token: str) -> UnverifiedToken:
    result = jws.parse(token, 8192)
    assert isinstance(result, UnverifiedToken), result
    return result


def refused(token: str) -> Refusal:
    result = jws.parse(token, 8192)
    assert isinstance(result, Refusal)
    return result


def test_a_token_is_read_without_being_believed() -> None:
    token = parsed(sign(b'{"sub": "alice"}', KEY))

    assert token.header == JoseHeader("ES256", KEY.kid, "at+jwt")
    assert token.claims == {"sub": "alice"}
    assert token.payload == b'{"sub": "alice"}'
    assert len(token.signature) == 64


def test_kid_and_typ_may_be_missing() -> None:
    token = parsed(sign({}, KEY, kid=None, typ=None))

    assert token.header == JoseHeader("ES256", None, None)


@pytest.mark.parametrize(
    ("typ", "compared"),
    [
        ("at+jwt", "at+jwt"),
        ("AT+JWT", "at+jwt"),
        ("application/at+jwt", "at+jwt"),
        ("Application/At+Jwt", "at+jwt"),
        ("application/application/at+jwt", "application/at+jwt"),
        ("text/at+jwt", "text/at+jwt"),
        ("", ""),
    ],
)
def test_types_are_compared_as_media_types(typ: str, compared: str) -> None:
    assert parsed(sign({}, KEY, typ=typ)).header.type == compared


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("..", id="three empty segments"),
        pytest.param(f"{HEADER}.{EMPTY}.", id="no signature"),
        pytest.param(f"{HEADER}..AA", id="no payload"),
        pytest.param(f".{EMPTY}.AA", id="no header"),
        pytest.param(f"{HEADER}.{EMPTY}", id="two segments"),
        pytest.param(f"{HEADER}.{EMPTY}.AA.AA", id="four segments"),
        pytest.param(f"{HEADER}.{EMPTY}.A+", id="base64, not base64url"),
        pytest.param(f"{HEADER}.{EMPTY}.AA\n", id="newline at the end"),
        pytest.param(f"{HEADER}.{EMPTY}.\u0661\u0661", id="digits that are not ASCII"),
    ],
)
def test_a_token_is_three_base64url_segments(token: str) -> None:
    refusal = refused(token)

    assert refusal.reason is Reason.MALFORMED_TOKEN
    assert "three base64url segments" in refusal.detail


@pytest.mark.parametrize(
    "last", ["A", "AB", "AAB", "AAAAA", "AAAAAB"], ids=lambda last: f"ending in {last}"
)
def test_a_segment_has_one_spelling(last: str) -> None:
    assert "not canonical base64url" in refused(f"{HEADER}.{EMPTY}.{last}").detail


@pytest.mark.parametrize("last", ["AA", "AQ", "Ag", "Aw", "AAA", "AAE", "AA8", "AAAA", "____"])
def test_every_canonical_ending_is_read(last: str) -> None:
    assert segment(parsed(f"{HEADER}.{EMPTY}.{last}").signature) == last


@pytest.mark.parametrize(
    "token",
    [
        f"{HEADER}=.{EMPTY}.AA",
        f"{HEADER}.{EMPTY}==.AA",
        f"{HEADER}.{EMPTY}.AA==",
        f"{HEADER}==.{EMPTY}==.AA==",
    ],
)
def test_padding_is_told_as_what_it_is(token: str) -> None:
    # As load balancers of AWS sign what they know of a user.
    refusal = refused(token)

    assert refusal.reason is Reason.MALFORMED_TOKEN
    assert "keep their = padding" in refusal.detail


@pytest.mark.parametrize("token", ["=", "==.=.=", f"{HEADER}.{EMPTY}=", f"{HEADER}.{EMPTY}.A+="])
def test_padding_is_not_all_that_is_wrong(token: str) -> None:
    assert "three base64url segments" in refused(token).detail


def test_an_encrypted_token_is_told_apart() -> None:
    assert "encrypted (JWE)" in refused(f"{HEADER}..AA.AA.AA").detail


def test_a_token_is_measured_before_it_is_decoded() -> None:
    token = sign({}, KEY)

    assert isinstance(jws.parse(token, len(token)), UnverifiedToken)
    refusal = jws.parse(token, len(token) - 1)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_TOO_LARGE


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"[]", "its header is not a JSON object"),
        (b'{"alg": "ES256", "alg": "ES256"}', "its header holds a name twice"),
        (b"{}", "its header has no algorithm"),
        (b'{"alg": null}', "its header has no algorithm"),
        (b'{"alg": ["ES256"]}', "its header has no algorithm"),
        (b'{"alg": "ES256", "kid": 7}', "its key id is not a string"),
        (b'{"alg": "ES256", "kid": null}', "its key id is not a string"),
        (b'{"alg": "ES256", "typ": null}', "its type is not an ASCII string"),
        ('{"alg": "ES256", "typ": "wor\u212aflow+jwt"}'.encode(), "not an ASCII string"),
    ],
)
def test_a_header_that_is_not_well_formed_is_refused(header: bytes, problem: str) -> None:
    assert problem in refused(compact(header, {}, KEY)).detail


def test_a_payload_is_an_object() -> None:
    assert "its payload is not a JSON object" in refused(sign(b'"text"', KEY)).detail


@pytest.mark.parametrize("crit", [[], ["exp"], ["b64"], "exp", None])
def test_nothing_critical_is_understood(crit: object) -> None:
    refusal = refused(compact({"alg": "ES256", "crit": crit}, {}, KEY))

    assert refusal.reason is Reason.UNSUPPORTED_CRITICAL_HEADER


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_of_every_algorithm_holds_and_only_for_what_was_signed(algorithm: str) -> None:
    key = key_for(algorithm)
    (public,) = verification_keys(key)
    good = sign({"sub": "alice"}, key)
    header, _, of_good = good.split(".")

    def holds(token: str) -> bool:
        read = parsed(token)
        message, signed = read.signing_input, read.signature
        return algorithms.verify(algorithm, public.public_key, message, signed)

    assert holds(good)
    assert not holds(f"{header}.{segment({'sub': 'bob'})}.{of_good}")
    assert not holds(resigned(good, b"\x01" * 64))
