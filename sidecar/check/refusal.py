"""What a step returns when the check ends there."""

from typing import NamedTuple

from sidecar.model import Reason


class Refusal(NamedTuple):
    """A step's verdict against the request; the pipeline makes a ``Deny`` of it.

    ``detail`` is in our own words or the configuration's, never in the client's. ``scopes`` are
    the scopes the route needs.
    """

    reason: Reason
    detail: str = ""
    scopes: tuple[str, ...] = ()
