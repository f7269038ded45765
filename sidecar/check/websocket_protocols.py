"""A token among the protocols that the client of a WebSocket offers (RFC 6455 §11.3.4).

A page cannot set headers of a WebSocket, only offer protocols; one of them is the token, behind a
prefix. It is removed from every request that goes on: a service that selected it would send the
token back. The header is read whatever the request is, because Envoy and a service may differ in
what they take for an upgrade.
"""

from string import ascii_letters, digits
from typing import Final, NamedTuple

from sidecar.check.refusal import Refusal
from sidecar.model import Reason, RequestView

HEADER: Final = "sec-websocket-protocol"
# More than any client offers. Each costs a step of the check.
_MOST: Final = 64
# The characters of a protocol's name, a token (RFC 6455 §4.1, RFC 9110 §5.6.2).
_CHARACTERS: Final = f"!#$%&'*+-.^_`|~{digits}{ascii_letters}".encode()


class Offered(NamedTuple):
    """The protocols of a request.

    ``tokens`` are those with the prefix, without it; ``others`` are the rest. What is not a
    protocol's name is in neither; ``misplaced`` says that the prefix occurs in it, where only some
    servers begin a protocol, as in ``a bearer.token``.
    """

    tokens: tuple[bytes, ...] = ()
    others: tuple[bytes, ...] = ()
    misplaced: bool = False


def offered(request: RequestView, prefix: bytes) -> Offered | Refusal:
    """The protocols on all lines of the header, or a refusal because they are too many."""
    lines = request.values(HEADER)
    if not lines:
        return Offered()
    # Several lines are one list (RFC 9110 §5.3), in which empty members do not count (§5.6.1.2).
    line = b",".join(lines)
    # Counted by removing them: bytes.count is slow where every other byte is a comma.
    if len(line) - len(line.translate(None, b",")) >= _MOST:
        return Refusal(Reason.REQUEST_TOO_LARGE, f"{HEADER} has more than {_MOST} members")
    tokens, others, misplaced = [], [], False
    for each in line.split(b","):
        member = each.strip(b" \t")
        if member.startswith(prefix):
            tokens.append(member[len(prefix) :])
        elif member.translate(None, _CHARACTERS):  # faster than an expression for long ones
            misplaced = misplaced or prefix in member
        elif member:
            others.append(member)
    return Offered(tuple(tokens), tuple(others), misplaced)


def without_token(request: RequestView, prefix: bytes) -> str:
    """The header for the service, without tokens; empty for none."""
    found = offered(request, prefix)
    return "" if isinstance(found, Refusal) else b", ".join(found.others).decode("ascii")
