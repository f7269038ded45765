"""Finds names that a condition reads from ``request`` and that no request has.

In CEL ``request`` is a map, so the compiler accepts any name. At run time an unknown name makes the
condition fail, or makes ``!has(...)`` true. So the compiled expression is walked when a
configuration is loaded (cel-spec, proto/cel/expr/syntax.proto).
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator
from typing import NamedTuple

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from sidecar.check.conditions import REQUEST_FIELDS, Condition
from sidecar.config._pb.cel.expr.checked_pb2 import CheckedExpr
from sidecar.config._pb.cel.expr.syntax_pb2 import Expr, SourceInfo


class UnknownName(NamedTuple):
    """A name that is read and never present. ``of`` is ``request`` or ``request.params``.

    Line and column count from 1, within the expression.
    """

    name: str
    of: str
    line: int
    column: int


def unknown_names(condition: Condition, parameters: Collection[str]) -> Iterator[UnknownName]:
    """The names that a condition reads and no request has.

    Args:
        condition: the condition of a route.
        parameters: the parameters of the route's path.
    """
    try:
        checked = CheckedExpr.FromString(Any.FromString(condition.checked).value)
    except DecodeError:
        return  # macros nested deeper than protobuf decodes: valid CEL, which is not examined
    for expression in _parts(checked.expr):
        match _path(expression):
            case [name] if name not in REQUEST_FIELDS:
                of = "request"
            case ["params", name] if name not in parameters:
                of = "request.params"
            case _:
                continue
        yield UnknownName(name, of, *_position(_root(expression), checked.source_info))


def _parts(expression: Expr) -> Iterator[Expr]:
    """The expression and its subexpressions, except where ``request`` is a macro's variable."""
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
            if "request" not in {made.iter_var, made.iter_var2}:
                inner += [made.loop_condition, made.loop_step, made.result]
        case _:
            return
    for part in inner:
        yield from _parts(part)


def _path(expression: Expr) -> list[str] | None:
    """The names from ``request`` to a value; None for a value that is not read from it by name."""
    if expression.ident_expr.name == "request":
        return []
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
