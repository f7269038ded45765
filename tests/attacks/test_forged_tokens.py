"""Tokens that the issuer did not sign, whatever they claim about themselves."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.model import Reason
from tests.attacks.cases import CLAIMS, HEADER, KEY, refused_for
from tests.support.checks import (
    CLUSTER,
    CLUSTER_ISSUER,
    GATEWAY,
    Service,
    claims,
    request,
    snapshot,
    token,
    workload_token,
)
from tests.support.tokens import compact, key_for, new_key, resigned, segment, sign

RSA_KEY = key_for("RS256")
ATTACKER = new_key("ES256", KEY.kid)
VALID = token()
SIGNING_INPUT, _, SIGNATURE = VALID.rpartition(".")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def forged(**header: object) -> str:
    """Signed with the attacker's key, under a header of their choice."""
    return sign(CLAIMS, ATTACKER, **header)


def forged_with_null_kid() -> str:
    """With a kid that is there, and no text."""
    return compact({**HEADER, "kid": None}, CLAIMS, ATTACKER)


def hmac_token(secret: bytes) -> str:
    """Signed with a public key as if it were a shared secret."""
    message = f"{segment({**HEADER, 'alg': 'HS256'})}.{segment(CLAIMS)}"
    return f"{message}.{segment(hmac.digest(secret, message.encode(), hashlib.sha256))}"


def der_signed() -> str:
    """A right signature in ASN.1, as most libraries give it, instead of R and S."""
    raw = KEY.sign(SIGNING_INPUT.encode())
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return resigned(VALID, encode_dss_signature(r, s))


PUBLIC_PEM = KEY.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("forgery", "reason"),
    [
        *refused_for(
            Reason.ALGORITHM_NOT_ALLOWED,
            {
                "alg none": forged(alg="none"),
                "alg None": forged(alg="None"),
                "alg NONE": forged(alg="NONE"),
                "alg nOnE": forged(alg="nOnE"),
                "alg empty": forged(alg=""),
                "alg in lower case": forged(alg="es256"),
                "alg with a space": forged(alg="ES256 "),
                "alg ES256K": forged(alg="ES256K"),
                "alg Ed448": forged(alg="Ed448"),
                "alg of encryption": forged(alg="dir"),
                "HS256 with the public PEM": hmac_token(PUBLIC_PEM),
                "HS256 with the public JWK": hmac_token(json.dumps(KEY.jwk()).encode()),
                "RS256 for an EC key": forged(alg="RS256"),
                "ES384 for a P-256 key": forged(alg="ES384"),
                "ES512 for a P-256 key": forged(alg="ES512"),
                "EdDSA for a P-256 key": forged(alg="EdDSA"),
            },
        ),
        *refused_for(
            Reason.MALFORMED_TOKEN,
            {
                "alg missing": forged(alg=None),
                "alg in a list": forged(alg=["ES256"]),
                "alg none without a signature": f"{segment({'alg': 'none'})}.{segment(CLAIMS)}.",
                "a valid token without its signature": f"{SIGNING_INPUT}.",
                "kid is a number": forged(kid=0),
                "kid is an object": forged(kid={"$ne": ""}),
            },
        ),
        *refused_for(
            Reason.BAD_SIGNATURE,
            {
                "the issuer's kid": forged(),
                "jwk in the header": forged(jwk=ATTACKER.jwk()),
                "jwk and no kid": forged(jwk=ATTACKER.jwk(), kid=None),
                "jku in the header": forged(jku="https://evil.test/jwks.json"),
                "x5u in the header": forged(x5u="https://evil.test/chain.pem"),
                "x5c in the header": forged(x5c=["MIIB"]),
                "another payload": f"{segment(HEADER)}.{segment(claims(sub='root'))}.{SIGNATURE}",
                "another header": f"{segment(HEADER | {'a': 1})}.{segment(CLAIMS)}.{SIGNATURE}",
                "signature of another token": resigned(VALID, KEY.sign(b"other")),
                "r = s = 0": resigned(VALID, bytes(64)),
                "r = s = 1": resigned(VALID, (1).to_bytes(32, "big") * 2),
                "r = s = the order": resigned(VALID, P256_ORDER.to_bytes(32, "big") * 2),
                "r = s = 2^256 - 1": resigned(VALID, b"\xff" * 64),
                "signature of one byte": resigned(VALID, b"\0"),
                "signature of 63 bytes": resigned(VALID, bytes(63)),
                "signature of 65 bytes": resigned(VALID, bytes(65)),
                "signature with zeros behind": resigned(
                    VALID, KEY.sign(SIGNING_INPUT.encode()) + b"\0"
                ),
                "signature in DER": der_signed(),
                "signature of an RSA key": resigned(VALID, RSA_KEY.sign(SIGNING_INPUT.encode())),
            },
        ),
        *refused_for(
            Reason.UNKNOWN_KEY,
            {
                "kid of the attacker": forged(kid="attacker"),
                "kid is a path": forged(kid="../../../../dev/null"),
                "kid is a URL": forged(kid="https://evil.test/key"),
                "kid is SQL": forged(kid="' UNION SELECT 'key' --"),
                "kid is a command": forged(kid="|/bin/sleep 10"),
                "kid ends in NUL": forged(kid=KEY.kid + "\0"),
                "kid in other case": forged(kid=KEY.kid.upper()),
                "kid empty": forged(kid=""),
                "kid very long": forged(kid="a" * 5000),
                "key of another issuer": token(RSA_KEY),
            },
        ),
    ],
)
def test_a_forged_token_is_refused(forgery: str, reason: Reason) -> None:
    service = Service()

    assert service.reason(request(forgery)) is reason
    assert service.pipeline.remembered_tokens == 0


