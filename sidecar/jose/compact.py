"""Writes a compact JWS (RFC 7515 §3.1): its signing input, and the token."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from sidecar.jose import base64url

# Created once: its creation costs a fifth of encoding a token's claims.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def signing_input(
    claims: Mapping[str, object], kid: str | None, algorithm: str, type_: str
) -> bytes:
    """The bytes that a key signs (RFC 7515 §5.1).

    Args:
        claims: the claims of a JWT; JSON values.
        kid: the key's id; None for none.
        algorithm: the JWS ``alg`` it signs with.
        type_: the ``typ``, without ``application/``.
    """
    payload = base64url.encode(_ENCODER.encode(claims).encode())
    return f"{_header(kid, algorithm, type_)}.{payload}".encode()


def compact(message: bytes, signature: bytes) -> str:
    """The token: a signing input and its signature."""
    return f"{message.decode()}.{base64url.encode(signature)}"


@lru_cache(maxsize=16)  # one for each key that signs
def _header(kid: str | None, algorithm: str, type_: str) -> str:
    header = {"alg": algorithm, "typ": type_, **({} if kid is None else {"kid": kid})}
    return base64url.encode(_ENCODER.encode(header).encode())
