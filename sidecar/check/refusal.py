"""What a step returns when the check ends there, and the denial that a role makes of it."""

from typing import NamedTuple

from sidecar.model import Deny, Reason, VerifiedToken


class Refusal(NamedTuple):
    """A step's verdict against the request; ``deny`` makes a ``Deny`` of it.

    ``detail`` is in our own words or the configuration's, never in the client's. ``challenge``
    and ``held`` are as in ``Deny``.
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
