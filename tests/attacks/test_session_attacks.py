"""Session tokens that nobody was given: changed, put together, replayed, or in the wrong place."""

import base64
import json
from dataclasses import replace

import pytest

from sidecar.check.extract import BEARER, CookieSource, Credential, extract
from sidecar.check.refusal import Refusal
from sidecar.jose import jwe
from sidecar.model import Reason
from sidecar.rings.sealing_key import SealingKey
from sidecar.session.cookies import clear_cookie
from tests.attacks.cases import refused_for, with_json
from tests.support.checks import ISSUER, NOW, Service, request, token, token_cookies
from tests.support.sessions import (
    ABSOLUTE,
    IDLE,
    SETTINGS,
    Sessions,
    claims,
    identity,
    sealed,
)
from tests.support.tokens import segment

KEY = SealingKey("the-gateways", bytes(range(32)))
SESSIONS = Sessions(KEY)
VALID = SESSIONS.begin()
HEADER, _, IV, CIPHERTEXT, TAG = VALID.split(".")
OTHER = SESSIONS.begin(identity(subject="mallory")).split(".")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def with_segment(number: int, text: str) -> str:
    parts = VALID.split(".")
    parts[number] = text
    return ".".join(parts)


def with_spare_bit(part: str) -> str:
    """The same bytes under another spelling (RFC 4648 §3.5)."""
    return part[:-1] + ALPHABET[ALPHABET.index(part[-1]) + 1]


def test_the_token_that_is_attacked_here_is_good() -> None:
    assert SESSIONS.opened(VALID).subject == "alice"


