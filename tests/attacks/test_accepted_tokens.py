"""What looks odd, is right by the standards, and must be accepted."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.jose.key_documents import parse
from sidecar.model import Reason
from sidecar.snapshots.keys import KeySet, KeySnapshot
from tests.attacks.cases import CLAIMS, KEY, issued, with_json
from tests.support.checks import (
    CLUSTER,
    GATEWAY,
    NOW,
    Service,
    claims,
    key_set,
    request,
    snapshot,
    token,
)
from tests.support.tokens import ALGORITHMS, key_for, resigned, sign

VALID = token()
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def both_halves() -> list[str]:
    """One signature with its s, and with the order less s: ECDSA lets both hold."""
    signature = KEY.sign(VALID.rpartition(".")[0].encode())
    s = int.from_bytes(signature[32:], "big")
    return [
        resigned(VALID, signature[:32] + value.to_bytes(32, "big")) for value in (s, P256_ORDER - s)
    ]


@pytest.mark.parametrize("text", both_halves())
def test_signatures_with_a_high_and_a_low_s(text: str) -> None:
    assert Service().reason(request(text)) is Reason.AUTHORIZED


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(token(exp=NOW + 0.5, iat=NOW - 0.25, nbf=NOW - 0.5), id="fractions"),
        pytest.param(token(exp=NOW - 9.5), id="within the leeway"),
        pytest.param(token(iat=NOW + 9.5), id="issued within the leeway"),
        pytest.param(token(iat=None), id="no iat"),
        pytest.param(token(exp=10**15), id="exp in the far future"),
        pytest.param(token(exp=1e300), id="exp in an unlikely future"),
        pytest.param(
            issued(payload=with_json('"exp":19e8', claims(exp=None))), id="with an exponent"
        ),
    ],
)
def test_dates(text: str) -> None:
    assert Service().reason(request(text)) is Reason.AUTHORIZED


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
def test_typ_as_a_media_type(typ: str) -> None:
    assert Service().reason(request(sign(CLAIMS, KEY, typ=typ))) is Reason.AUTHORIZED


@pytest.mark.parametrize("audience", ["orders", ["orders"], ["billing", "orders"]])
def test_audience_as_text_or_list(audience: object) -> None:
    assert Service().reason(request(token(audience=audience))) is Reason.AUTHORIZED


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_supported_algorithm(algorithm: str) -> None:
    key = key_for(algorithm)

    assert Service(snapshot(key)).reason(request(token(key))) is Reason.AUTHORIZED


@pytest.mark.parametrize("published", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("used", ["EdDSA", "Ed25519"])
def test_ed25519_under_both_of_its_names(published: str | None, used: str) -> None:
    key = key_for("EdDSA")
    service = Service(snapshot(key.jwk(alg=published)))

    assert service.reason(request(sign(CLAIMS, key, alg=used))) is Reason.AUTHORIZED


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS384"])
def test_a_jwk_without_alg(algorithm: str) -> None:
    # One key pair under three algorithms: the issuer named none for it.
    key = replace(key_for("RS256"), algorithm=algorithm)

    assert Service(snapshot(key.jwk(alg=None))).reason(request(token(key))) is Reason.AUTHORIZED


@pytest.mark.parametrize("kid", [KEY.kid, "anything", None])
def test_a_pem_key_without_kid(kid: str | None) -> None:
    pem = KEY.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    service = Service(KeySnapshot({"gateway": KeySet.of(parse(pem).keys, NOW + 1)}))

    assert service.reason(request(sign(CLAIMS, KEY, kid=kid))) is Reason.AUTHORIZED


def test_a_token_without_kid() -> None:
    service = Service(snapshot(key_for("ES384"), KEY))

    assert service.reason(request(sign(CLAIMS, KEY, kid=None))) is Reason.AUTHORIZED


def test_two_keys_that_share_a_kid() -> None:
    service = Service(snapshot(key_for("RS256").jwk(kid=KEY.kid), KEY))

    assert service.reason(request(VALID)) is Reason.AUTHORIZED


def test_one_key_under_two_issuers() -> None:
    # Odd, and their business: each entry has its own set, and the key is in both.
    shared = KeySnapshot({"gateway": key_set(KEY), "cluster": key_set(KEY)})

    assert Service(shared, trust=(GATEWAY, CLUSTER)).reason(request(VALID)) is Reason.AUTHORIZED


def test_unknown_header_members_and_claims_are_ignored() -> None:
    text = sign(claims(unknown={"a": [1]}), KEY, cty="JWT", x5t="AA", b64=True, other=[1])

    assert Service().reason(request(text)) is Reason.AUTHORIZED


def test_more_than_one_space_behind_the_scheme() -> None:
    view = request(headers=(("authorization", b"bearer   " + VALID.encode()),))

    assert Service().reason(view) is Reason.AUTHORIZED
