"""Conditions of a route (``when``) in CEL, type-checked when the configuration is loaded.

An expression sees

- ``claims``, the token's;
- ``token.scopes``, ``token.roles`` and ``token.groups``: sorted lists of what rules see, whichever
  claims the issuer uses;
- ``request`` with ``method``, ``host``, ``path``, ``params`` (of the route's template, decoded),
  ``caller`` (the mTLS principal, empty without one), and ``headers``: those that the route declares
  and the request has.

In an anonymous request the claims and the lists are empty.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sidecar.model import VerifiedToken

# What an expression sees of a request, and of a token besides its claims.
REQUEST_FIELDS: Final = ("method", "host", "path", "params", "caller")
TOKEN_LISTS: Final = ("token.scopes", "token.roles", "token.groups")
VARIABLES: Final = ("claims", "request", *TOKEN_LISTS)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The errors of the CEL runtime that have a known cause. The key of the first may be a value of the
# token; the last names operators and types. The texts of others may quote values.
_KEY_NOT_FOUND: Final = re.compile(r'NOT_FOUND: Key not found in map : "(.*)"', re.DOTALL)
_NOT_A_MAP: Final = "INVALID_ARGUMENT: Applying SELECT to non-message type"
_NO_OVERLOAD: Final = re.compile(r"UNKNOWN: No matching overloads found : ([ -~]{1,100})")


class ConditionError(ValueError):
    """An expression that cannot be used. The text is the compiler's, or says what it must be."""


class Read(NamedTuple):
    """A value that an expression reads: the names that lead to it, its variable first.

    ``tested`` is set where only its presence is asked for, as by ``has``. Line and column count
    from 1, within the expression.
    """

    path: tuple[str, ...]
    line: int
    column: int
    tested: bool = False


class Condition:
    """One compiled expression.

    ``reads`` are the values that it reads by name. They are set by the configuration, which has the
    means to parse ``checked``.

    Raises:
        ConditionError: it does not parse, does not type-check, or its type is not bool.
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.reads: tuple[Read, ...] = ()
        self._words = frozenset(_IDENTIFIER.findall(expression))
        # Only the lists that it reads are made for each check.
        self._lists = tuple(
            name
            for name in TOKEN_LISTS
            if "token" in expression and name.removeprefix("token.") in expression
        )
        try:
            self._compiled = _environment().compile(expression)
        except RuntimeError as fault:  # the only exception type the CEL runtime raises
            raise ConditionError(str(fault)) from fault
        if self._compiled.return_type().name() != "BOOL":
            raise ConditionError(
                "it must be true or false; compare the value, as in `claims.admin == true`"
            )

    @property
    def checked(self) -> bytes:
        """The compiled expression: a ``google.protobuf.Any`` with a ``cel.expr.CheckedExpr``."""
        serialized: bytes = self._compiled.serialize()
        return serialized

    def holds(self, token: VerifiedToken | None, request: Mapping[str, object]) -> bool | str:
        """Whether the condition holds; a text when it could not be evaluated.

        The text says why, in names that are in the expression, without any value of the token or
        the request. It is empty where the cause cannot be told without one.

        Args:
            token: the token; None for an anonymous request.
            request: the request, with ``REQUEST_FIELDS``, and ``headers`` if some are declared.
        """
        values: dict[str, object] = {"claims": token.claims if token else {}, "request": request}
        for name in self._lists:
            values[name] = sorted(getattr(token, name.removeprefix("token."))) if token else []
        try:
            result = self._compiled.eval(data=values).value()
        except RuntimeError:
            return ""
        # The runtime returns an error as a value, which is a text.
        return result if isinstance(result, bool) else self._cause(values, str(result))

    def _cause(self, values: Mapping[str, object], error: str) -> str:
        if overload := _NO_OVERLOAD.fullmatch(error):
            return f"no operator or function takes values of these types: {overload[1]}"
        not_found = _KEY_NOT_FOUND.fullmatch(error)
        for read in self.reads:
            path = read.path[:-1] if read.tested else read.path
            holder, followed = _follow(values, path)
            if followed == len(path):
                continue
            if not_found and isinstance(holder, Mapping) and path[followed] == not_found[1]:
                return f"{format_path(path[: followed + 1])} is missing"
            if error == _NOT_A_MAP and not isinstance(holder, Mapping):
                return f"{format_path(path[:followed])} is not an object"
        # A name that is read from the variable of a macro.
        if not_found and not_found[1] in self._words:
            return f"{not_found[1]} is missing"
        return ""


def format_path(path: Sequence[str]) -> str:
    """A path in the words of an expression: ``claims.realm_access["a-b"]``."""
    variable, *names = path
    return variable + "".join(
        f".{name}" if _IDENTIFIER.fullmatch(name) else f"[{json.dumps(name)}]" for name in names
    )


def _follow(values: Mapping[str, object], path: Sequence[str]) -> tuple[object, int]:
    """The last value on a path that is there, and how many names lead to it."""
    value: object = values
    for index, name in enumerate(path):
        if not isinstance(value, Mapping) or name not in value:
            return value, index
        value = value[name]
    return value, len(path)


@cache
def _environment() -> Any:  # Any: the CEL runtime has no types to offer
    # Imported with the first condition: a configuration without one saves 5 MiB of memory.
    from cel_expr_python import cel  # noqa: PLC0415 - see above

    anything = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    names = cel.Type.List(cel.Type.STRING)
    variables = {"claims": anything, "request": anything, **dict.fromkeys(TOKEN_LISTS, names)}
    return cel.NewEnv(variables=variables)
