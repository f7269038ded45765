"""The values that a condition reads, found in its compiled expression.

In CEL ``request`` is a map, so the compiler accepts any name. At run time an unknown name makes the
condition fail, or makes ``!has(...)`` true. So the compiled expression is walked when a
configuration is loaded (cel-spec, proto/cel/expr/syntax.proto).
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from sidecar.check.conditions import (
    REQUEST_FIELDS,
    VARIABLES,
    Condition,
    ConditionError,
    Read,
    format_path,
)
from sidecar.config._pb.cel.expr.checked_pb2 import CheckedExpr
from sidecar.config._pb.cel.expr.syntax_pb2 import Expr, SourceInfo
from sidecar.config.condition_problems import did_you_mean, explain
from sidecar.config.problems import format_names

_VARIABLES: Final = frozenset(VARIABLES)
_HEADERS: Final = ("request", "headers")
_TEXTS: Final = frozenset({"method", "host", "path", "caller"})
# Names of the fields of ``request`` in other software.
_OTHER_NAMES: Final = {
    **dict.fromkeys(("url", "uri", "url_path", "query"), "path"),
    **dict.fromkeys(("authority", "hostname"), "host"),
    **dict.fromkeys(("principal", "source", "peer"), "caller"),
}


class UnknownName(NamedTuple):
    """A name that is read and never present. ``of`` are the names that lead to its map.

    ``known`` are the names that the map has. Line and column count from 1, within the expression.
    """

    name: str
    of: tuple[str, ...]
    known: Sequence[str]
    line: int
    column: int

    def format(self) -> str:
        """What is wrong, and what to write instead."""
        problem = f'{format_path(self.of)} never has "{self.name}"; '
        if _is_text(self.of):
            return f"{problem}it is text: compare it, or ask {format_path(self.of)}.contains(...)"
        if self.of == _HEADERS:  # its names are in lower case
            question = did_you_mean(self.name.lower(), self.known)
            return f"{problem}{question}declare what is read in allow.headers"
        if (*self.of, self.name) == _HEADERS:
            return f"{problem}declare what is read in allow.headers"
        other = _OTHER_NAMES.get(self.name) if self.of == ("request",) else None
        question = f'did you mean "{other}"? ' if other else did_you_mean(self.name, self.known)
        names = format_names(self.known) or "nothing, as the path has no parameters"
        return f"{problem}{question}it has: {names}"


def compiled(expression: str) -> Condition:
    """A condition that knows what it reads.

    Raises:
        ConditionError: the expression cannot be used. The text gives the position and the cause.
    """
    try:
        condition = Condition(expression)
    except ConditionError as fault:
        raise ConditionError(explain(expression, str(fault))) from fault
    condition.reads = tuple(_reads(condition))
    return condition


def unknown_names(
    condition: Condition, parameters: Sequence[str], headers: Sequence[str]
) -> Iterator[UnknownName]:
    """The names that a condition reads and no request has.

    Args:
        condition: the condition of a route.
        parameters: the parameters of the route's path.
        headers: the headers that the route declares.
    """
    known = {
        ("request",): (*REQUEST_FIELDS, "headers"),
        ("request", "params"): parameters,
        _HEADERS: headers,
    }
    named = {read.path[:2] for read in condition.reads if read.path[2:]}
    for path, line, column, _ in condition.reads:
        of, name = path[:-1], path[-1]
        names = known.get(of)
        # Of headers that are not declared, the map as a whole is reported only where no name is.
        undeclared = path == _HEADERS and not headers and _HEADERS not in named
        if undeclared or _is_text(of) or (names is not None and name not in names):
            yield UnknownName(name, of, names or (), line, column)


def reads_whole_request(condition: Condition) -> bool:
    """Whether a condition reads ``request`` by none of its names, and then any one below it.

    So it is in ``[request].exists(r, r.path == "/a")`` and in ``dyn(request).path``.
    """
    named = {(read.line, read.column) for read in condition.reads if read.path[1:]}
    return any(
        read.path == ("request",) and (read.line, read.column) not in named
        for read in condition.reads
    )


def _is_text(path: Sequence[str]) -> bool:
    """Whether a path leads to a text of the request, which has no members."""
    match path:
        case ["request", "params" | "headers", _]:
            return True
        case ["request", field]:
            return field in _TEXTS
        case _:
            return False


def reads_headers(condition: Condition) -> bool:
    """Whether a condition reads headers, which ones ever."""
    return any(read.path == _HEADERS for read in condition.reads)


def _reads(condition: Condition) -> Iterator[Read]:
    """The values that a condition reads by name."""
    try:
        checked = CheckedExpr.FromString(Any.FromString(condition.checked).value)
    except DecodeError:
        return  # macros nested deeper than protobuf decodes: valid CEL, which is not examined
    for expression in _parts(checked.expr):
        path = _path(expression)
        if path is not None:
            tested = expression.select_expr.test_only or expression.call_expr.function == "@in"
            place = _position(_root(expression), checked.source_info)
            yield Read(tuple(path), *place, tested)


def _parts(expression: Expr) -> Iterator[Expr]:
    """The expression and its subexpressions, except where a macro's variable has such a name."""
    yield expression
    match expression.WhichOneof("expr_kind"):
        case "select_expr":
            inner = [expression.select_expr.operand]
        case "call_expr":
            inner = [expression.call_expr.target, *expression.call_expr.args]
        case "list_expr":
            inner = [*expression.list_expr.elements]
        case "struct_expr":
            entries = expression.struct_expr.entries
            inner = [part for entry in entries for part in (entry.map_key, entry.value)]
        case "comprehension_expr":
            # What a macro (all, exists, map, …) is compiled to.
            made = expression.comprehension_expr
            inner = [made.iter_range, made.accu_init]
            if _VARIABLES.isdisjoint({made.iter_var, made.iter_var2}):
                inner += [made.loop_condition, made.loop_step, made.result]
        case _:
            return
    for part in inner:
        yield from _parts(part)


def _path(expression: Expr) -> list[str] | None:
    """The names that lead to a value, its variable first; None for one that is not read by name."""
    if expression.ident_expr.name in _VARIABLES:
        return [expression.ident_expr.name]
    operand, name = _step(expression)
    before = _path(operand) if operand is not None else None
    return None if before is None else [*before, name]


def _root(expression: Expr) -> Expr:
    operand, _ = _step(expression)
    return expression if operand is None else _root(operand)


def _step(expression: Expr) -> tuple[Expr | None, str]:
    """Map and name of ``map.name``, ``has(map.name)``, ``map["name"]`` and ``"name" in map``."""
    call = expression.call_expr
    if expression.HasField("select_expr"):
        return expression.select_expr.operand, expression.select_expr.field
    if call.function == "_[_]":
        operand, key = call.args
    elif call.function == "@in":
        key, operand = call.args
    else:
        return None, ""
    is_text = key.const_expr.HasField("string_value")
    return (operand, key.const_expr.string_value) if is_text else (None, "")


def _position(expression: Expr, source: SourceInfo) -> tuple[int, int]:
    """The line and the column where an expression begins."""
    offset = source.positions[expression.id]
    # An offset is that of the start of the next line.
    line = bisect_right(source.line_offsets, offset)
    return line + 1, offset - (source.line_offsets[line - 1] if line else 0) + 1
