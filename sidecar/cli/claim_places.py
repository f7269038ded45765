"""Where a claim is read, and where others of its name are: for whoever writes the configuration."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from sidecar.check.claims import find
from sidecar.check.trust import ClaimPath
from sidecar.cli.texts import printable

# What separates the name of a claim from the issuer's own prefix, as in https://idp.example/roles.
_SEPARATORS: Final = re.compile(r"[/:.]")
# Scopes have one of two names (RFC 8693 §4.2, and the providers that write "scp").
_SAME: Final = {"scp": "scope"}
_MOST_NAMED: Final = 5


def format_claim(path: ClaimPath) -> str:
    """A claim as a configuration has it: its name, or the list of names that lead to it."""
    return printable(path[0] if len(path) == 1 else f"[{', '.join(path)}]")


def describe(claims: Mapping[str, object], path: ClaimPath) -> str:
    """The value of a claim with its place, or why there is none (``problem_of``)."""
    if problem := problem_of(claims, path):
        return f"none, {problem}"
    return f"{format_found(find(claims, path))}, in {format_claim(path)}"


def format_found(value: object) -> str:
    """A claim's value: a text as it is, anything else as JSON; "missing" for none or null."""
    if value is None:
        return "missing"
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def problem_of(claims: Mapping[str, object], path: ClaimPath) -> str:
    """Why nothing is read at a path, and where claims of that name are; empty if there is one."""
    value = find(claims, path)
    if value is not None and not isinstance(value, Mapping):
        return ""
    problem = "is missing" if value is None else "is an object"
    others = [format_claim(other) for other in _elsewhere(claims, path)]
    found = f"; there is {', '.join(others)}" if others else ""
    return f"as {format_claim(path)} {problem}{found}"


def _elsewhere(claims: Mapping[str, object], path: ClaimPath) -> list[ClaimPath]:
    wanted = _last_name(path)
    found = [
        other
        for other, value in _within(claims)
        if _last_name(other) == wanted and other != path and not isinstance(value, Mapping)
    ]
    return found[:_MOST_NAMED]


def _last_name(path: ClaimPath) -> str:
    name = _SEPARATORS.split(path[-1])[-1]
    return _SAME.get(name, name)


def _within(
    claims: Mapping[str, object], before: ClaimPath = ()
) -> Iterator[tuple[ClaimPath, object]]:
    """Every member of an object and of the objects in it, with its path; the nearest first."""
    for name, value in claims.items():
        yield (*before, name), value
    for name, value in claims.items():
        if isinstance(value, Mapping):
            yield from _within(value, (*before, name))
