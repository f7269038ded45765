"""Excerpts of requests for operators: one line of limited length, without possible secrets."""

import re
from typing import Final

from sidecar.telemetry.logs import escaped, redact

LONGEST: Final = 256

# The end of a path, encoded or not: a query, a fragment or path parameters (";jsessionid=…").
_END: Final = re.compile(r"[?#;]|%3[BFbf]|%23")
# A random secret of 256 bits takes 43 characters in base64url; a UUID has 36.
_LONG_SEGMENT: Final = re.compile(r"[^/]{41,}")


def excerpt(text: str) -> str:
    """The beginning of a text, in printable ASCII and without what looks like a token."""
    shown = redact(escaped(text[:LONGEST]))
    is_whole = max(len(text), len(shown)) <= LONGEST
    return shown if is_whole else f"{shown[:LONGEST]}..."


def path_excerpt(path: str) -> str:
    """The beginning of a path without its query; a segment as long as a secret is not shown."""
    part = path[: 2 * LONGEST]
    end = _END.search(part)
    if end is not None:
        part = part[: end.start()]
    elif len(part) < len(path):
        # The length of the last segment is unknown, because the path was cut in it.
        part = part.rpartition("/")[0] + "/..."
    return excerpt(_LONG_SEGMENT.sub("[redacted]", part))
