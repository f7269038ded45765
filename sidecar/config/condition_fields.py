"""The values that a condition reads, found in its compiled expression.

In CEL ``request`` is a map, so the compiler accepts any name. At run time an unknown name makes the
condition fail, or makes ``!has(...)`` true. So the compiled expression is walked when a
configuration is loaded (cel-spec, proto/cel/expr/syntax.proto).
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from sidecar.check.conditions import VARIABLES, Condition, Read
from sidecar.config._pb.cel.expr.checked_pb2 import CheckedExpr
from sidecar.config._pb.cel.expr.syntax_pb2 import Expr, SourceInfo

_VARIABLES: Final = frozenset(VARIABLES)


class UnknownName(NamedTuple):
    """A name that is read and never present. ``of`` is ``request`` or ``request.params``.

    Line and column count from 1, within the expression.
    """

    name: str
    of: str
    line: int
    column: int


def compiled(expression: str) -> Condition:
    """A condition that knows what it reads.

    Raises:
        ConditionError: the expression cannot be used.
    """
    condition = Condition(expression)
    condition.reads = tuple(_reads(condition))
    return condition


def unknown_names(
    condition: Condition, known: Mapping[str, Sequence[str]]
) -> Iterator[UnknownName]:
    """The names that a condition reads and no request has.

    Args:
        condition: the condition of a route.
        known: the names of ``request``, and of each map in it, as in ``request.params``.
    """
    for read in condition.reads:
        *of, name = read.path
        names = known.get(".".join(of))
        if names is not None and name not in names:
            yield UnknownName(name, ".".join(of), read.line, read.column)


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
