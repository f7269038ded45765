"""Reads verification keys from a published document: a JWKS (RFC 7517) or PEM."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from sidecar.errors import SourceFault
from sidecar.jose.algorithms import (
    ED25519_NAMES,
    MAXIMUM_RSA_BITS,
    MINIMUM_RSA_BITS,
    PublicKey,
    algorithms_for,
)
from sidecar.jose.issuers import IssuerTemplate, parse_template
from sidecar.jose.jwk import VerificationKey, thumbprint
from sidecar.jose.strict_json import StrictJsonError, load_object
from sidecar.jose.weakness import weakness

MAXIMUM_KEYS: Final = 1000
# Members that only private and shared keys have: RFC 7518 §6.2.2, §6.3.2, §6.4.1, RFC 8037 §2.
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_BEGIN: Final = b"-----BEGIN "
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_EXTRACT: Final = "take its public key out with `openssl x509 -pubkey -noout`"
# ASN.1 SEQUENCE (X.690 §8.9.1): a key or a certificate. In text it is the digit 0.
_DER: Final = b"\x30"
_FROM_DER: Final = (
    "convert a key with `openssl pkey -pubin -inform DER`, and of a certificate take the public "
    "key with `openssl x509 -inform DER -pubkey -noout`"
)
# The members of a JWK that are the key itself, of every type that is read.
_PARAMETERS: Final = frozenset({"n", "e", "crv", "x", "y"})
_LONGEST_PEM: Final = 4096  # RSA of 8,192 bits takes about 1,400
_LONGEST_KID: Final = 64  # in messages
_MAXIMUM_CAUSES: Final = 5
_CURVES: Final = ("P-256", "P-384", "P-521", "Ed25519")
_FROM_JWK: Final[dict[str, Callable[[dict[str, object]], object]]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


class KeyDocument(NamedTuple):
    """The usable keys of a document, and a message for each that is broken or weak."""

    keys: tuple[VerificationKey, ...]
    left_out: tuple[str, ...]


def parse(document: bytes) -> KeyDocument:
    """Read every usable key of a JWKS or of one or more PEM blocks.

    A JWK of an unknown type, for encryption or with missing members is passed over (RFC 7517 §5),
    and so is a weak key; the set stays usable. Takes up to 0.2 s for the largest set: not for the
    event loop's thread.

    Raises:
        SourceFault: the document is neither, holds private or shared key material, holds no key
            that can be used here, or more than 1,000.
    """
    pem = document.lstrip().startswith(_BEGIN)
    read = tuple(_from_pem(document) if pem else _from_jwks(document))
    keys = tuple(key for key in read if isinstance(key, VerificationKey))
    left_out = tuple(cause for cause in read if isinstance(cause, str))
    if not keys:
        causes = f" ({in_short(left_out)})" if left_out else ""
        raise SourceFault(
            "holds no usable public key; usable are RSA of at least 2,048 bits, "
            f"P-256, P-384, P-521 and Ed25519, for signatures{causes}"
        )
    return KeyDocument(keys, left_out)


def in_short(left_out: tuple[str, ...]) -> str:
    """The first few of the causes, and how many more there are."""
    more = len(left_out) - _MAXIMUM_CAUSES
    return "; ".join(left_out[:_MAXIMUM_CAUSES]) + (f"; and {more} more" if more > 0 else "")


def _from_pem(document: bytes) -> Iterator[VerificationKey | str | None]:
    if b"PRIVATE KEY-----" in document:
        raise SourceFault(
            "holds a private key; publish the public half alone and replace the key pair"
        )
    _bound(document.count(_BEGIN))
    for number, text in enumerate(document.split(_BEGIN)[1:], 1):
        label, _, rest = text.partition(b"-----")
        end = b"-----END %b-----" % label
        content, found, _ = rest.partition(end)
        if not found:
            raise SourceFault("holds a PEM block without its end")
        if len(content) > _LONGEST_PEM:
            raise SourceFault(f"holds a PEM block of more than {_LONGEST_PEM} bytes")
        if label.endswith(b"CERTIFICATE"):
            raise SourceFault(f"holds a certificate, and a public key is needed; {_EXTRACT}")
        try:
            key = load_pem_public_key(b"%b%b-----%b%b" % (_BEGIN, label, content, end))
        except (ValueError, UnsupportedAlgorithm) as fault:
            raise SourceFault(f"holds a PEM block that is not a public key ({fault})") from fault
        yield _verification_key(key, f"PEM block {number}", kid=None, algorithm=None)


def _from_jwks(document: bytes) -> Iterator[VerificationKey | str | None]:
    try:
        jwks = load_object(document)
    except StrictJsonError as fault:
        if document.startswith(_DER) and not document.isascii():
            raise SourceFault(f"is in DER, and PEM is needed; {_FROM_DER}") from fault
        raise SourceFault(f"is neither PEM nor a JWKS: it {fault}") from fault
    members = jwks.get("keys")
    if not isinstance(members, list):
        if any(isinstance(each, str) and each.startswith(_CERTIFICATE) for each in jwks.values()):
            raise SourceFault(
                "holds certificates by kid, and a JWKS is needed; name the JWKS that the issuer "
                "publishes as well"
            )
        if "jwks_uri" in jwks:
            raise SourceFault(
                "is a discovery document, and a JWKS is needed; name the URL in its jwks_uri"
            )
        if "kty" in jwks:
            _refuse_secrets([jwks])
            raise SourceFault('is one JWK, and a JWKS is needed; write {"keys": [..]} around it')
        raise SourceFault('is not a JWKS: it has no list "keys"')
    _bound(len(members))
    objects = [jwk for jwk in members if isinstance(jwk, dict)]
    _refuse_secrets(objects)
    yield from map(_from_jwk, objects)


def _refuse_secrets(jwks: Iterable[dict[str, object]]) -> None:
    if not all(_PRIVATE_MEMBERS.isdisjoint(jwk) for jwk in jwks):
        raise SourceFault(
            "holds private or shared key material; publish the public half alone "
            "and replace the key"
        )


def _bound(keys: int) -> None:
    if keys > MAXIMUM_KEYS:
        raise SourceFault(f"holds {keys} keys; at most {MAXIMUM_KEYS} are read")


def _from_jwk(jwk: dict[str, object]) -> VerificationKey | str | None:
    """A key, or why it is left out; None for one that is not for signatures checked here."""
    kind, kid, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    name = _name(kid)
    if "x5c" in jwk and _PARAMETERS.isdisjoint(jwk):
        return (
            f"{name} has x5c alone, and certificates are not read; write the members of the key "
            "itself, such as n and e (RFC 7518 §6)"
        )
    if not isinstance(kind, str) or not isinstance(algorithm, str | None):
        return None
    if kind not in _FROM_JWK or not _verifies_signatures(jwk):
        return None
    if not isinstance(kid, str | None):
        return f"{name} has a kid that is not a text (RFC 7517 §4.5); put it in quotes"
    try:
        issuer = _issuer(jwk.get("issuer"))
    except ValueError as fault:
        return f"{name} {fault}"
    try:
        key = _FROM_JWK[kind](jwk)
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError, KeyError, TypeError, AttributeError):
        # PyJWT does not catch all that binascii and cryptography raise about invalid members.
        return f"{name} cannot be read as one of type {kind}"
    return _verification_key(key, name, kid=kid, algorithm=algorithm, issuer=issuer)


def _verifies_signatures(jwk: dict[str, object]) -> bool:
    """Whether a JWK is for signatures, and of a curve that is checked here if it has one."""
    operations = jwk.get("key_ops", ["verify"])
    curve_is_read = jwk.get("kty") == "RSA" or jwk.get("crv") in _CURVES
    for_verifying = isinstance(operations, list) and "verify" in operations
    return curve_is_read and for_verifying and jwk.get("use", "sig") == "sig"


def _name(kid: object) -> str:
    """A key in a message."""
    if kid is None:
        return "the key without a kid"
    shown = ascii(kid[:_LONGEST_KID]) if isinstance(kid, str) else ascii(kid)[:_LONGEST_KID]
    return f"the key {shown}"


def _issuer(member: object) -> str | IssuerTemplate | None:
    """The issuer that a JWK names as its own.

    Raises:
        ValueError: it cannot be compared with that of a token.
    """
    if member is None:
        return None
    if not isinstance(member, str):
        raise ValueError("has an issuer that is not a text")  # noqa: TRY004 - one family
    template = parse_template(member)
    if template is None and ("{" in member or "}" in member):
        raise ValueError("has an issuer with a placeholder that is no whole segment of its path")
    return member if template is None else template


def _verification_key(
    key: object,
    name: str,
    *,
    kid: str | None,
    algorithm: str | None,
    issuer: str | IssuerTemplate | None = None,
) -> VerificationKey | str | None:
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        return None
    if isinstance(key, RSAPublicKey) and not algorithms_for(key):
        return (
            f"{name} has {key.key_size} bits; accepted are {MINIMUM_RSA_BITS} to {MAXIMUM_RSA_BITS}"
        )
    algorithms = _restricted(key, algorithm)
    if not algorithms:
        return None
    weak = weakness(key)
    if weak is not None:
        return f"{name} {weak}"
    return VerificationKey(kid, thumbprint(key), algorithms, key, issuer)


def _restricted(key: PublicKey, algorithm: str | None) -> frozenset[str]:
    """The algorithms a key may verify: all that fit its type, or only the ``alg`` it names."""
    fitting = algorithms_for(key)
    if algorithm is None:
        return fitting
    named = ED25519_NAMES if algorithm in ED25519_NAMES else frozenset({algorithm})
    return fitting & named
