"""The documents that the gateway publishes for verifiers of its tokens, and their caching.

Pure: a key ring provides the keys, ``pages.internal`` writes the responses.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from yarl import URL

JWKS_PATH: Final = "/.well-known/jwks.json"
_METADATA_PATH: Final = "/.well-known/oauth-authorization-server"

# RFC 9110 §8.8.3, without the mark of a weak one.
_ENTITY_TAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True, slots=True)
class Document:
    """A document that a cache may reuse for ``max_age`` seconds.

    ``etag`` is a strong entity tag (RFC 9110 §8.8.3): equal for equal bytes, at every replica.
    """

    body: bytes
    media_type: str
    max_age: int
    etag: str

    @property
    def cache_control(self) -> str:
        """The Cache-Control field (RFC 9111 §5.2.2)."""
        return f"public, max-age={self.max_age}" if self.max_age > 0 else "no-cache"

    def is_known(self, if_none_match: str) -> bool:
        """Whether a client that sent this If-None-Match has the document already.

        Tags are compared weakly (RFC 9110 §13.1.2), because a cache may have made ours weak.
        """
        return if_none_match.strip() == "*" or self.etag in _ENTITY_TAG.findall(if_none_match)


def jwks_document(jwks: Mapping[str, Any], max_age: int) -> Document:
    """A key set (RFC 7517 §5, §8.5.2) that may be reused for ``max_age`` seconds."""
    return _document(jwks, "application/jwk-set+json", max_age)


def metadata_document(issuer: str, max_age: int) -> Document:
    """The metadata of an authorization server that has keys and no endpoints (RFC 8414 §2)."""
    metadata = {
        "issuer": issuer,
        "jwks_uri": str(URL(issuer).origin()) + JWKS_PATH,
        # The first is required. Without the second, clients would assume its default grant types.
        "response_types_supported": [],
        "grant_types_supported": [],
    }
    return _document(metadata, "application/json", max_age)


def metadata_paths(issuer: str) -> tuple[str, ...]:
    """The paths, decoded, at which an issuer's metadata is served.

    RFC 8414 §3.1 appends the issuer's path to the well-known one. The well-known path alone is
    served too, because a proxy may have removed the issuer's path.
    """
    path = URL(issuer).path_safe.removesuffix("/")
    return (_METADATA_PATH, _METADATA_PATH + path) if path else (_METADATA_PATH,)


def _document(content: Mapping[str, Any], media_type: str, max_age: int) -> Document:
    body = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
    return Document(body, media_type, max_age, f'"{sha256(body).hexdigest()}"')
