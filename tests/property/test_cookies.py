"""The cookies that are found are those that a reader finds who takes the header apart."""

import re
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie

from hypothesis import given
from hypothesis import strategies as st

from sidecar.check.cookies import CookieFinder, TokenCookies
from tests.support.checks import request

NAMES = ("token", "__Host-s", "a.b")

# Names, near misses of them, separators, spaces, quotes and bytes of all kinds.
pieces = st.sampled_from(
    [*(name.encode() for name in NAMES), b"=", b";", b"; ", b" ", b"\t", b'"', b"x", b"axb", b","]
) | st.binary(max_size=2)
lines = st.lists(st.lists(pieces, max_size=12).map(b"".join), max_size=3)


def taken_apart(lines: list[bytes]) -> list[tuple[bytes | None, bytes, bytes]]:
    """Name (None without one), value and text of each cookie (RFC 6265 §4.2.1), name trimmed."""
    cookies: list[tuple[bytes | None, bytes, bytes]] = []
    for line in lines:
        for part in line.split(b";"):
            text = part.strip(b" \t")
            name, equals, value = text.partition(b"=")
            cookies.append((name.rstrip() if equals else None, value, text))
    return cookies


def misplaced(text: bytes, name: bytes) -> bool:
    """Whether a cookie of this name begins in a text that is divided by more than ``;``."""
    words = re.split(rb"[,\s\x1c-\x1f\x80-\xff]+", text)
    pairs = zip(words, [*words[1:], b""], strict=True)
    return any(
        word.startswith(name + b"=") or (word == name and after.startswith(b"="))
        for word, after in pairs
    )


def text_of(cookie: bytes) -> str:
    """What Envoy can be told of a cookie; empty where it is nothing."""
    try:
        text = cookie.decode()
    except UnicodeDecodeError:
        return ""
    return "" if re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", text) else text


@given(lines)
def test_tokens_are_found_and_nothing_else_is_lost(lines: list[bytes]) -> None:
    view = request(headers=tuple(("cookie", line) for line in lines))
    names = [name.encode() for name in NAMES]
    expected = taken_apart(lines)

    cookies = CookieFinder(NAMES, 1000).find(view)

    assert isinstance(cookies, TokenCookies)
    for name in NAMES:
        assert cookies.values(name) == [
            value for each, value, _ in expected if each == name.encode()
        ]
    inside = [text for each, _, text in expected if each not in names]
    assert cookies.misplaced >= {
        name for name in NAMES if any(misplaced(text, name.encode()) for text in inside)
    }
    if cookies.misplaced:
        assert not cookies.others()
    elif cookies.found:
        others = [text_of(text) for text in inside]
        kept = [part.strip(" \t") for part in cookies.others().split(";")]
        assert [part for part in kept if part] == [text for text in others if text]
        assert len(cookies.others().encode()) <= len(b"; ".join(lines))


@given(lines)
def test_where_no_token_is_found_an_application_in_python_finds_none(lines: list[bytes]) -> None:
    view = request(headers=tuple(("cookie", line) for line in lines))
    cookies = CookieFinder(NAMES, 1000).find(view)
    assert isinstance(cookies, TokenCookies)

    for reader in ("utf-8", "latin-1"):  # as WSGI and ASGI have it
        seen = SimpleCookie()
        with suppress(CookieError):
            seen.load(b"; ".join(lines).decode(reader, "replace"))
        for name in NAMES:
            if name in seen and seen[name].value:
                assert name in cookies.misplaced or cookies.values(name)
