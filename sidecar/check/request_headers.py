"""The request headers that conditions read. Each that is declared has one value, or is absent.

A second line, a comma, or a character that services decode in several ways would let a condition
and the service read two different values.
"""

import re
from collections.abc import Iterable
from typing import Final

from sidecar.check.refusal import Refusal
from sidecar.model import Reason, RequestView

# Printable ASCII without commas, and without a space at its ends, which some servers remove.
_VALUE: Final = re.compile(rb"(?:[!-+\--~](?:[ -+\--~]*[!-+\--~])?)?")


def read_headers(request: RequestView, names: Iterable[str]) -> dict[str, str] | Refusal:
    """The values of those of the headers that are there, or why one is ambiguous.

    Args:
        request: the request.
        names: the declared headers, in lower case.
    """
    values = {}
    for name in names:
        lines = request.values(name)
        # Envoy joins repeated lines with a comma where it sends headers as a map.
        if len(lines) > 1 or (lines and b"," in lines[0]):
            return Refusal(Reason.AMBIGUOUS_REQUEST, f"{name} is there more than once")
        if lines and not _VALUE.fullmatch(lines[0]):
            detail = f"{name} is not printable ASCII, or has a space at an end"
            return Refusal(Reason.AMBIGUOUS_REQUEST, detail)
        if lines:
            values[name] = lines[0].decode("ascii")
    return values
