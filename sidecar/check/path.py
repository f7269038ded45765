"""The canonical form of a path. A path that can be read in two ways is refused.

Envoy normalises before the check (RFC 3986 §6.2.2). This module repeats the part that cannot change
the meaning, decodes what needs no encoding, and refuses the rest, so that Envoy, the rules and the
service see the same path.
"""

import re
from typing import Final

from sidecar.check.refusal import Refusal
from sidecar.model import Reason

# An encoded slash in the canonical form.
ENCODED_SLASH: Final = "%2F"

# Characters that mean the same to every service whether encoded or not: unreserved characters and
# the delimiters without a meaning in a path (docs/decisions/0006-delimiters-are-decoded.md).
_NEEDS_NO_ENCODING: Final = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@"
)
# Characters that RFC 3986 §3.3 has only encoded, and that clients send as they are: browsers do not
# encode all of them (URL Standard, path percent-encode set). Envoy forwards the brackets as they
# are, and encodes the others when it normalises.
_SENT_RAW: Final = '[]|^"{}`<>'
# The semicolon is checked separately.
_PLAIN: Final = re.compile(rf"/[/;{re.escape(_NEEDS_NO_ENCODING)}]*+")
_ALLOWED: Final = re.compile(rf"/[/;%{re.escape(_NEEDS_NO_ENCODING + _SENT_RAW)}]*+")
_CONTROL: Final = bytes([*range(0x20), 0x7F])
# How each byte is written in the canonical form. An encoded backslash is refused. Its byte stands
# for an encoded slash, which is then not mistaken for a slash when all else is decoded.
_FORM: Final = [
    chr(byte) if chr(byte) in _NEEDS_NO_ENCODING + "/;" else f"%{byte:02X}" for byte in range(256)
]
_FORM[ord("\\")] = ENCODED_SLASH
# An encoded slash at the start or end of a segment, beside another, or beside what some services
# resolve or cut off.
_MISPLACED_SLASHES: Final = tuple(
    pair
    for other in ("/", ".", ";", ENCODED_SLASH)
    for pair in (ENCODED_SLASH + other, other + ENCODED_SLASH)
)
_LONGEST: Final = 8192
_NOT_ALLOWED: Final = "it holds a character that has to be encoded in a path, or a bare %"
_ENCODED_SLASH: Final = "it holds an encoded slash or backslash"


def canonical(
    path: str, *, literal_semicolons: bool = False, encoded_slashes: bool = False
) -> str | Refusal:
    """The path of a request target in its canonical form, without the query.

    Args:
        path: Envoy's ``:path``, empty for a CONNECT that has none.
        literal_semicolons: treat ``;`` as an ordinary character instead of refusing it. It is
            refused by default because some services cut parameters off at a semicolon.
        encoded_slashes: leave an encoded slash inside a segment as it is, for the caller to decide.
    """
    target, _, _ = path.partition("?")
    if not target:
        return _unsafe("it is missing")
    if len(target) > _LONGEST:
        return _unsafe(f"it is longer than {_LONGEST} characters")
    if not _PLAIN.fullmatch(target):
        if not _ALLOWED.fullmatch(target):
            return _unsafe(_NOT_ALLOWED)
        form = _once_decoded(target, encoded_slashes=encoded_slashes)
        if isinstance(form, Refusal):
            return form
        target = form
    if "//" in target:
        return _unsafe("it holds an empty segment")
    if "/./" in target or "/../" in target or target.endswith(("/.", "/..")):
        return _unsafe("it holds a dot segment")
    if ";" in target and not literal_semicolons:
        return _unsafe("it holds a semicolon, and paths.semicolons is not literal")
    return target


def decoded(segment: str) -> str:
    """The text a segment of a canonical path stands for."""
    return _bytes_of(segment).decode() if "%" in segment else segment


def _once_decoded(target: str, *, encoded_slashes: bool) -> str | Refusal:
    """The path with what needs no encoding decoded, and the rest encoded in capitals."""
    if "%5C" in target or "%5c" in target:
        return _unsafe(_ENCODED_SLASH)
    if "%2F" in target or "%2f" in target:
        if not encoded_slashes:
            return _unsafe(_ENCODED_SLASH)
        target = target.replace("%2f", "%5C").replace("%2F", "%5C")
    try:
        data = _bytes_of(target)
    except UnicodeDecodeError:
        return _unsafe(_NOT_ALLOWED)
    if len(data.translate(None, _CONTROL)) < len(data):
        return _unsafe("it holds an encoded control character")
    try:
        data.decode()
    except UnicodeDecodeError:
        return _unsafe("its encoded bytes are not UTF-8")
    form = data.decode("latin-1").translate(_FORM)
    return _well_placed(form) if ENCODED_SLASH in form else form


def _well_placed(form: str) -> str | Refusal:
    """The path, if each of its encoded slashes divides names, whoever decodes it how often."""
    if form.endswith(ENCODED_SLASH) or any(pair in form for pair in _MISPLACED_SLASHES):
        return _unsafe(
            "it holds an encoded slash at the start or end of a segment, beside another, or beside "
            "a dot or semicolon"
        )
    if "%25" in form:
        return _unsafe("it holds an encoded slash and an encoded percent sign")
    return form


def _bytes_of(text: str) -> bytes:
    """The bytes that a text of allowed characters stands for.

    All encodings are decoded in one call, because a client may send thousands.

    Raises:
        UnicodeDecodeError: a percent sign is not the beginning of an encoding.
    """
    # This codec reads \x41 as a path means %41, and gives one character for each byte.
    return text.replace("%", "\\x").encode().decode("unicode_escape").encode("latin-1")


def _unsafe(detail: str) -> Refusal:
    return Refusal(Reason.UNSAFE_PATH, detail)
