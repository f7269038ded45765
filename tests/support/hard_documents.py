"""Documents of a hostile server of keys: each as expensive to read as its size allows."""

import json
from base64 import b64encode
from collections.abc import Sequence

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.jose.key_documents import MAXIMUM_KEYS
from tests.support.tokens import Json, key_for, segment

_BEGIN, _END = b"-----BEGIN PUBLIC KEY-----\n", b"\n-----END PUBLIC KEY-----\n"


def hard_documents(length: int) -> dict[str, bytes]:
    """By what is hard about them, each of ``length`` bytes at most."""
    pem = (
        key_for("ES256")
        .private.public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    huge = segment(b"\xff" * (length * 3 // 4 - 200))
    return {
        "beginnings of PEM blocks": _times(b"-----BEGIN A-----\n", length),
        "few beginnings of PEM blocks": _times(b"-----BEGIN A-----".ljust(length // 999), length),
        "a PEM block": _BEGIN + b64encode(bytes(length // 2)) + _END,
        "a PEM block of short lines": _BEGIN + _times(b"A\n", length - 100) + _END,
        "many PEM keys": pem * min(length // len(pem), MAXIMUM_KEYS),
        **{
            f"many {algorithm} keys": _many(key_for(algorithm).jwk(), length)
            for algorithm in ("ES256", "ES512", "RS256", "EdDSA")
        },
        "an RSA modulus": _jwks([{"kty": "RSA", "n": huge, "e": "AQAB"}]),
        "an RSA exponent": _jwks([{**key_for("RS256").jwk(), "e": huge[:-400]}]),
        "an EC coordinate": _jwks([{**key_for("ES256").jwk(), "x": huge}]),
        "a kid": _jwks([key_for("ES256").jwk(kid=huge)]),
        **{
            f"a list of {what}": b'{"keys":[%b0]}' % _times(unit + b",", length - 20)
            for what, unit in {
                "texts": b'""',
                "lists": b"[]",
                "objects": b"{}",
                "deep lists": b"[" * 30 + b"]" * 30,
                "deep objects": b'{"":' * 29 + b"0" + b"}" * 29,
                "fractions": b"1.5",
                "long numbers": b"9" * 4299,
            }.items()
        },
        "members": b"{%b}" % b",".join(b'"%d":0' % number for number in range(length // 11)),
        "brackets": _times(b"[", length),
        "brackets in a text": b'{"keys":"%b"}' % _times(b"[", length - 20),
        "quotes in a text": b'{"keys":"%b%b"}' % (_times(b'\\"', length - 100), b"[" * 40),
        "a text without its end": b"[" * 40 + b'"' + _times(b'\\"', length - 50),
        "halves of characters": b'{"keys":"%b"}' % _times(b"\\ud800", length - 20),
    }


def _times(unit: bytes, length: int) -> bytes:
    return unit * (length // len(unit))


def _many(jwk: Json, length: int) -> bytes:
    number = min(length // (len(json.dumps(jwk)) + 10), MAXIMUM_KEYS)
    return _jwks([{**jwk, "kid": f"many-{index}"} for index in range(number)])


def _jwks(keys: Sequence[Json]) -> bytes:
    return json.dumps({"keys": keys}).encode()
