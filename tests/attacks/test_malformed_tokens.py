"""Tokens signed by the issuer's own key and written in a way that some parsers read otherwise."""

import json

import pytest

from sidecar.model import Reason
from tests.attacks.cases import CLAIMS, HEADER, KEY, issued, refused_for, with_json
from tests.support.checks import Service, request, token
from tests.support.tokens import segment, sign

VALID = token()
PLAIN = json.dumps(CLAIMS).encode()


def unused_bits_set(text: str) -> str:
    """The same signature bytes under another spelling (RFC 4648 §3.5)."""
    return text[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[text[-1]]


def bomb(opening: bytes, closing: bytes, depth: int = 700) -> bytes:
    return b'{"a":' + opening * depth + b"1" + closing * depth + b"}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *refused_for(
            Reason.MALFORMED_TOKEN,
            {
                "empty": "",
                "one = of padding": VALID + "=",
                "two = of padding": VALID + "==",
                "padding inside": VALID.replace(".", "=.", 1),
                "unused bits set": unused_bits_set(VALID),
                "base64 instead of base64url": VALID.rpartition(".")[0] + ".ab+/",
                "space behind": VALID + " ",
                "tab in front": "\t" + VALID,
                "newline behind": VALID + "\n",
                "newline inside": VALID.replace(".", "\n.", 1),
                "NUL behind": VALID + "\0",
                "percent-encoded dots": VALID.replace(".", "%2E"),
                "full-width dots": VALID.replace(".", "\uff0e"),
                "in quotes": f'"{VALID}"',
                "two segments": VALID.rpartition(".")[0],
                "four segments": VALID + ".AA",
                "JWE: five segments": VALID + ".AA.AA",
                "JWE: no encrypted key": f"{segment({'alg': 'dir'})}..AA.AA.AA",
                "JWS as JSON": json.dumps({"payload": segment(CLAIMS)}),
                "a token inside a token": issued(payload=VALID.encode()),
            },
        ),
        *refused_for(Reason.TOKEN_TOO_LARGE, {"more than 8 KiB": "a" * 8193}),
        *refused_for(Reason.AMBIGUOUS_REQUEST, {"two tokens and a comma": f"{VALID},{VALID}"}),
    ],
)
def test_another_serialisation_is_refused(text: str, reason: Reason) -> None:
    assert Service().reason(request(text)) is reason


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(with_json('"iss":"https://evil.test"'), id="issuer twice"),
        pytest.param(with_json('"exp":9999999999'), id="expiry twice"),
        pytest.param(with_json('"\\u0073ub":"root"'), id="subject twice, once escaped"),
        pytest.param(with_json('"a":{"b":1,"b":2}'), id="a nested name twice"),
        pytest.param(with_json('"a":NaN'), id="NaN"),
        pytest.param(with_json('"a":-Infinity'), id="infinity"),
        pytest.param(with_json('"a":1e400'), id="1e400"),
        pytest.param(with_json('"a":' + "9" * 5000), id="integer of 5,000 digits"),
        pytest.param(with_json('"a":"\\ud800"'), id="lone surrogate"),
        pytest.param(with_json('"\\udfff":1'), id="lone surrogate as a name"),
        pytest.param(bomb(b"[", b"]"), id="bomb of lists"),
        pytest.param(bomb(b'{"a":', b"}"), id="bomb of objects"),
        pytest.param(bomb(b"[", b"", depth=5000), id="bomb of lists that never close"),
        pytest.param(b"[" * 33 + b'"' + b'\\"' * 2700, id="bomb of quotes"),
        pytest.param(with_json('"a":[' + "[]," * 1500 + "1]"), id="1,500 lists side by side"),
        pytest.param(with_json('"a":[' + "{}," * 1500 + "1]"), id="1,500 objects side by side"),
        pytest.param(with_json('"a":[' + "1," * 2500 + "1]"), id="2,500 numbers"),
        pytest.param(b"\xef\xbb\xbf" + PLAIN, id="byte order mark"),
        pytest.param(PLAIN.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(PLAIN.decode().encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(b'{"sub":"Zo\xeb"}', id="Latin-1"),
        pytest.param(b'{"sub":"\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(PLAIN + b"{}", id="two objects"),
        pytest.param(PLAIN[:-1] + b",}", id="comma at the end"),
        pytest.param(b"/**/" + PLAIN, id="comment"),
        pytest.param(PLAIN.replace(b'"', b"'"), id="single quotes"),
        pytest.param(b"[" + PLAIN + b"]", id="list of claims"),
        pytest.param(b"null", id="null"),
    ],
)
def test_claims_that_are_not_strict_json_are_refused(payload: bytes) -> None:
    assert Service().reason(request(issued(payload=payload))) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(with_json('"alg":"none"', HEADER), id="alg twice"),
        pytest.param(with_json('"kid":"other"', HEADER), id="kid twice"),
        pytest.param(bomb(b"[", b"]"), id="bomb"),
        pytest.param(with_json('"a":[' + "{}," * 1500 + "1]", HEADER), id="1,500 objects"),
        pytest.param(json.dumps(HEADER).encode("utf-16-le"), id="UTF-16"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b'"ES256"', id="text"),
    ],
)
def test_a_header_that_is_not_strict_json_is_refused(header: bytes) -> None:
    assert Service().reason(request(issued(header=header))) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"crit": ["x"], "x": 1}, id="unknown"),
        pytest.param({"crit": ["x"]}, id="not in the header"),
        pytest.param({"crit": []}, id="empty"),
        pytest.param({"crit": ["alg"]}, id="a registered name"),
        pytest.param({"crit": ["b64"], "b64": False}, id="b64 (RFC 7797)"),
        pytest.param({"crit": "exp"}, id="text"),
        pytest.param({"crit": False}, id="false"),
    ],
)
def test_a_critical_header_is_refused(members: dict[str, object]) -> None:
    text = sign(CLAIMS, KEY, **members)

    assert Service().reason(request(text)) is Reason.UNSUPPORTED_CRITICAL_HEADER


def test_a_payload_that_was_signed_unencoded_does_not_verify() -> None:
    # RFC 7797 without its crit: the signature is over the payload as it is, not its base64url.
    header = {**HEADER, "b64": False}
    message = f"{segment(header)}.".encode() + PLAIN
    text = f"{segment(header)}.{segment(PLAIN)}.{segment(KEY.sign(message))}"

    assert Service().reason(request(text)) is Reason.BAD_SIGNATURE
