"""Strict reading of a compact JWS (RFC 7515 §5.2), and its signature.

PyJWT's decoder accepts more than the RFC does (padding, duplicate names, dates as strings), so
the reading is done here; the cryptography is PyJWT's and OpenSSL's.
"""

import binascii
import re
from dataclasses import dataclass
from typing import Any, Final

from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

from sidecar.check.refusal import Refusal
from sidecar.check.strict_json import StrictJsonError, load_object
from sidecar.model import Reason
from sidecar.snapshots.keys import VerificationKey

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ENCRYPTED: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){4}")
# In the last character of a group of two or three, the bits that carry no data must be zero
# (RFC 4648 §3.5); otherwise two texts would be one token.
_LAST_OF_TWO: Final = frozenset("AQgw")
_LAST_OF_THREE: Final = frozenset("AEIMQUYcgkosw048")

_ALGORITHMS: Final[dict[str, Algorithm]] = {
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "RS384": RSAAlgorithm(RSAAlgorithm.SHA384),
    "RS512": RSAAlgorithm(RSAAlgorithm.SHA512),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "PS384": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384),
    "PS512": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256),
    "ES384": ECAlgorithm(ECAlgorithm.SHA384),
    "ES512": ECAlgorithm(ECAlgorithm.SHA512),
    "EdDSA": OKPAlgorithm(),
    "Ed25519": OKPAlgorithm(),
}
# RFC 7518 §3.4: the signature is R and S, each as long as the curve's order.
_SIGNATURE_BYTES: Final = {"ES256": 64, "ES384": 96, "ES512": 132}


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token that can be read. Nothing in it has been verified.

    ``type`` is the ``typ`` header in lower case without ``application/`` (RFC 7515 §4.1.9), None
    where the token has none.
    """

    algorithm: str
    kid: str | None
    type: str | None
    claims: dict[str, object]
    payload: bytes
    signing_input: bytes
    signature: bytes


def parse(token: str, maximum_bytes: int) -> UnverifiedToken | Refusal:
    """Read a compact JWS strictly.

    Args:
        token: what the client sent as its token; any text.
        maximum_bytes: the size above which nothing is decoded.
    """
    if len(token) > maximum_bytes:
        return Refusal(Reason.TOKEN_TOO_LARGE, f"more than {maximum_bytes} bytes")
    if not _COMPACT.fullmatch(token):
        if _ENCRYPTED.fullmatch(token):
            return _malformed("it is encrypted (JWE), and only signed tokens are accepted")
        return _malformed("it is not three base64url segments joined by dots")
    signing_input, _, encoded_signature = token.rpartition(".")
    encoded_header, _, encoded_payload = signing_input.partition(".")
    raw_header = _decode(encoded_header)
    payload = _decode(encoded_payload)
    signature = _decode(encoded_signature)
    if raw_header is None or payload is None or signature is None:
        return _malformed("a segment is not canonical base64url")
    try:
        header = load_object(raw_header)
    except StrictJsonError as fault:
        return _malformed(f"its header {fault}")
    if "crit" in header:
        return Refusal(Reason.UNSUPPORTED_CRITICAL_HEADER, "no critical header is understood here")
    algorithm, kid, type_ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str):
        return _malformed("its header has no algorithm")
    if "kid" in header and not isinstance(kid, str):
        return _malformed("its key id is not a string")
    # ASCII alone: lower-casing turns some other characters into ASCII letters (U+212A into k).
    if "typ" in header and not (isinstance(type_, str) and type_.isascii()):
        return _malformed("its type is not an ASCII string")
    try:
        claims = load_object(payload)
    except StrictJsonError as fault:
        return _malformed(f"its payload {fault}")
    return UnverifiedToken(
        algorithm=algorithm,
        kid=kid if isinstance(kid, str) else None,
        type=media_type(type_) if isinstance(type_, str) else None,
        claims=claims,
        payload=payload,
        signing_input=signing_input.encode(),
        signature=signature,
    )


def media_type(value: str) -> str:
    """The one form in which ``typ`` values are compared (RFC 7515 §4.1.9)."""
    return value.lower().removeprefix("application/")


def signature_holds(token: UnverifiedToken, key: VerificationKey) -> bool:
    """Whether ``key`` signed the token.

    The caller has made sure that the token's algorithm is one of ``key.algorithms``.
    """
    expected = _SIGNATURE_BYTES.get(token.algorithm)
    if expected is not None and len(token.signature) != expected:
        return False
    verifier: Any = _ALGORITHMS[token.algorithm]  # Any: each class types its own kind of key
    return bool(verifier.verify(token.signing_input, key.public_key, token.signature))


def _malformed(detail: str) -> Refusal:
    return Refusal(Reason.MALFORMED_TOKEN, detail)


def _decode(segment: str) -> bytes | None:
    """Canonical, unpadded base64url (RFC 7515 §2), or None."""
    rest = len(segment) % 4
    if (
        rest == 1
        or (rest == 2 and segment[-1] not in _LAST_OF_TWO)
        or (rest == 3 and segment[-1] not in _LAST_OF_THREE)
    ):
        return None
    standard = segment.replace("-", "+").replace("_", "/") + "=" * (-len(segment) % 4)
    return binascii.a2b_base64(standard)
