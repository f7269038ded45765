"""Encrypted tokens: a compact JWE (RFC 7516 §7.1) under one symmetric key, sealed and opened.

Only ``dir`` with ``A256GCM`` (RFC 7518 §4.5 and §5.3): the key encrypts the content directly, and
the tag authenticates content and header. Parsing is as strict as that of a signed token
(``check.jws``).
"""

import json
import re
import secrets
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sidecar.jose import base64url
from sidecar.jose.strict_json import StrictJsonError, load_object

# Header, no encrypted key, 96 bits of initialisation vector, ciphertext, 128 bits of tag.
_COMPACT: Final = re.compile(
    r"([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{22})"
)
_ALGORITHMS: Final = {"alg": "dir", "enc": "A256GCM"}
# Random, so that replicas need not agree on a counter. NIST SP 800-38D §8.3 allows one key 2^32 of
# them. 100,000 sessions that are renewed every minute use as many in 30 days. A gateway with far
# more sessions must rotate its keys more often.
_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16
# The headers that ``seal`` writes have four.
_HEADER_VALUES: Final = 8
_NOT_CANONICAL: Final = "a segment is not canonical base64url"


class JweError(ValueError):
    """The text is not a token sealed with this key. The message says why."""


class ContentKey(Protocol):
    """A symmetric key that encrypts content itself."""

    @property
    def kid(self) -> str:
        """Its id."""
        ...

    @property
    def cipher(self) -> AESGCM:
        """The cipher with this key."""
        ...


class Sealed(NamedTuple):
    """A parsed token. Nothing in it has been authenticated."""

    kid: str
    header: bytes
    iv: bytes
    ciphertext: bytes


def seal(payload: bytes, key: ContentKey, type_: str) -> str:
    """A compact JWE of the payload.

    Args:
        payload: the content.
        key: the key to encrypt with.
        type_: the header's ``typ``.
    """
    header = _header(key.kid, type_)
    iv = secrets.token_bytes(_IV_BYTES)
    sealed = key.cipher.encrypt(iv, payload, header.encode())
    ciphertext, tag = sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]
    encode = base64url.encode
    return f"{header}..{encode(iv)}.{encode(ciphertext)}.{encode(tag)}"


def parse(text: str, type_: str) -> Sealed:
    """Parse a compact JWE.

    Args:
        text: what the client sent; any text, whose size the caller has limited.
        type_: the ``typ`` that its header must have.

    Raises:
        JweError: it is not a compact JWE of that type.
    """
    parts = _COMPACT.fullmatch(text)
    if parts is None:
        raise JweError("it is not five base64url segments as direct encryption has them")
    encoded_header, encoded_iv, encoded_ciphertext, encoded_tag = parts.groups()
    kid = _read_header(encoded_header, type_)
    iv, ciphertext, tag = map(base64url.decode, (encoded_iv, encoded_ciphertext, encoded_tag))
    if iv is None or ciphertext is None or tag is None:
        raise JweError(_NOT_CANONICAL)
    return Sealed(kid, encoded_header.encode(), iv, ciphertext + tag)


def unseal(sealed: Sealed, key: ContentKey) -> bytes:
    """The payload.

    Raises:
        JweError: the token was changed, or sealed with another key.
    """
    try:
        return key.cipher.decrypt(sealed.iv, sealed.ciphertext, sealed.header)
    except InvalidTag as fault:
        raise JweError("it was changed, or sealed with another key of this id") from fault


@lru_cache(maxsize=16)  # one for each key that seals
def _header(kid: str, type_: str) -> str:
    header = {**_ALGORITHMS, "kid": kid, "typ": type_}
    return base64url.encode(json.dumps(header, separators=(",", ":")).encode())


@lru_cache(maxsize=64)  # all tokens of a key have one header
def _read_header(encoded: str, type_: str) -> str:
    """The ``kid`` of a header that has the members ``seal`` writes and no other."""
    raw = base64url.decode(encoded)
    if raw is None:
        raise JweError(_NOT_CANONICAL)
    try:
        header = load_object(raw, _HEADER_VALUES)
    except StrictJsonError as fault:
        raise JweError(f"its header {fault}") from fault
    kid = header.get("kid")
    if not isinstance(kid, str) or header != {**_ALGORITHMS, "kid": kid, "typ": type_}:
        raise JweError(f"its header is not that of a {type_}")
    return kid
