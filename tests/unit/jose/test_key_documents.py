import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import MAXIMUM_KEYS, in_short, parse
from sidecar.keys.sources import published
from tests.support.tokens import ALGORITHMS, Json, PrivateKey, jwks, key_for, new_key

EC_KEY = key_for("ES256")
RSA_KEY = key_for("RS256")
EC_JWK = EC_KEY.jwk()


def read(*members: object) -> tuple[VerificationKey, ...]:
    return parse(json.dumps({"keys": members}).encode()).keys


def pem(private: PrivateKey | ed448.Ed448PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(private: PrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_jwk_of_every_algorithm_is_read(algorithm: str) -> None:
    key = key_for(algorithm)
    (read_key,) = parse(json.dumps(jwks(key)).encode()).keys

    assert read_key.kid == key.kid
    assert read_key.public_key == key.private.public_key()
    both_names = {"EdDSA", "Ed25519"}
    assert read_key.algorithms == (both_names if algorithm in both_names else {algorithm})


def test_a_jwk_without_an_algorithm_is_for_all_that_fit() -> None:
    (key,) = read(RSA_KEY.jwk(alg=None, use=None, kid=None))

    assert key.kid is None
    assert key.algorithms == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param("text", id="not an object"),
        pytest.param({}, id="no members"),
        pytest.param({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}, id="unknown type"),
        pytest.param({**EC_JWK, "kty": ["EC"]}, id="type is a list"),
        pytest.param({**EC_JWK, "kty": {}}, id="type is an object"),
        pytest.param({**EC_JWK, "kty": "RSA"}, id="type of another key"),
        pytest.param({**EC_JWK, "use": "enc"}, id="for encryption"),
        pytest.param({**EC_JWK, "key_ops": ["sign"]}, id="for signing"),
        pytest.param({**EC_JWK, "key_ops": "verify"}, id="key_ops is text"),
        pytest.param({**EC_JWK, "alg": "RS256"}, id="algorithm of another type"),
        pytest.param({**EC_JWK, "alg": "ES384"}, id="algorithm of another curve"),
        pytest.param({**EC_JWK, "alg": "none"}, id="algorithm none"),
        pytest.param({**EC_JWK, "alg": "HS256"}, id="algorithm HS256"),
        pytest.param({**EC_JWK, "alg": 7}, id="algorithm is a number"),
        pytest.param({**EC_JWK, "kid": 7}, id="kid is a number"),
        pytest.param({**EC_JWK, "x": 7}, id="coordinate is a number"),
        pytest.param({**EC_JWK, "x": "é"}, id="coordinate is not ASCII"),
        pytest.param({**EC_JWK, "x": ""}, id="coordinate is empty"),
        pytest.param({**EC_JWK, "x": EC_JWK["y"]}, id="point is not on the curve"),
        pytest.param({**EC_JWK, "crv": "secp256k1"}, id="other curve"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": EC_JWK["x"]}, id="missing coordinate"),
        pytest.param({"kty": "RSA", "n": RSA_KEY.jwk()["n"]}, id="missing exponent"),
        pytest.param({**RSA_KEY.jwk(), "e": "AQ"}, id="exponent one"),
        pytest.param({**RSA_KEY.jwk(), "n": "A" * 100}, id="modulus zero"),
        pytest.param(new_key("RS256", "weak", rsa_bits=1024).jwk(), id="RSA of 1,024 bits"),
        pytest.param({"kty": "OKP", "crv": "X25519", "x": "A" * 43}, id="key agreement"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, id="Ed25519 of three bytes"),
    ],
)
def test_an_odd_key_is_passed_over_and_the_others_are_read(odd: object) -> None:
    (key,) = read(odd, EC_JWK)

    assert key.kid == EC_KEY.kid


LEFT_OUT_IN_SILENCE = [
    {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
    {**EC_JWK, "use": "enc"},
    {**EC_JWK, "key_ops": ["sign"]},
    {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
]


def test_keys_that_are_for_something_else_are_not_told_of() -> None:
    document = json.dumps({"keys": [*LEFT_OUT_IN_SILENCE, EC_JWK]}).encode()

    assert parse(document).left_out == ()


def test_a_key_that_is_broken_or_too_small_is_told_of() -> None:
    small = new_key("RS256", "small", rsa_bits=1024).jwk()
    broken = {**EC_JWK, "kid": "\x1b[31m" + "k" * 100, "x": ""}
    document = json.dumps({"keys": [small, broken, EC_JWK]}).encode()

    assert parse(document).left_out == (
        "the key 'small' has 1024 bits; accepted are 2048 to 8192",
        f"the key '\\x1b[31m{'k' * 59}' cannot be read as one of type EC",
    )


@pytest.mark.parametrize(
    ("jwk", "cause"),
    [
        (
            {"kty": "RSA", "kid": "a", "x5c": ["MIIB"]},
            "the key 'a' has x5c alone, and certificates are not read; write the members of the "
            "key itself, such as n and e (RFC 7518 §6)",
        ),
        (
            {"kid": "a", "x5c": ["MIIB"]},
            "the key 'a' has x5c alone, and certificates are not read; write the members of the "
            "key itself, such as n and e (RFC 7518 §6)",
        ),
        (
            {**EC_JWK, "kid": 7},
            "the key 7 has a kid that is not a text (RFC 7517 §4.5); put it in quotes",
        ),
        ({**EC_JWK, "kid": "a", "issuer": 7}, "the key 'a' has an issuer that is not a text"),
        (
            {**EC_JWK, "kid": "a", "issuer": "https://{tenantid}.example/"},
            "the key 'a' has an issuer with a placeholder that is no whole segment of its path",
        ),
    ],
)
def test_a_key_that_is_written_in_another_way_is_told_of(jwk: Json, cause: str) -> None:
    assert parse(json.dumps({"keys": [jwk, RSA_KEY.jwk()]}).encode()).left_out == (cause,)
    with pytest.raises(SourceFault, match="holds no usable public key") as fault:
        parse(json.dumps({"keys": [jwk]}).encode())
    assert cause in str(fault.value)


def test_a_certificate_beside_the_members_of_a_key_is_passed_over() -> None:
    (key,) = read({**EC_JWK, "x5c": ["MIIB"]})

    assert key.kid == EC_KEY.kid


def test_a_key_signs_for_the_issuer_that_it_names() -> None:
    anybody, one, tenants = read(
        EC_JWK,
        {**EC_JWK, "issuer": "https://a.test"},
        {**EC_JWK, "issuer": "https://login.test/{tenantid}/v2.0"},
    )

    assert anybody.issuer is None
    assert (one.signs_for("https://a.test"), one.signs_for("https://b.test")) == (True, False)
    assert tenants.signs_for("https://login.test/a-1/v2.0")
    assert not tenants.signs_for("https://login.test/a/b/v2.0")
    assert len({anybody, one, tenants}) == 3


def test_of_many_keys_that_are_left_out_the_first_few_are_named() -> None:
    assert in_short(("a", "b", "c", "d", "e")) == "a; b; c; d; e"
    assert in_short(("a", "b", "c", "d", "e", "f", "g")) == "a; b; c; d; e; and 2 more"


def test_what_is_left_out_is_logged_with_its_source(caplog: pytest.LogCaptureFixture) -> None:
    broken = {**EC_JWK, "kid": "broken", "x": ""}
    keys = published("https://a.example/", json.dumps({"keys": [broken, EC_JWK]}).encode())

    (record,) = caplog.records
    assert [key.kid for key in keys] == [EC_KEY.kid]
    assert vars(record).items() >= {
        ("source", "https://a.example/"),
        ("problem", "the key 'broken' cannot be read as one of type EC"),
    }


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_private_key_material_spoils_the_document(member: str) -> None:
    with pytest.raises(SourceFault, match="holds private or shared key material"):
        read(EC_JWK, {**RSA_KEY.jwk(), member: "AA"})


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"", "is neither PEM nor a JWKS: it is not UTF-8 JSON"),
        (b"<html></html>", "is neither PEM nor a JWKS: it is not UTF-8 JSON"),
        (b'{"keys": [], "keys": []}', "is neither PEM nor a JWKS: it holds a name twice"),
        (b"[]", "is neither PEM nor a JWKS: it is not a JSON object"),
        (b"{}", 'it has no list "keys"'),
        (b'{"keys": {}}', 'it has no list "keys"'),
        (b'{"keys": []}', "holds no usable public key"),
        (b'{"keys": [{"kty": "AKP"}]}', "holds no usable public key"),
        (b'{"keys": [%s]}' % b",".join([b"{}"] * (MAXIMUM_KEYS + 1)), "holds 1001 keys"),
        (pem(EC_KEY.private) * (MAXIMUM_KEYS + 1), "holds 1001 keys"),
        (private_pem(EC_KEY.private), "holds a private key"),
        (pem(EC_KEY.private) + private_pem(RSA_KEY.private), "holds a private key"),
        (pem(EC_KEY.private) + private_pem(EC_KEY.private)[:60], "holds a private key"),
        (pem(EC_KEY.private) + pem(RSA_KEY.private)[:200], "a PEM block without its end"),
        (b"-----BEGIN PUBLIC KEY-----", "a PEM block without its end"),
        (
            b"-----BEGIN PUBLIC KEY-----\n%b-----END PUBLIC KEY-----" % (b"A\n" * 100_000),
            "a PEM block of more than 4096 bytes",
        ),
        (b"-----BEGIN A-----\n" * 1000, "a PEM block without its end"),
        (b"-----BEGIN A-----\n" * 58_000, "holds 58000 keys; at most 1000 are read"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            "holds a certificate, and a public key is needed; take its public key out with "
            "`openssl x509 -pubkey -noout`",
        ),
        (
            EC_KEY.private.public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            .replace(b"\x30\x59", b"\x30\x81\x59", 1),
            "is in DER, and PEM is needed; convert a key with `openssl pkey -pubin -inform DER`",
        ),
        (
            RSA_KEY.private.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            ),
            "is in DER, and PEM is needed; convert a key with `openssl pkey -pubin -inform DER`",
        ),
        (
            b'{"a": "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----"}',
            "holds certificates by kid, and a JWKS is needed; name the JWKS that the issuer",
        ),
        (
            b'{"issuer": "https://idp.example", "jwks_uri": "https://idp.example/keys"}',
            "is a discovery document, and a JWKS is needed; name the URL in its jwks_uri",
        ),
        (
            json.dumps(EC_JWK).encode(),
            r'is one JWK, and a JWKS is needed; write {"keys": \[\.\.\]} around it',
        ),
        (json.dumps({**EC_JWK, "d": "AA"}).encode(), "holds private or shared key material"),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "holds a PEM block that is not a public key",
        ),
        (pem(ed448.Ed448PrivateKey.generate()), "holds no usable public key"),
    ],
    ids=[
        "nothing",
        "a page",
        "a name twice",
        "a list",
        "no keys",
        "keys are an object",
        "empty set",
        "unknown types only",
        "too many JWKs",
        "too many PEM blocks",
        "private PEM",
        "private PEM behind a public one",
        "private PEM, cut off",
        "public PEM, cut off",
        "PEM that only begins",
        "PEM of a large block",
        "PEM that begins often",
        "PEM that begins very often",
        "certificate",
        "DER of P-256",
        "DER of RSA",
        "certificates by kid",
        "discovery document",
        "one JWK",
        "one private JWK",
        "PEM of nonsense",
        "Ed448",
    ],
)
def test_a_document_that_cannot_be_used_says_why(document: bytes, problem: str) -> None:
    with pytest.raises(SourceFault, match=problem):
        parse(document)


