"""Writing a compact JWS (RFC 7515 §3.1): what is signed, and the token once it is."""

import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

# Built once: building it costs as much as a fifth of what it does for a token.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def signing_input(claims: Mapping[str, object], kid: str, algorithm: str, type_: str) -> bytes:
    """The bytes that a key signs (RFC 7515 §5.1).

    Args:
        claims: the claims of a JWT; JSON values.
        kid: the key's id.
        algorithm: the JWS ``alg`` it signs with.
        type_: the ``typ``, without ``application/``.
    """
    payload = _ENCODER.encode(claims).encode()
    return _header(kid, algorithm, type_) + b"." + _base64url(payload)


def compact(message: bytes, signature: bytes) -> str:
    """The token: a signing input and its signature."""
    return (message + b"." + _base64url(signature)).decode("ascii")


@lru_cache(maxsize=16)  # one for each key that signs
def _header(kid: str, algorithm: str, type_: str) -> bytes:
    header = {"alg": algorithm, "kid": kid, "typ": type_}
    return _base64url(json.dumps(header, separators=(",", ":")).encode())


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
