"""Patterns for subjects and principals: literal text, in which ``*`` stands for one part.

A part is what lies between two ``/`` or ``:``, so that ``spiffe://shop/ns/orders/*`` reaches no
deeper and ``system:serviceaccount:shop:*`` no further than its author meant.
"""

import re
from functools import cache


def matches_any(patterns: tuple[str, ...], text: str) -> bool:
    """Whether any of the patterns matches the text from start to end."""
    return _expression(patterns).fullmatch(text) is not None


@cache  # bounded by the configuration, where all patterns come from
def _expression(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_one, patterns)))


def _one(pattern: str) -> str:
    first, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return first
    *middle, last = rest
    # Atomic: the first place where a literal fits is the only one tried. Otherwise the time would
    # grow with a power of the text's length, and the text is a client's.
    return first + "".join(f"(?>[^/:]+?{part})" for part in middle) + f"[^/:]+{last}"
