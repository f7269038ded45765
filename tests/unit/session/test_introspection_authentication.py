"""How a client proves itself to an issuer: what is sent, and what cannot be used."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sidecar.errors import SourceFault
from sidecar.rings.local_key import LocalKey
from sidecar.session.client_authentication import ASSERTION_TYPE, ClientAuthenticator, Proof
from sidecar.session.settings import (
    CertificateAuthentication,
    ClientAuthentication,
    KeyAuthentication,
    NoAuthentication,
    SecretAuthentication,
    TokenAuthentication,
)
from tests.support.tokens import SigningKey, key_for, new_key

NOW = 1_000_000.7
AUDIENCE = "https://sso.example"


def proof(authenticator: ClientAuthenticator) -> Proof:
    return asyncio.run(authenticator.prove(NOW))


def problem(authenticator: ClientAuthenticator) -> str:
    with pytest.raises(SourceFault) as fault:
        proof(authenticator)
    return str(fault.value)


def pem(key: SigningKey, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def jwk(key: SigningKey, **changes: object) -> bytes:
    members = LocalKey.of(key.private, key.algorithm).private_jwk()
    return json.dumps({**members, **changes}).encode()


def with_key(path: Path, content: bytes, **settings: str) -> ClientAuthenticator:
    path.write_bytes(content)
    return ClientAuthenticator(KeyAuthentication("gateway", path, AUDIENCE, **settings))


def header(authenticator: ClientAuthenticator) -> dict[str, Any]:
    return jwt.get_unverified_header(proof(authenticator).form["client_assertion"])


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("s3cr:et +/%&=\n")
    return path


def test_basic_encodes_what_basic_could_not_carry(secret_file: Path) -> None:
    sent = proof(ClientAuthenticator(SecretAuthentication("gate:way", secret_file)))
    expected = base64.b64encode(b"gate%3Away:s3cr%3Aet+%2B%2F%25%26%3D").decode()
    assert sent == Proof(headers=(("Authorization", f"Basic {expected}"),))


def test_post_has_both_in_the_form(secret_file: Path) -> None:
    sent = proof(ClientAuthenticator(SecretAuthentication("gateway", secret_file, in_body=True)))
    assert sent == Proof(form={"client_id": "gateway", "client_secret": "s3cr:et +/%&="})


def test_a_replaced_secret_counts_at_once(secret_file: Path) -> None:
    settings = SecretAuthentication("gateway", secret_file, in_body=True)
    authenticator = ClientAuthenticator(settings)
    proof(authenticator)
    secret_file.write_text("another")
    assert proof(authenticator).form["client_secret"] == "another"


def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    authenticator = ClientAuthenticator(SecretAuthentication("gateway", missing))
    assert problem(authenticator) == f"{missing} cannot be read: No such file or directory"


def test_a_token_of_our_own_is_a_bearer_token_and_counts_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    authenticator = ClientAuthenticator(TokenAuthentication(file))
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        assert proof(authenticator) == Proof(headers=(("Authorization", f"Bearer {token}"),))
    file.write_text("two\nlines")
    assert problem(authenticator) == f"{file} does not hold one line of text, as a secret does"


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        (CertificateAuthentication("gateway"), {"client_id": "gateway"}),
        (NoAuthentication("gateway"), {"client_id": "gateway"}),
        (NoAuthentication(), {}),
    ],
)
def test_a_client_without_a_secret_says_at_most_who_it_is(
    settings: ClientAuthentication, form: dict[str, str]
) -> None:
    assert proof(ClientAuthenticator(settings)) == Proof(form=form)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "EdDSA"])
@pytest.mark.parametrize("written", [pem, jwk])
def test_an_assertion_is_what_rfc_7523_wants(tmp_path: Path, algorithm: str, written: Any) -> None:
    key = key_for(algorithm)
    sent = proof(with_key(tmp_path / "key", written(key)))
    assert sent.headers == ()
    assert sent.form.keys() == {"client_assertion_type", "client_assertion"}
    assert sent.form["client_assertion_type"] == ASSERTION_TYPE
    claims = jwt.decode(
        sent.form["client_assertion"],
        key.private.public_key(),
        [algorithm],
        audience=AUDIENCE,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims.pop("jti")
    assert claims == {
        "iss": "gateway",
        "sub": "gateway",
        "aud": AUDIENCE,
        "iat": 1_000_000,
        "exp": 1_000_030,
    }


def test_every_assertion_is_for_one_use(tmp_path: Path) -> None:
    authenticator = with_key(tmp_path / "key", pem(key_for("ES256")))
    assertions = [proof(authenticator).form["client_assertion"] for _ in range(2)]
    ids = {jwt.decode(text, options={"verify_signature": False})["jti"] for text in assertions}
    assert len(ids) == 2


def test_the_key_says_how_it_signs_unless_the_configuration_does(tmp_path: Path) -> None:
    path, key = tmp_path / "key", key_for("RS256")
    assert header(with_key(path, pem(key))) == {"alg": "RS256", "typ": "JWT"}
    assert header(with_key(path, jwk(key, alg="PS256", kid="1"))) == {
        "alg": "PS256",
        "typ": "JWT",
        "kid": "1",
    }
    configured = with_key(path, jwk(key, kid="1"), algorithm="RS512", kid="2")
    assert header(configured) == {"alg": "RS512", "typ": "JWT", "kid": "2"}
    assert header(with_key(path, pem(key_for("Ed25519")), algorithm="Ed25519"))["alg"] == "Ed25519"


def test_a_replaced_key_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    authenticator = with_key(path, jwk(new_key("ES256", "first"), kid="first"))
    assert header(authenticator)["kid"] == "first"
    path.write_bytes(jwk(new_key("ES256", "second"), kid="second"))
    assert header(authenticator)["kid"] == "second"


NOT_A_KEY = "does not hold a private key as PEM without a passphrase, or as a JWK"


@pytest.mark.parametrize(
    ("content", "settings", "expected"),
    [
        (b"", {}, NOT_A_KEY),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", {}, NOT_A_KEY),
        (pem(key_for("ES256"), b"passphrase"), {}, NOT_A_KEY),
        (b'{"kty": "oct", "k": "c2VjcmV0"}', {}, NOT_A_KEY),
        (b'{"kty": "EC", "crv": "P-256", "d": "AA"}', {}, NOT_A_KEY),
        (
            key_for("ES256")
            .private.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            {},
            NOT_A_KEY,
        ),
        (
            json.dumps(key_for("ES256").jwk()).encode(),
            {},
            "holds a public key, or one that cannot sign",
        ),
        (
            pem(key_for("ES256")),
            {"algorithm": "RS256"},
            "holds a key that does not fit RS256",
        ),
        (
            jwk(key_for("ES256"), alg="HS256"),
            {},
            "holds a key that does not fit any algorithm that is accepted here",
        ),
        (
            pem(new_key("RS256", "short", rsa_bits=1024)),
            {},
            "holds a key that does not fit any algorithm that is accepted here",
        ),
    ],
)
def test_what_is_no_key_for_this_is_named_and_not_shown(
    tmp_path: Path, content: bytes, settings: dict[str, str], expected: str
) -> None:
    path = tmp_path / "key"
    assert problem(with_key(path, content, **settings)) == f"{path} {expected}"


def test_no_secret_shows_in_a_proof(secret_file: Path, tmp_path: Path) -> None:
    in_body = SecretAuthentication("gateway", secret_file, in_body=True)
    token = ClientAuthenticator(TokenAuthentication(secret_file))
    proofs = [
        proof(token),
        proof(ClientAuthenticator(SecretAuthentication("gateway", secret_file))),
        proof(ClientAuthenticator(in_body)),
        proof(with_key(tmp_path / "key", pem(key_for("ES256")))),
    ]
    assert [repr(each) for each in proofs] == ["Proof()"] * 4
