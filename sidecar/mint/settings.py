"""The settings of minted tokens."""

from dataclasses import dataclass

from sidecar.check.patterns import EVERY_NAME
from sidecar.check.trust import ClaimPath

# RFC 9068 §2.1, and the longest a request token may live (seconds): it cannot be revoked.
TYPE = "at+jwt"
LONGEST_LIFETIME = 300.0


@dataclass(frozen=True, slots=True)
class RequestTokenSettings:
    """How request tokens are made; times in seconds.

    ``claims`` copies further claims of the credential, by name. ``actors`` are patterns of mTLS
    principals: a caller whose principal matches acts for the credential's subject (RFC 8693 §4.1).
    A token may be reused for the same credential and route for ``reuse`` seconds.
    """

    issuer: str
    lifetime: float
    claims: tuple[tuple[str, ClaimPath], ...]
    actors: tuple[str, ...]
    reuse: float
    reused_tokens: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The audiences of one route's tokens, and what they carry of what the credential has.

    ``roles`` and ``groups`` are patterns (``check.patterns``).
    """

    audiences: tuple[str, ...]
    scopes: frozenset[str]
    roles: tuple[str, ...] = (EVERY_NAME,)
    groups: tuple[str, ...] = (EVERY_NAME,)
