"""From what the transit engine shows of a key to verification keys, where a server is odd."""

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.clients.vault.transit import TransitKey, verification_keys
from sidecar.errors import SourceFault
from sidecar.jose.key_documents import MAXIMUM_KEYS
from tests.support.tokens import key_for, new_key

ED25519 = key_for("EdDSA").private.public_key()
RAW = base64.b64encode(ED25519.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
PEM_FORMAT = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key(**versions: str) -> TransitKey:
    """A key that shows these public keys, by ``v`` and the version."""
    public = {int(version[1:]): text for version, text in versions.items()}
    return TransitKey("some-type", max(public), public, {})


def test_each_version_has_its_thumbprint_for_a_kid() -> None:
    pem = key_for("ES256").private.public_key().public_bytes(*PEM_FORMAT).decode()
    keys = verification_keys(key(v3=pem, v4=RAW))

    assert [keys[version].kid for version in (3, 4)] == [each.thumbprint for each in keys.values()]
    assert [keys[version].algorithms for version in (3, 4)] == [{"ES256"}, {"EdDSA", "Ed25519"}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("!", "neither PEM nor Ed25519"),
        (RAW[:-4], "neither PEM nor Ed25519"),
        (f"{RAW}\n!", "neither PEM nor Ed25519"),
        ("-----BEGIN PUBLIC KEY-----", "a PEM block without its end"),
        (
            new_key("RS256", "weak", rsa_bits=1024)
            .private.public_key()
            .public_bytes(*PEM_FORMAT)
            .decode(),
            "holds no usable public key",
        ),
    ],
    ids=["nonsense", "too short", "not base64", "half a PEM block", "RSA of 1,024 bits"],
)
def test_a_public_key_that_cannot_be_used_says_why(text: str, problem: str) -> None:
    with pytest.raises(SourceFault, match=problem):
        verification_keys(key(v1=RAW, v2=text))


def test_the_number_of_live_versions_is_bounded() -> None:
    versions = {f"v{number}": RAW for number in range(1, MAXIMUM_KEYS + 2)}

    with pytest.raises(SourceFault, match="has 1001 live versions; at most 1000 are read"):
        verification_keys(key(**versions))
