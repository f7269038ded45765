"""Cookies that carry tokens: found in one pass, and removed before forwarding (RFC 6265 §4.2.1).

The client chooses how many cookies there are. No object is created for a cookie of another name,
and a request with more cookies than the limit is refused before they are parsed.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from sidecar.check.refusal import Refusal
from sidecar.model import Reason, RequestView

# A cookie that cannot be sent to Envoy, with its semicolon: Envoy takes a header's value as UTF-8
# text without control characters. A surrogate stands for a byte that is not UTF-8. Possessive, so
# that no byte is read twice.
_UNSENDABLE: Final = re.compile(r";[^;\x00-\x08\x0a-\x1f\x7f-\x9f\udc80-\udcff]*+[^;]+")


# What some servers end a cookie with, or trim from its name, in addition to RFC 6265: Python's
# http.cookies splits at spaces, RFC 2109 §4.2.2 at commas, Django trims Unicode spaces. Envoy joins
# lines with a comma where it sends headers as a map.
_SEPARATORS: Final = bytes(
    ord(";") if byte >= 0x80 or chr(byte).isspace() or byte == ord(",") else byte
    for byte in range(256)
)


class TokenCookies(NamedTuple):
    """The cookies of a request that carry tokens.

    ``found`` has the name and the value of each, in their order. ``rest`` is the Cookie header
    without them, its lines joined: each cookie unchanged, after a semicolon. ``misplaced`` are the
    names at a place where only some servers see the start of a cookie, as in ``a=1,token=…``; then
    ``rest`` is empty.
    """

    found: tuple[tuple[bytes, bytes], ...] = ()
    rest: bytes = b""
    misplaced: frozenset[str] = frozenset()

    @property
    def present(self) -> bool:
        """Whether any server may find a token among the cookies."""
        return bool(self.found or self.misplaced)

    def values(self, name: str) -> list[bytes]:
        """The values of the cookies of this name."""
        wanted = name.encode()
        return [value.rstrip(b" \t") for each, value in self.found if each == wanted]

    def others(self) -> str:
        """The Cookie header without the tokens; it is never longer than the client's.

        A cookie that cannot be passed on unchanged is left out.
        """
        text = self.rest.decode(errors="surrogateescape")
        if not text.isprintable():
            text = _UNSENDABLE.sub("", text)
        return text.strip("; \t")


NO_TOKEN_COOKIES: Final = TokenCookies()


class CookieFinder:
    """Finds the cookies of these names in requests of at most ``maximum`` cookies."""

    def __init__(self, names: Iterable[str], maximum: int) -> None:
        names = tuple(names)
        self._cookie = _expression(names) if names else None
        self._words = {name: _word(name) for name in names}
        self._maximum = maximum

    def find(self, request: RequestView) -> TokenCookies | Refusal:
        """The token cookies of a request, or a refusal because it has too many cookies."""
        if self._cookie is None:
            return NO_TOKEN_COOKIES
        lines = request.values("cookie")
        if not lines:
            return NO_TOKEN_COOKIES
        # Several lines are one list of cookies (RFC 9113 §8.2.3).
        line = b";" + b"; ".join(lines)
        # Counted by removing them: bytes.count is slow where every other byte is a semicolon.
        if len(line) - len(line.translate(None, b";")) > self._maximum:
            return self._too_many()
        rest, *found = self._cookie.split(line)
        names = found[::3]
        words = line.translate(_SEPARATORS)
        misplaced = []
        for name, word in self._words.items():
            possible = words.count(b";" + name.encode())
            if possible > self._maximum:
                return self._too_many()
            proper = names.count(name.encode())
            if possible > proper and len(word.findall(words)) > proper:
                misplaced.append(name)
        if not found and not misplaced:
            return NO_TOKEN_COOKIES
        return TokenCookies(
            tuple(zip(names, found[1::3], strict=True)),
            b"" if misplaced else rest + b"".join(found[2::3]),
            frozenset(misplaced),
        )

    def _too_many(self) -> Refusal:
        return Refusal(Reason.REQUEST_TOO_LARGE, f"it has more than {self._maximum} cookies")


def _expression(names: tuple[str, ...]) -> re.Pattern[bytes]:
    alternatives = b"|".join(re.escape(name.encode()) for name in names)
    # Servers trim the name: "token =…" is the cookie "token" to them. Possessive, because a client
    # may send as many spaces as fit.
    return re.compile(rb";[ \t]*+(" + alternatives + rb")\s*+=([^;]*)")


def _word(name: str) -> re.Pattern[bytes]:
    """Matches the start of a cookie of this name, once all separators have become semicolons."""
    return re.compile(rb";" + re.escape(name.encode()) + rb";*+=")
