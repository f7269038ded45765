"""Every regular expression of the program takes linear time, whatever text it meets.

The expressions are found in the source, so that none can be forgotten. Each is run as the program
runs it (``fullmatch``, ``sub`` and so on) over texts that are hard for it: pieces of the expression
itself and single characters, repeated, with something at the end that does not fit. Only CPU time
counts, and a budget that nothing but more than linear growth can exceed.
"""

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path
from time import thread_time
from typing import NamedTuple

import pytest

import sidecar
from sidecar.check import cookies, patterns
from sidecar.clients.http import ANSWER_BYTES

ROOT = Path(sidecar.__file__).parent
# CPU seconds of this thread. Linear time is about 0.04 s for the longest text: a busy machine, on
# which it may be three times as much, stays far below. Quadratic time is minutes.
BUDGET = 0.5
# The texts that are hard are found with short ones, and then made long. The last length is that of
# the largest answer a server may give; a client's text is shorter.
SHORT, LONG = 1024, (64 * 1024, ANSWER_BYTES)
HARDEST = 5
CHARACTERS = tuple("aA0 .,-_/:;=%\"'\\{[(\t\n\0é\ud800")
ENDS = ("!", "", "\0", "\n")
MATCHERS = frozenset({"fullmatch", "match", "search", "findall", "finditer", "split", "sub"})
ANY = frozenset({"fullmatch", "search"})


class Expression(NamedTuple):
    """An expression, where it stands, and the methods the program calls on it."""

    name: str
    pattern: re.Pattern[str] | re.Pattern[bytes]
    methods: frozenset[str]


# What a function makes, as it may become: all parts of a pattern can be a configuration's.
MADE_IN_FUNCTIONS = {
    "sidecar.check.patterns:_expression": Expression(
        "sidecar.check.patterns:_expression",
        patterns._expression(("spiffe://*/ns/*/sa/*", "*a*a*a*b", "*:*:*", "aa*")),
        frozenset({"fullmatch"}),
    ),
    "sidecar.check.cookies:_expression": Expression(
        "sidecar.check.cookies:_expression",
        cookies._expression(("token", "a", "__Host-session")),
        frozenset({"split"}),
    ),
    "sidecar.check.cookies:_word": Expression(
        "sidecar.check.cookies:_word", cookies._word("a"), frozenset({"findall"})
    ),
}


def expressions() -> Iterator[Expression]:
    """All of the program, each with how it is used in its module."""
    for file in sorted(ROOT.rglob("*.py")):
        relative = file.relative_to(ROOT.parent)
        if "_pb" not in relative.parts:
            yield from _in_module(".".join(relative.with_suffix("").parts), file.read_text())


def _in_module(module: str, text: str) -> Iterator[Expression]:
    tree = ast.parse(text)
    used: defaultdict[str, set[str]] = defaultdict(set)
    made: dict[ast.Call, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used[node.value.id].add(node.attr)
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and _is_of_re(statement.value):
            target = statement.target if isinstance(statement, ast.AnnAssign) else None
            assert isinstance(target, ast.Name), f"{module}:{statement.lineno}: annotate it"
            assert isinstance(statement.value, ast.Call)
            made[statement.value] = target.id
    functions = {
        call: function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if _is_of_re(call)
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if not _is_of_re(call):
            continue
        assert isinstance(call.func, ast.Attribute)
        if call in made:
            name = made[call]
            pattern = getattr(importlib.import_module(module), name)
            # One that is handed to a function may be used in any way.
            yield Expression(f"{module}:{name}", pattern, MATCHERS & used[name] or ANY)
        elif isinstance(written := call.args[0], ast.Constant) and isinstance(written.value, str):
            found = re.compile(written.value)
            methods = frozenset({call.func.attr})
            yield Expression(f"{module}:{functions[call]}:{call.lineno}", found, methods)
        else:
            name = f"{module}:{functions.get(call)}"
            assert name in MADE_IN_FUNCTIONS, f"{name}: add an example of what it makes"
            yield MADE_IN_FUNCTIONS[name]


def _is_of_re(node: ast.AST | None) -> bool:
    """Whether it is a call such as ``re.compile(…)``; ``re.escape`` meets no text."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in MATCHERS | {"compile"}
    )


class Text(NamedTuple):
    """A piece, again and again, between a beginning and an end."""

    begin: str
    piece: str
    end: str

    def of(self, length: int) -> str:
        return self.begin + self.piece * (length // len(self.piece)) + self.end


def texts(expression: Expression) -> Iterator[Text]:
    """Words of the expression and single characters, alone and together, repeated."""
    source = expression.pattern.pattern
    written = source.decode("latin-1") if isinstance(source, bytes) else source
    words = sorted(set(re.findall("[A-Za-z0-9 -]{2,}", written)))
    pieces = [*CHARACTERS, *words]
    repeated = [
        *pieces,
        *map("".join, permutations(pieces, 2)),
        *map("".join, permutations(words, 3)),
    ]
    for piece, end in product(repeated, ENDS):
        yield Text("", piece, end)
    for begin, piece in product(words, repeated):
        yield Text(begin, piece, ENDS[0])


def hardest_time(expression: Expression) -> float:
    """CPU seconds for the hardest of the long texts, or for the first that is over the budget."""
    short = sorted(texts(expression), key=lambda text: took(expression, text.of(SHORT)))
    worst = 0.0
    for length, text in product(LONG, short[-HARDEST:]):
        worst = max(worst, took(expression, text.of(length)))
        if worst > BUDGET:
            break
    return worst


def took(expression: Expression, text: str) -> float:
    """CPU seconds of all that the program does with the expression."""
    is_bytes = isinstance(expression.pattern.pattern, bytes)
    subject = text.encode(errors="surrogatepass") if is_bytes else text
    began = thread_time()
    for method in expression.methods:
        if method == "sub":
            expression.pattern.sub(subject[:0], subject)  # type: ignore[arg-type] # both alike
        elif method == "finditer":
            for _ in expression.pattern.finditer(subject):  # type: ignore[arg-type] # both alike
                pass
        else:
            getattr(expression.pattern, method)(subject)
    return thread_time() - began


FOUND = tuple(expressions())


def test_the_source_is_searched_for_expressions() -> None:
    names = {expression.name for expression in FOUND}

    assert {"sidecar.telemetry.logs:_SECRET", "sidecar.check.jws:_COMPACT"} <= names
    assert names >= MADE_IN_FUNCTIONS.keys()


def test_quadratic_time_would_be_found() -> None:
    quadratic = Expression("eyJ", re.compile(r"eyJ[A-Za-z]+\."), frozenset({"search"}))

    assert hardest_time(quadratic) > BUDGET


@pytest.mark.parametrize("expression", FOUND, ids=lambda expression: expression.name)
def test_an_expression_takes_linear_time(expression: Expression) -> None:
    assert hardest_time(expression) < BUDGET
