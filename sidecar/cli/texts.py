"""Input and output of commands: tokens, dates, and text that came from a token."""

import re
import sys
from datetime import UTC, datetime
from math import isfinite
from typing import Final

PROMPT = "Paste the token, then press Enter and Ctrl-D: "
# What is copied with a token out of a request's header.
_PASTED: Final = re.compile(r"(?:authorization:[ \t]*)?bearer[ \t]+", re.IGNORECASE)


def printable(value: object) -> str:
    """A value on one line, with control and bidirectional characters escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(value)
    )


def moment(text: str) -> float:
    """Unix seconds from an RFC 3339 date or a number. Raises ValueError for anything else."""
    try:
        number = float(text)
    except ValueError:
        date = datetime.fromisoformat(text)
    else:
        if not isfinite(number):
            raise ValueError(f"{text} is not a time")
        return number
    if date.tzinfo is None:
        raise ValueError(f"{text} has no time zone; end it with Z or an offset")
    return date.timestamp()


def dated(value: object, now: float) -> str:
    """A NumericDate (RFC 7519 §2) as a date, with its distance from ``now`` (Unix seconds)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{'null' if value is None else printable(value)} (not a date)"
    try:
        date = datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{printable(value)} (beyond any calendar)"
    return f"{date.isoformat(timespec='seconds').replace('+00:00', 'Z')} ({_relative(value - now)})"


def _relative(seconds: float) -> str:
    distance = abs(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if distance >= 2 * length:
            amount = f"{distance / length:.0f} {unit}"
            break
    else:
        amount = f"{distance:.0f} s"
    return f"in {amount}" if seconds > 0 else f"{amount} ago"


def read_token() -> str:
    """The token on standard input, without the white space around it; empty if there is none.

    The scheme ``Bearer`` in front of it is left out, and the user told.
    """
    if sys.stdin.isatty():
        sys.stderr.write(PROMPT)
        sys.stderr.flush()
    text = sys.stdin.buffer.read().decode("latin-1").strip()
    pasted = _PASTED.match(text)
    if pasted is None:
        return text
    sys.stderr.write('the text begins with "Bearer", which is no part of the token: left out\n')
    return text[pasted.end() :]