@pytest.mark.parametrize(
    "number", [0, 2, 3, 4], ids=["header", "initialisation vector", "ciphertext", "tag"]
)
def test_no_bit_of_a_segment_can_be_changed(number: int) -> None:
    original = decoded(VALID.split(".")[number])
    for bit in range(8 * len(original)):
        changed = bytearray(original)
        changed[bit // 8] ^= 1 << bit % 8

        refusal = SESSIONS.refused(with_segment(number, segment(bytes(changed))))

        assert refusal.reason is Reason.INVALID_SESSION, bit


def test_a_token_cannot_be_cut_short_at_either_end() -> None:
    for length in range(len(VALID)):
        for part in (VALID[:length], VALID[len(VALID) - length :]):
            assert SESSIONS.refused(part).reason is Reason.INVALID_SESSION, part


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *refused_for(
            Reason.INVALID_SESSION,
            {
                "empty": "",
                "one = of padding": VALID + "=",
                "two = of padding": VALID + "==",
                "padding behind the header": with_segment(0, HEADER + "="),
                "spare bit of the tag": with_segment(4, with_spare_bit(TAG)),
                "space in front": " " + VALID,
                "newline behind": VALID + "\n",
                "NUL behind": VALID + "\0",
                "in quotes": f'"{VALID}"',
                "in upper case": VALID.upper(),
                "percent-encoded dots": VALID.replace(".", "%2E"),
                "full-width dots": VALID.replace(".", "\uff0e"),
                "two tokens in one": VALID + VALID,
                "two tokens and a dot": f"{VALID}.{VALID}",
                "two tokens and a comma": f"{VALID},{VALID}",
                "header twice": f"{HEADER}.{VALID}",
                "header doubled": with_segment(0, HEADER * 2),
                "ciphertext doubled": with_segment(3, CIPHERTEXT * 2),
                "an encrypted key": with_segment(1, segment(bytes(32))),
                "vector of 64 bits": with_segment(2, segment(bytes(8))),
                "vector of 128 bits": with_segment(2, segment(bytes(16))),
                "no vector": with_segment(2, ""),
                "tag of 32 bits": with_segment(4, segment(decoded(TAG)[:4])),
                "tag of 120 bits": with_segment(4, segment(decoded(TAG)[:15])),
                "no tag": with_segment(4, ""),
                "tag of zeros": with_segment(4, segment(bytes(16))),
                "no ciphertext": with_segment(3, ""),
                "vector of another token": with_segment(2, OTHER[2]),
                "ciphertext of another token": with_segment(3, OTHER[3]),
                "tag of another token": with_segment(4, OTHER[4]),
                "ciphertext and tag of another": ".".join([HEADER, "", IV, *OTHER[3:]]),
                "JWE as JSON": json.dumps({"ciphertext": CIPHERTEXT, "iv": IV, "tag": TAG}),
                "a request token": token(),
                "a JWS without a signature": f"{segment({'alg': 'none'})}.{segment(claims())}.",
                "claims that nobody sealed": f"{HEADER}..{IV}.{segment(claims())}.{TAG}",
            },
        ),
        *refused_for(
            Reason.TOKEN_TOO_LARGE,
            {
                "more than 4 KiB": "a" * 4097,
                "more than 4 KiB with the cookie's name": "a" * (4097 - len(SETTINGS.cookie)),
                "more than 4 KiB behind a good header": with_segment(3, "A" * 4096),
            },
        ),
    ],
)
def test_a_changed_token_is_refused(text: str, reason: Reason) -> None:
    assert SESSIONS.refused(text).reason is reason


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"alg": None}, id="alg missing"),
        pytest.param({"alg": "none"}, id="alg none"),
        pytest.param({"alg": "DIR"}, id="alg in upper case"),
        pytest.param({"alg": ["dir"]}, id="alg in a list"),
        pytest.param({"alg": "A256GCMKW"}, id="alg that wraps a key"),
        pytest.param(
            {"alg": "PBES2-HS256+A128KW", "p2c": 2**31 - 1}, id="alg that works for hours"
        ),
        pytest.param({"enc": None}, id="enc missing"),
        pytest.param({"enc": "A128GCM"}, id="enc A128GCM"),
        pytest.param({"enc": "A256CBC-HS512"}, id="enc A256CBC-HS512"),
        pytest.param({"enc": "a256gcm"}, id="enc in lower case"),
        pytest.param({"zip": "DEF"}, id="compressed"),
        pytest.param({"zip": ""}, id="zip empty"),
        pytest.param({"crit": []}, id="crit empty"),
        pytest.param({"crit": ["exp"]}, id="crit"),
        pytest.param({"typ": None}, id="typ missing"),
        pytest.param({"typ": "JWT"}, id="typ JWT"),
        pytest.param({"typ": "at+jwt"}, id="typ of a request token"),
        pytest.param({"typ": "login+jwt"}, id="typ of something else that the ring seals"),
        pytest.param({"typ": "Session+JWT"}, id="typ in other case"),
        pytest.param({"typ": "application/session+jwt"}, id="typ with application/"),
        pytest.param({"cty": "JWT"}, id="a JWT inside"),
        pytest.param({"kid": None}, id="kid missing"),
        pytest.param({"kid": 1}, id="kid a number"),
        pytest.param({"kid": [KEY.kid]}, id="kid in a list"),
        pytest.param({"kid": ""}, id="kid empty"),
        pytest.param({"kid": KEY.kid.upper()}, id="kid in other case"),
        pytest.param({"kid": "../../dev/null"}, id="kid a path"),
        pytest.param({"jwk": {"kty": "oct", "k": "AAAA"}}, id="jwk"),
        pytest.param({"jku": "https://evil.test/jwks.json"}, id="jku"),
        pytest.param({"apu": "AAAA"}, id="apu"),
        pytest.param({"exp": int(NOW) + 60}, id="a claim in the header"),
    ],
)
def test_another_header_is_refused_even_under_our_key(header: dict[str, object]) -> None:
    assert SESSIONS.refused(SESSIONS.sealed(header=header)).reason is Reason.INVALID_SESSION


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(json.dumps([claims()]).encode(), id="a list"),
        pytest.param(with_json('"sub":"root"', claims()), id="subject twice"),
        pytest.param(with_json('"\\u0073ub":"root"', claims()), id="subject twice, once escaped"),
        pytest.param(with_json('"exp":1e400', claims()), id="expiry beyond any range"),
        pytest.param(with_json('"a":NaN', claims()), id="NaN"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(claims()).encode(), id="byte order mark"),
        pytest.param(json.dumps(claims()).encode() + b"{}", id="two objects"),
        pytest.param(token().encode(), id="a request token inside"),
        pytest.param(VALID.encode(), id="a session token inside"),
    ],
)
def test_another_payload_is_refused_even_under_our_key(payload: bytes) -> None:
    text = sealed(json.loads(decoded(HEADER)), payload, KEY)

    assert SESSIONS.refused(text).reason is Reason.INVALID_SESSION


def test_a_key_of_our_name_is_not_our_key() -> None:
    theirs = Sessions(SealingKey(KEY.kid, bytes(32)))

    assert SESSIONS.refused(theirs.begin()).reason is Reason.INVALID_SESSION


@pytest.mark.parametrize(
    "kid", ["", "another", KEY.kid + "\0", KEY.kid + " "], ids=["empty", "other", "NUL", "space"]
)
def test_our_key_under_another_name_is_not_our_key(kid: str) -> None:
    theirs = Sessions(SealingKey(kid, KEY.secret))

    assert "unknown" in SESSIONS.refused(theirs.begin()).detail


def test_a_sibling_gateway_that_shares_our_ring_makes_no_sessions_of_ours() -> None:
    sibling = Sessions(KEY, issuer="https://gateway.sibling.test")

    assert sibling.opened(sibling.begin())
    assert SESSIONS.refused(sibling.begin()).detail == "it was made by another gateway"
    assert sibling.refused(VALID).detail == "it was made by another gateway"


def test_a_session_token_is_no_token_of_a_service() -> None:
    assert Service().reason(request(VALID)) is Reason.MALFORMED_TOKEN


# Replayed.


