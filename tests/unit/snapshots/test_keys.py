import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sidecar.jose.algorithms import PublicKey, algorithms_for
from sidecar.jose.jwk import VerificationKey
from sidecar.snapshots.keys import KeySet, KeySnapshot
from tests.support.checks import NOW

RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
PUBLIC = ed25519.Ed25519PrivateKey.generate().public_key()


def key(kid: str | None, name: str, *algorithms: str) -> VerificationKey:
    return VerificationKey(kid, name, frozenset(algorithms or {"EdDSA"}), PUBLIC)


def key_set(*keys: VerificationKey) -> KeySet:
    return KeySet.of(keys, NOW)


@pytest.mark.parametrize(
    ("public", "algorithms"),
    [
        (rsa.generate_private_key(65537, 2048).public_key(), RSA_ALGORITHMS),
        # Deliberately too weak: it must fit no algorithm.
        (rsa.generate_private_key(65537, 1024).public_key(), set()),  # noqa: S505 - see above
        (ec.generate_private_key(ec.SECP256R1()).public_key(), {"ES256"}),
        (ec.generate_private_key(ec.SECP384R1()).public_key(), {"ES384"}),
        (ec.generate_private_key(ec.SECP521R1()).public_key(), {"ES512"}),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), set()),
        (PUBLIC, {"EdDSA", "Ed25519"}),
    ],
    ids=["RSA", "RSA of 1,024 bits", "P-256", "P-384", "P-521", "secp256k1", "Ed25519"],
)
def test_a_key_fits_the_algorithms_of_its_type_and_curve(
    public: PublicKey, algorithms: set[str]
) -> None:
    assert algorithms_for(public) == algorithms


def test_keys_are_compared_without_the_key_object() -> None:
    other = ed25519.Ed25519PrivateKey.generate().public_key()

    assert key("a", "x") == VerificationKey("a", "x", frozenset({"EdDSA"}), other)
    assert key("a", "x") != key("b", "x")
    assert key("a", "x") != key("a", "y")
    assert key("a", "x", "EdDSA") != key("a", "x", "Ed25519")


def test_a_kid_chooses_its_keys() -> None:
    a, b = key("a", "1"), key("b", "2")

    assert tuple(key_set(a, b).candidates("a", "EdDSA")) == (a,)
    assert tuple(key_set(a, b).candidates("c", "EdDSA")) == ()


def test_a_kid_may_belong_to_several_keys_of_different_algorithms() -> None:
    one, other = key("a", "1", "ES256"), key("a", "2", "RS256")

    assert tuple(key_set(one, other).candidates("a", "RS256")) == (other,)


def test_an_unknown_kid_leaves_the_keys_that_carry_none() -> None:
    named, nameless = key("a", "1"), key(None, "2")

    assert tuple(key_set(named, nameless).candidates("c", "EdDSA")) == (nameless,)
    assert tuple(key_set(named, nameless).candidates("a", "EdDSA")) == (named,)


def test_a_token_without_a_kid_may_be_signed_by_any_fitting_key() -> None:
    one, other, nameless = key("a", "1"), key("b", "2", "ES256"), key(None, "3")

    assert tuple(key_set(one, other, nameless).candidates(None, "EdDSA")) == (one, nameless)


def test_a_key_that_is_published_for_another_issuer_is_no_candidate() -> None:
    anybodys, one, other = (
        VerificationKey(None, name, frozenset({"EdDSA"}), PUBLIC, issuer)
        for name, issuer in (("1", None), ("2", "https://a.test"), ("3", "https://b.test"))
    )
    keys = key_set(anybodys, one, other)

    assert tuple(keys.candidates(None, "EdDSA", "https://a.test")) == (anybodys, one)
    assert tuple(keys.candidates("x", "EdDSA", "https://c.test")) == (anybodys,)
    assert tuple(keys.candidates("x", "EdDSA")) == (anybodys, one, other)


def test_a_key_set_knows_the_kids_it_has() -> None:
    keys = key_set(key("a", "1"), key(None, "2"))

    assert keys.knows("a")
    assert not keys.knows("b")


def test_keys_are_usable_until_they_are_too_old() -> None:
    snapshot = KeySnapshot({"gateway": key_set(key("a", "1"))})

    assert snapshot.usable("gateway", NOW - 0.001) is snapshot.sets["gateway"]
    assert snapshot.usable("gateway", NOW) is None
    assert snapshot.usable("never-read", 0) is None


def test_a_set_whose_keys_have_all_gone_is_of_no_use() -> None:
    assert KeySnapshot({"gateway": key_set()}).usable("gateway", NOW - 1) is None
