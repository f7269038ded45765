"""Patterns for subjects, principals, roles and groups: text in which ``*`` stands for one part.

A part is the text between two of ``/`` and ``:``. So ``spiffe://shop/ns/orders/*`` matches one path
segment, and ``system:serviceaccount:shop:*`` one account name. ``**`` at the end, after ``/`` or
``:``, stands for one or more parts: ``repo:acme/**`` matches ``repo:acme/site:environment:prod``.
"""

import re
from functools import cache
from typing import Final

# Of roles and groups, the pattern that matches every name, with any characters.
EVERY_NAME: Final = "*"
# One or more parts. Possessive: where the rest of the text is no such list, nothing is tried again.
_PARTS: Final = "[^/:]++(?:[/:][^/:]++)*+"


def matches_any(patterns: tuple[str, ...], text: str) -> bool:
    """Whether any of the patterns matches the text from start to end."""
    return _expression(patterns).fullmatch(text) is not None


def matching(patterns: tuple[str, ...], names: frozenset[str]) -> frozenset[str]:
    """Those of the roles or groups that match any of the patterns."""
    if EVERY_NAME in patterns:
        return names
    return frozenset([name for name in names if matches_any(patterns, name)])


@cache  # bounded by the configuration, where all patterns come from
def _expression(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_one, patterns)))


def _one(pattern: str) -> str:
    one_part_each = pattern.removesuffix("**")
    parts = _PARTS if one_part_each != pattern else ""
    first, *rest = map(re.escape, one_part_each.split("*"))
    if not rest:
        return first + parts
    *middle, last = rest
    # Atomic groups: a literal is tried at the first place where it fits and no other. With
    # backtracking, the time would be polynomial in the length of the text, which a client chooses.
    return first + "".join(f"(?>[^/:]+?{part})" for part in middle) + f"[^/:]+{last}{parts}"
