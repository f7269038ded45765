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


def problem(deny: Deny, realm: str, request_id: str) -> Problem:
    """Problem details (RFC 9457) of ``deny``, which must not be stored by caches.

    ``realm`` names the protection space to the client (RFC 9110 §11.5). The cookie is not among
    the headers: it is no part of the problem.
    """
    status = http_status(deny)
    headers = [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        *_challenge(deny, status, realm),
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


def _challenge(deny: Deny, status: int, realm: str) -> list[tuple[str, str]]:
    """Build the WWW-Authenticate field (RFC 6750 §3). Without a token it has no error code."""
    error = deny.reason.error
    if status != 401 and error is None:
        return []
    parameters = [f"realm={_quoted(realm)}"]
    if error is not None:
        parameters.append(f"error={_quoted(error)}")
        parameters.append(f"error_description={_quoted(deny.reason.sentence)}")
    parameters += [f"{name}={_quoted(value)}" for name, value in deny.challenge]
    return [("www-authenticate", "Bearer " + ", ".join(parameters))]


def _quoted(text: str) -> str:
    """Write a quoted-string (RFC 9110 §5.6.4) of printable ASCII; anything else becomes ``?``."""
    plain = text.encode("ascii", errors="replace").decode()
    plain = "".join(char if char.isprintable() else "?" for char in plain)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
