"""What is wrong with a condition that CEL does not compile, and what to write instead."""

import difflib
import re
from collections.abc import Iterable
from typing import Final

from sidecar.check.conditions import TOKEN_LISTS, VARIABLES

# Those of the CEL specification that have a use here (cel-spec, doc/langdef.md).
_FUNCTIONS: Final = (
    *("all", "exists", "exists_one", "filter", "has", "map"),
    *("contains", "endsWith", "matches", "size", "startsWith"),
    *("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"),
)

_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]")
_PROBLEM: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)' \(in container ''\)")


def explain(expression: str, problem: str) -> str:
    """The first of the problems that the CEL compiler reports, with its place.

    ``problem`` is the text of a ``ConditionError``; one that is not the compiler's is returned as
    it is.
    """
    found = _PROBLEM.findall(problem)
    if not found:
        return problem
    lines = expression.split("\n")
    # A call is reported at its parenthesis. The variable of a misspelt macro is reported before it.
    calls = [
        (line, column, text)
        for line, column, text in found
        if lines[int(line) - 1][int(column) - 1 : int(column)] == "(" and _UNDECLARED.match(text)
    ]
    line, column, text = (calls or found)[0]
    if undeclared := _UNDECLARED.match(text):
        name = undeclared[1]
        here = lines[int(line) - 1]
        # A name with members is reported at its last dot.
        start = int(column) - 1 - len(name.rpartition(".")[0])
        if calls:
            text = _unknown_function(name)
        else:
            text = _name_with_hyphens(here[:start], here[start:]) or _unknown_variable(name)
    return f"at {line}:{column}: {text}"


def _name_with_hyphens(before: str, after: str) -> str:
    """What to write for ``a.b-c``, which is a subtraction; empty for anything else.

    Args:
        before: what stands in front of the unknown variable, in its line.
        after: the variable, and what follows it.
    """
    path, hyphen, begun = _NOT_IN_NAMES.split(before)[-1].partition("-")
    parent, dot, first = path.rpartition(".")
    if not (hyphen and dot and before.endswith("-")):
        return ""
    name = f"{first}-{begun}{_NOT_IN_NAMES.split(after)[0].partition('.')[0]}"
    return f'a name with a hyphen is written in brackets: {parent}["{name}"]'


def _unknown_function(name: str) -> str:
    if name == "split":
        return "there is no function split; scopes are a list already, in token.scopes"
    question = did_you_mean(name, _FUNCTIONS)
    return f'the function "{name}" is unknown; {question}accepted: {", ".join(_FUNCTIONS)}'


def _unknown_variable(name: str) -> str:
    first, dot, rest = name.partition(".")
    if first == "token" and dot:
        lists = difflib.get_close_matches(rest, [each.partition(".")[2] for each in TOKEN_LISTS])
        question = f'did you mean "{f"token.{lists[0]}" if lists else f"claims.{rest}"}"? '
    else:
        variables = [f"{each}{dot}{rest}" for each in ("claims", "request")] if dot else []
        question = did_you_mean(name, (*variables, *VARIABLES))
    return f'the variable "{name}" is unknown; {question}accepted: {", ".join(VARIABLES)}'


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question after the name that is closest to an unknown one; empty if none is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"? ' if close else ""