def test_pem_keys_have_no_kid_and_no_algorithm_of_their_own() -> None:
    keys = parse(b"\n" + pem(EC_KEY.private) + b"a comment\n" + pem(key_for("EdDSA").private)).keys

    assert [key.kid for key in keys] == [None, None]
    assert [key.algorithms for key in keys] == [{"ES256"}, {"EdDSA", "Ed25519"}]


@pytest.mark.parametrize(
    "weak",
    [
        # Deliberately too weak: the point of the test.
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - see above
        ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=["RSA of 1,024 bits", "other curve"],
)
def test_a_pem_key_that_fits_no_algorithm_is_passed_over(weak: PrivateKey) -> None:
    (key,) = parse(pem(weak) + pem(EC_KEY.private)).keys

    assert key.algorithms == {"ES256"}


def test_a_key_for_agreement_is_no_key_for_signatures() -> None:
    agreement = x25519.X25519PrivateKey.generate().public_key()
    document = agreement.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(SourceFault, match="holds no usable public key"):
        parse(document)


def test_two_keys_may_share_a_kid() -> None:
    keys = read(EC_KEY.jwk(kid="k"), RSA_KEY.jwk(kid="k"))

    assert [key.kid for key in keys] == ["k", "k"]


def test_ed25519_is_read_under_both_of_its_names() -> None:
    document: Json = key_for("Ed25519").jwk()
    (key,) = read(document)

    assert document["alg"] == "Ed25519"
    assert isinstance(key.public_key, ed25519.Ed25519PublicKey)
    assert key.algorithms == {"EdDSA", "Ed25519"}
