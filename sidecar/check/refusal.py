"""``Refusal``: what a step returns when it refuses the request, and the denial made from it."""

from typing import NamedTuple

from sidecar.model import Deny, Reason, VerifiedToken


class Refusal(NamedTuple):
    """Why a step refuses the request; ``deny`` makes a ``Deny`` of it.

    ``detail`` never contains text from the client. ``challenge`` and ``held`` are as in ``Deny``.
    """

    reason: Reason
    detail: str = ""
    challenge: tuple[tuple[str, str], ...] = ()
    held: tuple[tuple[str, str], ...] = ()


def deny(
    refusal: Refusal,
    route: str | None = None,
    fingerprint: str = "",
    token: VerifiedToken | None = None,
) -> Deny:
    """The denial, with what is known by then: route, token's fingerprint, verified token."""
    return Deny(
        refusal.reason,
        route,
        refusal.detail,
        fingerprint,
        token,
        refusal.challenge,
        held=refusal.held,
    )
