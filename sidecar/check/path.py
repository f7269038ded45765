"""The one canonical form of a path. Whatever can be read in two ways is refused.

Envoy normalises before it asks (RFC 3986 §6.2.2); this module repeats the part that cannot change
the meaning, undoes what needs no encoding, and refuses the rest, so that Envoy, the rules and the
service see one path.
"""

import re
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from sidecar.check.refusal import Refusal
from sidecar.model import Reason

# RFC 3986 §3.3: pchar without percent-encodings. The semicolon is looked at on its own.
_SEGMENT: Final = r"[A-Za-z0-9\-._~!$&'()*+,=:@]"
_PLAIN: Final = re.compile(rf"(?:/(?!\.{{1,2}}(?:/|$)){_SEGMENT}+)*/?")
_ALLOWED: Final = re.compile(rf"/(?:{_SEGMENT}|[/;]|%[0-9A-Fa-f]{{2}})*")
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_DOT_SEGMENT: Final = re.compile(r"/\.{1,2}(?:/|$)")
_CONTROL: Final = re.compile(r"%(?:[01][0-9A-F]|7F)")
# What means the same encoded or not to every service: unreserved characters and the delimiters
# that a path gives no meaning (docs/decisions/0006-delimiters-are-decoded.md).
_NEEDS_NO_ENCODING: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@"
)
_LONGEST: Final = 8192


def canonical(path: str, *, literal_semicolons: bool = False) -> str | Refusal:
    """The path of a request target in its one form, without the query.

    Args:
        path: Envoy's ``:path``, empty for a CONNECT that has none.
        literal_semicolons: treat ``;`` as an ordinary character instead of refusing it; services
            that cut parameters off at a semicolon would otherwise see another path.
    """
    target, _, _ = path.partition("?")
    if not target:
        return _unsafe("it is missing")
    if len(target) > _LONGEST:
        return _unsafe(f"it is longer than {_LONGEST} characters")
    if _PLAIN.fullmatch(target):
        return target
    if not _ALLOWED.fullmatch(target):
        return _unsafe("it holds a character that RFC 3986 does not allow in a path, or a bare %")
    target = _ENCODED.sub(_decode, target)
    if "%2F" in target or "%5C" in target:
        return _unsafe("it holds an encoded slash or backslash")
    if _CONTROL.search(target):
        return _unsafe("it holds an encoded control character")
    if "//" in target:
        return _unsafe("it holds an empty segment")
    if _DOT_SEGMENT.search(target):
        return _unsafe("it holds a dot segment")
    target = target.replace("%3B", ";")
    if ";" in target and not literal_semicolons:
        return _unsafe("it holds a semicolon, and paths.semicolons is not literal")
    try:
        unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        return _unsafe("its encoded bytes are not UTF-8")
    return target


def decoded(segment: str) -> str:
    """The text a segment of a canonical path stands for."""
    return unquote(segment, errors="strict") if "%" in segment else segment


def _decode(match: re.Match[str]) -> str:
    text = match.group().upper()
    character = chr(int(text[1:], 16))
    return character if character in _NEEDS_NO_ENCODING else text


def _unsafe(detail: str) -> Refusal:
    return Refusal(Reason.UNSAFE_PATH, detail)