@pytest.mark.parametrize(
    ("forgery", "reason"),
    [
        *refused_for(
            Reason.UNKNOWN_KEY,
            {
                "no kid": forged(kid=None),
                "no kid and a jwk": forged(kid=None, jwk=ATTACKER.jwk()),
                "no kid and a signature of zeros": resigned(forged(kid=None), bytes(64)),
                "no kid and another's signature": resigned(forged(kid=None), KEY.sign(b"other")),
                "kid of the attacker": forged(kid="attacker"),
            },
        ),
        *refused_for(
            Reason.ALGORITHM_NOT_ALLOWED,
            {
                "no kid and alg none": forged(kid=None, alg="none"),
                "no kid and HS256": forged(kid=None, alg="HS256"),
            },
        ),
        *refused_for(Reason.MALFORMED_TOKEN, {"kid is null": forged_with_null_kid()}),
        *refused_for(Reason.BAD_SIGNATURE, {"the issuer's kid": forged()}),
    ],
)
def test_an_issuer_whose_tokens_have_no_kid_signs_no_forged_one(
    forgery: str, reason: Reason
) -> None:
    service = Service(trust=(replace(GATEWAY, without_kid=True), CLUSTER))

    assert service.reason(request(forgery)) is reason
    assert service.pipeline.remembered_tokens == 0


def test_a_weak_key_is_no_key_even_when_it_is_published() -> None:
    weak = new_key("RS256", "weak", rsa_bits=1024)
    service = Service(snapshot(weak.jwk(), KEY.jwk()))

    assert service.reason(request(token(weak))) is Reason.UNKNOWN_KEY


def test_with_a_key_of_small_order_nobody_signs() -> None:
    point = bytes([1]) + bytes(31)
    weak = {"kty": "OKP", "crv": "Ed25519", "x": segment(point), "kid": "weak", "alg": "EdDSA"}
    service = Service(snapshot(weak, KEY.jwk()))
    # R is the neutral element and S is 0: with such a key that holds for any message.
    signed = f"{segment({**HEADER, 'alg': 'EdDSA', 'kid': 'weak'})}.{segment(CLAIMS)}"
    forgery = f"{signed}.{segment(point + bytes(32))}"

    assert service.reason(request(forgery)) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
def test_a_key_that_names_its_algorithm_serves_no_other(algorithm: str) -> None:
    service = Service(snapshot(RSA_KEY))
    other = sign(CLAIMS, key_for(algorithm), kid=RSA_KEY.kid)

    assert service.reason(request(other)) is Reason.ALGORITHM_NOT_ALLOWED


def test_two_issuers_that_share_a_kid_do_not_share_a_key() -> None:
    gateway_key = new_key("RS256", RSA_KEY.kid)
    service = Service(snapshot(gateway_key))

    assert service.reason(request(token(gateway_key))) is Reason.AUTHORIZED
    assert service.reason(request(token(RSA_KEY))) is Reason.BAD_SIGNATURE
    as_cluster = workload_token(gateway_key, issuer=CLUSTER_ISSUER)
    assert service.reason(request(as_cluster, path="/jobs")) is Reason.BAD_SIGNATURE
    assert service.reason(request(workload_token(), path="/jobs")) is Reason.AUTHORIZED


def test_without_kids_only_four_keys_are_tried() -> None:
    keys = [new_key("ES256", f"{number}") for number in range(5)]
    service = Service(snapshot(*(key.jwk(kid=None) for key in keys)))

    fourth, fifth = (sign(CLAIMS, key, kid=None) for key in keys[3:])
    assert service.reason(request(fourth)) is Reason.AUTHORIZED
    assert service.reason(request(fifth)) is Reason.BAD_SIGNATURE