def test_a_stolen_token_is_good_until_it_was_idle_for_too_long() -> None:
    assert SESSIONS.opened(VALID, now=NOW + IDLE - 1)
    assert SESSIONS.refused(VALID, now=NOW + IDLE).reason is Reason.EXPIRED


def test_no_replay_outlives_the_session() -> None:
    text, now = VALID, NOW
    while now + IDLE / 2 < NOW + ABSOLUTE:
        now += IDLE / 2
        later = SESSIONS.tokens.renewed(SESSIONS.opened(text, now=now), now)
        assert later is not None
        text = later.text

    for stolen in (VALID, text):
        for moment in (NOW + ABSOLUTE, NOW + ABSOLUTE + 1, NOW + 10 * ABSOLUTE):
            assert SESSIONS.refused(stolen, now=moment).reason is Reason.EXPIRED


def test_a_token_of_a_revoked_key_is_refused_though_its_time_has_not_come() -> None:
    after = Sessions(SealingKey("the-next", bytes(32)))

    assert after.refused(VALID).reason is Reason.INVALID_SESSION


def test_nothing_is_taken_from_a_token_of_the_future() -> None:
    text = SESSIONS.begin(now=NOW + 3600)

    assert SESSIONS.refused(text).reason is Reason.NOT_YET_VALID


# The cookie.

SOURCE = CookieSource(SETTINGS.cookie)


def found(*lines: str) -> Credential | Refusal | None:
    """The credential in a request with these ``cookie`` lines."""
    headers = tuple(("cookie", line.encode("latin-1")) for line in lines)
    view = request(headers=headers)
    return extract(view, (SOURCE,), token_cookies(view, SOURCE))


@pytest.mark.parametrize(
    "name",
    [
        "__host-session",
        "__HOST-session",
        "__Host-Session",
        "__Host-sessions",
        "__Host-session\0",
        "__Host_session",
        "__Host-session.1",
        "__Host%2Dsession",
        "%5F%5FHost-session",
        "__Secure-session",
        "session",
        '"__Host-session"',
        "$__Host-session",
        "",
    ],
)
def test_another_spelling_of_the_cookies_name_is_another_cookie(name: str) -> None:
    # A sibling domain can set all of these for us; a __Host- cookie it cannot.
    assert found(f"{name}={VALID}") is None
    assert found(f"{name}={VALID}; __Host-session=ours") == Credential(SOURCE, "ours")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([f"__Host-session={VALID}; __Host-session={VALID}"], id="in one line"),
        pytest.param([f"__Host-session={VALID}", f"__Host-session={VALID}"], id="in two lines"),
        pytest.param([f"__Host-session={VALID}; __Host-session=x"], id="one of them nonsense"),
        pytest.param([f"__Host-session={VALID}; __Host-session="], id="one of them empty"),
        # Servers trim names: what one reader takes for another cookie is ours to the next one.
        pytest.param([f"__Host-session={VALID};__Host-session =x"], id="space behind the name"),
        pytest.param([f"__Host-session={VALID};\t__Host-session=x"], id="tab in front"),
    ],
)
def test_two_cookies_are_ambiguous(lines: list[str]) -> None:
    result = found(*lines)

    assert isinstance(result, Refusal)
    assert result.reason is Reason.AMBIGUOUS_REQUEST


def test_a_cookie_and_a_bearer_token_are_ambiguous() -> None:
    view = request(VALID, headers=(("cookie", f"__Host-session={VALID}".encode()),))

    result = extract(view, (BEARER, SOURCE), token_cookies(view, SOURCE))

    assert isinstance(result, Refusal)
    assert result.reason is Reason.AMBIGUOUS_REQUEST


@pytest.mark.parametrize(
    "value", [f'"{VALID}"', f" {VALID}", VALID + "=", VALID.replace(".", "%2E"), '""', "\xff"]
)
def test_a_cookies_value_is_the_token_and_nothing_more(value: str) -> None:
    credential = found(f"__Host-session={value}")

    assert isinstance(credential, Credential)
    assert SESSIONS.refused(credential.text).reason is Reason.INVALID_SESSION


def test_a_cookie_that_was_taken_away_is_no_credential() -> None:
    assert found(clear_cookie(SETTINGS).partition(";")[0]) is None


# Each refusal stands alone: without it, something would get in.


def test_the_header_is_sealed_too() -> None:
    other = replace(KEY, kid="an-alias")
    both = Sessions(other, KEY)
    header = segment({**json.loads(decoded(HEADER)), "kid": other.kid})

    # The same secret under two names: only the tag over the header tells that it was exchanged.
    assert both.opened(VALID)
    assert "it was changed" in both.refused(with_segment(0, header)).detail


def test_the_type_keeps_apart_what_one_ring_seals() -> None:
    payload = json.dumps({**claims(), "iss": ISSUER}).encode()

    assert SESSIONS.opened(jwe.seal(payload, KEY, "session+jwt"))
    assert "not that of a session+jwt" in SESSIONS.refused(jwe.seal(payload, KEY, "a+jwt")).detail
