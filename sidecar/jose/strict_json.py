"""Strict reading of JSON: one object, unique names, finite numbers, bounded depth (RFC 8725)."""

import json
import re
from typing import Final

MAXIMUM_DEPTH: Final = 32
# Lists and objects cost far more than their bytes. A set of 1,000 keys has up to 3,001.
MAXIMUM_NESTED: Final = 4096

# A string without its closing quote runs to the end. If it did not match, the search would start
# again at every quote in it, in quadratic time.
_STRING: Final = re.compile(rb'"[^"]*"?')
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))
# Parsing an integer, and formatting it, takes quadratic time.
_MAXIMUM_DIGITS: Final = 1000
_WHITESPACE: Final = " \t\n\r"  # RFC 8259 §2


class StrictJsonError(ValueError):
    """The bytes are not one strict JSON object. The text says which rule they break."""


def load_object(data: bytes, maximum_values: int | None = None) -> dict[str, object]:
    """Read one JSON object (RFC 8259) under the strict rules of this module.

    Args:
        data: the bytes; any bytes.
        maximum_values: how many commas, objects and lists it may hold, which limits the number of
            values; characters in strings count as well.

    Raises:
        StrictJsonError: not UTF-8, a byte order mark, not an object, a name twice, NaN or an
            infinity, an integer of more than 1,000 digits, a lone surrogate, deeper than 32 levels,
            too many values, or more than 4,096 brackets that begin a list or an object.
    """
    nested = data.count(b"[") + data.count(b"{")  # those in strings included
    if maximum_values is not None and nested + data.count(b",") > maximum_values:
        raise StrictJsonError(f"holds more than {maximum_values} values")
    if nested > MAXIMUM_DEPTH and _too_deep(data):
        raise StrictJsonError(f"is nested more than {MAXIMUM_DEPTH} levels deep")
    if nested > MAXIMUM_NESTED:
        raise StrictJsonError(f"holds more than {MAXIMUM_NESTED} lists and objects")
    try:
        text = data.decode().strip(_WHITESPACE)
        value, end = _DECODER.raw_decode(text)
    except StrictJsonError:
        raise
    except ValueError as fault:
        # ValueError also covers UnicodeDecodeError and integers beyond Python's digit limit.
        raise StrictJsonError("is not UTF-8 JSON") from fault
    if end != len(text):
        raise StrictJsonError("is not UTF-8 JSON")
    if not isinstance(value, dict):
        raise StrictJsonError("is not a JSON object")
    if "\\" in text and ("\\ud" in text or "\\uD" in text):
        _no_lone_surrogate(value)
    return value


def load_again(data: bytes) -> dict[str, object]:
    """Read again, without the checks, what ``load_object`` has accepted before."""
    value: dict[str, object]
    value, _ = _PLAIN_DECODER.raw_decode(data.decode().lstrip(_WHITESPACE))
    return value


def _too_deep(data: bytes) -> bool:
    """Whether brackets are nested more than 32 levels deep, or more than 32 are not closed."""
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = _STRING.sub(b"", unescaped).translate(_BRACKETS, _NO_BRACKET)
    for _ in range(MAXIMUM_DEPTH):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")  # the innermost level of what is left
    return b"[]" in brackets or brackets.count(b"[") > MAXIMUM_DEPTH


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise StrictJsonError("holds a name twice")
    return value


def _no_constant(_: str) -> object:
    raise StrictJsonError("holds NaN or an infinity")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise StrictJsonError("holds a number beyond any range")
    return value


def _integer(text: str) -> int:
    if len(text.removeprefix("-")) > _MAXIMUM_DIGITS:
        raise StrictJsonError("holds a number beyond any range")
    return int(text)


def _no_lone_surrogate(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as fault:
        raise StrictJsonError("holds half of a surrogate pair") from fault


# Created once: its creation costs as much as reading a token's claims.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_distinct,
    parse_constant=_no_constant,
    parse_float=_finite,
    parse_int=_integer,
)
_PLAIN_DECODER: Final = json.JSONDecoder()
