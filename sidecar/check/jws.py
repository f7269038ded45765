"""Strict reading of a compact JWS (RFC 7515 §5.2).

PyJWT's decoder accepts more than the RFC does (padding, duplicate names, dates as strings), so
the reading is done here.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from sidecar.check.refusal import Refusal
from sidecar.jose import base64url
from sidecar.jose.strict_json import StrictJsonError, load_object
from sidecar.model import Reason

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ENCRYPTED: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){4}")
_NOT_CANONICAL: Final = Refusal(Reason.MALFORMED_TOKEN, "a segment is not canonical base64url")


class JoseHeader(NamedTuple):
    """A token's header (RFC 7515 §4). ``jku``, ``jwk``, ``x5u`` and ``x5c`` are not read.

    ``type`` is in the form of ``media_type``. ``kid`` and ``type`` are None where there is none.
    """

    algorithm: str
    kid: str | None
    type: str | None


class UnverifiedToken(NamedTuple):
    """A token that can be read. Nothing in it has been verified."""

    header: JoseHeader
    claims: dict[str, object]
    payload: bytes
    signing_input: bytes
    signature: bytes


def parse(
    token: str, maximum_bytes: int, maximum_values: int | None = None
) -> UnverifiedToken | Refusal:
    """Read a compact JWS strictly.

    Args:
        token: what the client sent as its token; any text.
        maximum_bytes: the size above which nothing is decoded.
        maximum_values: how many values its header and its payload may each hold
            (``strict_json.load_object``).
    """
    if len(token) > maximum_bytes:
        return Refusal(Reason.TOKEN_TOO_LARGE, f"more than {maximum_bytes} bytes")
    if not _COMPACT.fullmatch(token):
        if _ENCRYPTED.fullmatch(token):
            return _malformed("it is encrypted (JWE), and only signed tokens are accepted")
        if "=" in token and _COMPACT.fullmatch(token.replace("=", "")):
            return _malformed("its segments keep their = padding, and a JWS has none (RFC 7515 §2)")
        return _malformed("it is not three base64url segments joined by dots")
    signing_input, _, encoded_signature = token.rpartition(".")
    encoded_header, _, encoded_payload = signing_input.partition(".")
    header = _header(encoded_header, maximum_values)
    if isinstance(header, Refusal):
        return header
    payload, signature = base64url.decode(encoded_payload), base64url.decode(encoded_signature)
    if payload is None or signature is None:
        return _NOT_CANONICAL
    try:
        claims = load_object(payload, maximum_values)
    except StrictJsonError as fault:
        return _malformed(f"its payload {fault}")
    return UnverifiedToken(header, claims, payload, signing_input.encode(), signature)


def media_type(value: str) -> str:
    """The one form in which ``typ`` values are compared (RFC 7515 §4.1.9)."""
    return value.lower().removeprefix("application/")


@lru_cache(maxsize=64)  # all tokens of a key have one header; 64 of at most the token's size
def _header(encoded: str, maximum_values: int | None) -> JoseHeader | Refusal:
    raw = base64url.decode(encoded)
    if raw is None:
        return _NOT_CANONICAL
    try:
        header = load_object(raw, maximum_values)
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
    return JoseHeader(
        algorithm,
        kid if isinstance(kid, str) else None,
        media_type(type_) if isinstance(type_, str) else None,
    )


def _malformed(detail: str) -> Refusal:
    return Refusal(Reason.MALFORMED_TOKEN, detail)
