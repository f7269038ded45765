"""The HTTP response of a denial: problem details (RFC 9457), and a challenge."""

import json
from http import HTTPStatus
from typing import NamedTuple

from sidecar.model import Deny


class Problem(NamedTuple):
    """The HTTP response of a denial. Header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


def problem(deny: Deny, challenge: tuple[tuple[str, str], ...], request_id: str) -> Problem:
    """Problem details (RFC 9457) of ``deny``, which must not be stored by caches.

    ``challenge`` has the parameters of every challenge, by name: ``realm``, the protection space
    (RFC 9110 §11.5), and ``resource_metadata``, where a client learns who issues tokens (RFC 9728
    §5.1). The cookie is not among the headers: it is no part of the problem.
    """
    status = http_status(deny)
    headers = [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        *_challenge(deny, status, challenge),
    ]
    if status == 503:
        headers.append(("retry-after", "1"))
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        # The detail is only for the log, because it would help an attacker.
        "detail": deny.reason.sentence,
        "reason": deny.reason.label,
        "request_id": request_id,
    }
    return Problem(status, tuple(headers), json.dumps(document))


def http_status(deny: Deny) -> int:
    """The status to deny with. A reason whose status is not an error becomes a 500."""
    return deny.reason.status if deny.reason.status >= 400 else 500


def _challenge(
    deny: Deny, status: int, common: tuple[tuple[str, str], ...]
) -> list[tuple[str, str]]:
    """Build the WWW-Authenticate field (RFC 6750 §3). Without a token it has no error code."""
    error = deny.reason.error
    if status != 401 and error is None:
        return []
    about: tuple[tuple[str, str], ...] = ()
    if error is not None:
        about = (("error", error), ("error_description", deny.reason.sentence))
    parameters = [f"{name}={_quoted(value)}" for name, value in (*common, *about, *deny.challenge)]
    return [("www-authenticate", "Bearer " + ", ".join(parameters))]


def _quoted(text: str) -> str:
    """Write a quoted-string (RFC 9110 §5.6.4) of printable ASCII; anything else becomes ``?``."""
    plain = text.encode("ascii", errors="replace").decode()
    plain = "".join(char if char.isprintable() else "?" for char in plain)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
