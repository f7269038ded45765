"""From verified claims to the headers a service reads, and the headers no client may send.

Strip first, then set: every header owned here is overwritten or removed on every outcome that
reaches the service, and so is every received spelling that a service might read as one of them
(CGI and its descendants write both ``-`` and ``_`` as ``_``).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.check.claims import find
from sidecar.check.cookies import TokenCookies
from sidecar.check.extract import HeaderSource, TokenSource
from sidecar.check.refusal import Refusal
from sidecar.check.trust import ClaimPath
from sidecar.model import HeaderChanges, Reason, RequestView, VerifiedToken

_VERBATIM: Final = re.compile(r"[ -$&-+\--~]*")
# How each byte of a value is written.
_ENCODED: Final = [
    chr(byte) if _VERBATIM.fullmatch(chr(byte)) else f"%{byte:02X}" for byte in range(256)
]
_JSON: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """How identity is handed to the service.

    ``headers`` maps a header's name (lower case) to the claim it carries; ``strip`` names further
    headers that are ours and never come from a client. ``maximum_bytes`` bounds names and values
    together; Envoy refuses requests whose headers outgrow its own limit.
    """

    headers: tuple[tuple[str, ClaimPath], ...] = ()
    strip: tuple[str, ...] = ()
    forward_token: bool = True
    maximum_bytes: int = 8192


class IdentityHeaders:
    """Computes the header changes of a request that goes on to the service.

    ``sources`` are where a token is taken from. Their headers stay, unless tokens are not
    forwarded; another spelling of one would reach the service unverified, and goes.
    """

    def __init__(self, settings: IdentitySettings, sources: tuple[TokenSource, ...] = ()) -> None:
        self._settings = settings
        owned = [name for name, _ in settings.headers] + list(settings.strip)
        self._nobody = dict.fromkeys(owned, "")
        self._token_headers = frozenset(
            each.name for each in sources if isinstance(each, HeaderSource)
        )
        # In the form that all spellings of a name share.
        self._guarded = frozenset(
            name.replace("_", "-") for name in self._token_headers.union(owned)
        )

    def for_token(
        self, request: RequestView, cookies: TokenCookies, token: VerifiedToken
    ) -> HeaderChanges | Refusal:
        """The identity of a verified token, replacing whatever the client sent under its names.

        ``cookies`` are those of the request that were found for the sources of tokens.
        """
        values = {name: encode(find(token.claims, path)) for name, path in self._settings.headers}
        size = sum([len(name) + len(value) for name, value in values.items() if value])
        if size > self._settings.maximum_bytes:
            limit = self._settings.maximum_bytes
            return Refusal(Reason.IDENTITY_TOO_LARGE, f"{size} bytes, and {limit} are allowed")
        return self._changes(request, cookies, self._nobody | values)

    def for_nobody(self, request: RequestView, cookies: TokenCookies) -> HeaderChanges:
        """No identity: every owned header is taken away. ``cookies`` are as for ``for_token``."""
        return self._changes(request, cookies, self._nobody)

    def _changes(
        self, request: RequestView, cookies: TokenCookies, identity: dict[str, str]
    ) -> HeaderChanges:
        """The owned headers with these values; one whose value is empty is taken away."""
        values = identity | self._without_tokens(cookies)
        for name, _ in request.headers:
            if name.replace("_", "-") in self._guarded and name not in self._token_headers:
                values.setdefault(name, "")
        return HeaderChanges(
            tuple([item for item in values.items() if item[1]]),
            tuple(sorted([name for name, value in values.items() if not value])),
        )

    def _without_tokens(self, cookies: TokenCookies) -> dict[str, str]:
        """The values that leave no token in the request, where tokens are not forwarded."""
        if self._settings.forward_token:
            return {}
        values = dict.fromkeys(self._token_headers, "")
        if cookies.found:
            values["cookie"] = cookies.others()
        return values


def encode(value: object) -> str:
    """A claim as a header's value; empty when there is nothing to say.

    Lists are joined with commas; inside an item, percent, comma, control and non-ASCII characters
    and leading or trailing spaces are percent-encoded (UTF-8). Split first, then decode. A nested
    object is written as JSON and encoded like any text.
    """
    if isinstance(value, list):
        return ",".join([_encode_item(item) for item in value if item is not None])
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
    # All characters at once: an issuer's user may have chosen thousands.
    return text.encode().decode("latin-1").translate(_ENCODED)
