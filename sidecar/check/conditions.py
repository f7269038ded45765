"""Conditions of a route (``when``) in CEL, type-checked when the configuration is loaded.

An expression sees ``claims`` (the token's, empty for an anonymous request) and ``request`` with
``method``, ``host``, ``path``, ``params`` (of the route's template, decoded) and ``caller`` (the
mTLS principal, empty without one).
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

# What an expression sees of a request.
REQUEST_FIELDS: Final = ("method", "host", "path", "params", "caller")

_PROBLEM: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")


class ConditionError(ValueError):
    """An expression that cannot be used. The text gives the position and the cause."""


class Condition:
    """One compiled expression.

    Raises:
        ConditionError: it does not parse, does not type-check, or its type is not bool.
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        try:
            self._compiled = _environment().compile(expression)
        except RuntimeError as fault:  # the only exception type the CEL runtime raises
            raise ConditionError(_explain(str(fault))) from fault
        if self._compiled.return_type().name() != "BOOL":
            raise ConditionError(
                "it must be true or false; compare the value, as in `claims.admin == true`"
            )

    @property
    def checked(self) -> bytes:
        """The compiled expression: a ``google.protobuf.Any`` with a ``cel.expr.CheckedExpr``."""
        serialized: bytes = self._compiled.serialize()
        return serialized

    def holds(self, claims: Mapping[str, object], request: Mapping[str, object]) -> bool | None:
        """Whether the condition holds; None when it could not be evaluated."""
        try:
            result = self._compiled.eval(data={"claims": claims, "request": request}).value()
        except RuntimeError:
            return None
        # The runtime may also return an error as a value, which is truthy.
        return result if isinstance(result, bool) else None


@cache
def _environment() -> Any:  # Any: the CEL runtime has no types to offer
    # Imported with the first condition: a configuration without one saves 5 MiB of memory.
    from cel_expr_python import cel  # noqa: PLC0415 - see above

    anything = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(variables={"claims": anything, "request": anything})


def _explain(problem: str) -> str:
    match = _PROBLEM.search(problem)
    return f"at {match[1]}:{match[2]}: {match[3]}" if match else problem
