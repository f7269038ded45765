"""The identity headers: set from verified claims, and never accepted from a client.

Strip first, then set: every header owned here is overwritten or removed on every request that
reaches the service, and so is every received spelling that a service might read as one of them
(``folded``). The next server may remove the headers that ``Connection`` names (RFC 9110 §7.6.1), so
the names that a client sends in it are not forwarded.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from string import ascii_lowercase, digits
from typing import Final

from sidecar.check.claims import find
from sidecar.check.cookies import TokenCookies
from sidecar.check.extract import HeaderSource, TokenSource, WebSocketProtocolSource
from sidecar.check.refusal import Refusal
from sidecar.check.trust import ClaimPath
from sidecar.check.websocket_protocols import HEADER as PROTOCOLS
from sidecar.check.websocket_protocols import without_token
from sidecar.model import HeaderChanges, Reason, RequestView, VerifiedToken

_VERBATIM: Final = re.compile(r"[ -$&-+\--~]*")
# A value that needs no encoding, as most do not.
_PLAIN: Final = re.compile(r"(?:[!-$&-+\--~](?:[ -$&-+\--~]*[!-$&-+\--~])?)?")
# How each byte of a value is written.
_ENCODED: Final = [
    chr(byte) if _VERBATIM.fullmatch(chr(byte)) else f"%{byte:02X}" for byte in range(256)
]
_JSON: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

# Where a service looks for a credential (RFC 9110 §11.6.2, §11.7.2). What a client sends there is
# verified only if the header is a token source.
_CREDENTIAL_HEADERS: Final = ("authorization", "proxy-authorization")
# Envoy removes it from every request (RFC 9110 §7.6.1) except an upgrade, which needs it.
_CONNECTION: Final = "connection"

# Translation table: letters and digits stay, every other byte becomes a hyphen.
_FOLDING: Final = bytes(
    byte if chr(byte) in ascii_lowercase + digits else ord("-") for byte in range(256)
)


def folded(name: str) -> str:
    """The form that all spellings of a header's name share.

    CGI writes ``-`` as ``_`` (RFC 3875 §4.1.18), and servers do the same with every character that
    is not a letter or digit: ``x.user~id`` and ``x-user-id`` are one variable to an application.

    Args:
        name: in lower case.
    """
    return name.encode("ascii", "replace").translate(_FOLDING).decode("ascii")


# Only names as long as an owned header's are folded: few, and a client repeats the same ones.
_folded: Final = lru_cache(maxsize=512)(folded)


class Normalised(Enum):
    """What is read from a token into one form, whichever claims its issuer uses."""

    SCOPES = "scopes"
    ROLES = "roles"
    GROUPS = "groups"


IdentitySource = ClaimPath | Normalised


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """How identity is passed to the service.

    ``headers`` maps a header's name (lower case) to its source; ``strip`` names further headers
    that are removed from every request. ``passed`` names headers with credentials that the service
    checks itself. ``max_bytes`` bounds names and values together; Envoy refuses requests whose
    headers exceed its own limit.
    """

    headers: tuple[tuple[str, IdentitySource], ...]
    strip: tuple[str, ...]
    passed: tuple[str, ...]
    forward_token: bool
    max_bytes: int


class IdentityHeaders:
    """Computes the header changes of a request that is forwarded to the service.

    ``sources`` are the places a token is taken from. Their headers stay if tokens are forwarded;
    another spelling of one, which would reach the service unverified, is removed. The same holds
    for ``read``, the headers that conditions may read. A token among the protocols of a WebSocket
    is always removed.
    """

    def __init__(
        self,
        settings: IdentitySettings,
        sources: tuple[TokenSource, ...] = (),
        read: frozenset[str] = frozenset(),
    ) -> None:
        self._settings = settings
        self._token_headers = frozenset(
            each.name for each in sources if isinstance(each, HeaderSource)
        )
        verified = self._token_headers.union(settings.passed)
        owned = [name for name, _ in settings.headers] + list(settings.strip)
        owned += [name for name in _CREDENTIAL_HEADERS if name not in verified]
        self._nobody = dict.fromkeys(owned, "")
        # A configuration has one prefix at most.
        self._protocol_prefix = next(
            (each.prefix.encode() for each in sources if isinstance(each, WebSocketProtocolSource)),
            None,
        )
        if self._protocol_prefix is not None:
            owned.append(PROTOCOLS)
        # The client's own, in this spelling alone.
        self._spelt = self._token_headers | read
        self._guarded = frozenset(map(folded, self._spelt.union(owned, (_CONNECTION,))))
        # Every spelling of a name has the same length. Only received names of such a length are
        # folded, which are few.
        self._lengths = frozenset(map(len, self._guarded))

    def for_token(
        self, request: RequestView, cookies: TokenCookies, token: VerifiedToken
    ) -> HeaderChanges | Refusal:
        """The identity of a verified token; it replaces what the client sent in these headers.

        ``cookies`` are those of the request that were found for the sources of tokens.
        """
        claims, values, size = token.claims, {}, 0
        for name, source in self._settings.headers:
            if isinstance(source, Normalised):
                names: frozenset[str] = getattr(token, source.value)
                claim: object = sorted(names)
            else:
                claim = claims.get(source[0]) if len(source) == 1 else find(claims, source)
            values[name] = value = encode(claim)
            if value:
                size += len(name) + len(value)
        if size > self._settings.max_bytes:
            limit = self._settings.max_bytes
            return Refusal(Reason.IDENTITY_TOO_LARGE, f"{size} bytes, and {limit} are allowed")
        return self._changes(request, cookies, self._nobody | values)

    def for_nobody(self, request: RequestView, cookies: TokenCookies) -> HeaderChanges:
        """No identity: every owned header is removed. ``cookies`` are as for ``for_token``."""
        return self._changes(request, cookies, self._nobody)

    def _changes(
        self, request: RequestView, cookies: TokenCookies, identity: dict[str, str]
    ) -> HeaderChanges:
        """The owned headers with these values; one whose value is empty is removed."""
        values = identity.copy()
        if not self._settings.forward_token:
            values |= dict.fromkeys(self._token_headers, "")
            if cookies.present:
                values["cookie"] = cookies.others()
        if self._protocol_prefix is not None and request.values(PROTOCOLS):
            values[PROTOCOLS] = without_token(request, self._protocol_prefix)
        for name, _ in request.headers:
            if (
                len(name) in self._lengths
                and name not in self._spelt
                and _folded(name) in self._guarded
            ):
                values.setdefault(name, "")
        if _CONNECTION in values and request.values("upgrade"):
            values[_CONNECTION] = "upgrade"
        overwrite, remove = [], []
        for name, value in values.items():
            if value:
                overwrite.append((name, value))
            else:
                remove.append(name)
        return HeaderChanges(tuple(overwrite), tuple(sorted(remove)))


def encode(value: object) -> str:
    """A claim as a header's value; empty when there is no value.

    Lists are joined with commas; inside an item, percent, comma, control and non-ASCII characters
    and leading or trailing spaces are percent-encoded (UTF-8). Split first, then decode. A nested
    object is written as JSON and encoded like any text.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    if isinstance(value, list):
        return ",".join(
            [
                item if isinstance(item, str) and _PLAIN.fullmatch(item) else _encode_item(item)
                for item in value
                if item is not None
            ]
        )
    return _encode_item(value)


def _encode_item(value: object) -> str:
    if isinstance(value, str):
        text = value
    elif value is None:
        return ""
    elif isinstance(value, list | Mapping | bool):
        text = _JSON.encode(value)
    else:
        text = str(value)
    inner = text.strip(" ")
    if len(inner) == len(text):
        return text if _VERBATIM.fullmatch(text) else _percent(text)
    if not inner:
        return "%20" * len(text)
    before, _, after = text.partition(inner)
    return "%20" * len(before) + _percent(inner) + "%20" * len(after)


def _percent(text: str) -> str:
    # All characters in one call: a user may have chosen thousands.
    return text.encode().decode("latin-1").translate(_ENCODED)
