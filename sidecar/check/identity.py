"""From verified claims to the headers a service reads, and the headers no client may send.

Strip first, then set: every header owned here is overwritten or removed on every outcome that
reaches the service, and so is every received spelling that a service might read as one of them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.check.claims import find
from sidecar.check.extract import CookieSource, Credential, cookie_pairs
from sidecar.check.refusal import Refusal
from sidecar.check.trust import ClaimPath
from sidecar.model import HeaderChanges, Reason, RequestView, VerifiedToken

_ENCODED: Final = re.compile(r"[^ -~]|[%,]|^ +| +$")
_PRINTABLE: Final = re.compile(rb"[ -~]*")


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
    """Computes the header changes of a request that goes on to the service."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._owned = frozenset([name for name, _ in settings.headers]) | frozenset(settings.strip)

    def for_token(
        self, request: RequestView, token: VerifiedToken, credential: Credential
    ) -> HeaderChanges | Refusal:
        """The identity of a verified token, replacing whatever the client sent under its names."""
        overwrite = []
        size = 0
        for name, path in self._settings.headers:
            value = encode(find(token.claims, path))
            if value:
                overwrite.append((name, value))
                size += len(name) + len(value)
        if size > self._settings.maximum_bytes:
            limit = self._settings.maximum_bytes
            return Refusal(Reason.IDENTITY_TOO_LARGE, f"{size} bytes, and {limit} are allowed")
        remove = self._stripped(request, frozenset(name for name, _ in overwrite))
        if self._settings.forward_token:
            return HeaderChanges(tuple(overwrite), tuple(remove))
        if isinstance(credential.source, CookieSource):
            rest = _cookies_without(request, credential.source.name)
            if rest:
                overwrite.append(("cookie", rest))
            else:
                remove.append("cookie")
        else:
            remove.append(credential.source.name)
        return HeaderChanges(tuple(overwrite), tuple(remove))

    def for_nobody(self, request: RequestView) -> HeaderChanges:
        """No identity: every owned header is taken away."""
        return HeaderChanges((), tuple(self._stripped(request, frozenset())))

    def _stripped(self, request: RequestView, kept: frozenset[str]) -> list[str]:
        twins = {
            name
            for name, _ in request.headers
            if name not in kept and (name in self._owned or name.replace("_", "-") in self._owned)
        }
        return sorted(twins | (self._owned - kept))


def encode(value: object) -> str:
    """A claim as a header's value; empty when there is nothing to say.

    Lists are joined with commas; inside an item, percent, comma, control and non-ASCII characters
    and leading or trailing spaces are percent-encoded (UTF-8). Split first, then decode. A nested
    object is written as JSON and encoded like any text.
    """
    if isinstance(value, list):
        return ",".join(_encode_item(item) for item in value if item is not None)
    return _encode_item(value)


def _encode_item(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list | Mapping | bool):
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    else:
        text = str(value)
    return _ENCODED.sub(_percent, text)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode())


def _cookies_without(request: RequestView, name: str) -> str:
    """The Cookie header without one cookie.

    Envoy takes header values as UTF-8 text: a pair with other bytes cannot be passed on unchanged
    and is left out.
    """
    dropped = name.encode()
    return "; ".join(
        f"{key.decode()}={value.decode()}"
        for key, value in cookie_pairs(request.values("cookie"))
        if key != dropped and _PRINTABLE.fullmatch(key) and _PRINTABLE.fullmatch(value)
    )
