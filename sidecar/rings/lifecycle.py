"""The life of a key in a ring. Pure: dates in, dates out.

States, and what moves a key from one to the next::

    PUBLISHED ──its activation date──────────────▶ ACTIVE
    ACTIVE    ──its successor's activation date──▶ RETIRED
    RETIRED   ──``Timings.kept`` seconds later───▶ GONE

- *published*: in the JWKS and not used yet, so that every verifier has it before it signs. The
  first key of a ring skips this state: there are no older keys that verifiers could hold.
- *active*: it signs or seals. There is at most one such key.
- *retired*: still published, for as long as a token it signed can be accepted.
- *gone*: no longer published; ``ring.rotated`` removes it.

A state is never stored. It follows from the dates of the keys and the clock, so every replica that
has the same ring finds the same state. ``ring.revoked`` removes a key in any state.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from sidecar.errors import ConfigurationFault


class State(Enum):
    """The state of a key in its life."""

    PUBLISHED = "published"
    ACTIVE = "active"
    RETIRED = "retired"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Timings:
    """What the dates of a ring's keys follow from; all in seconds.

    ``verifier_refresh`` is the longest time between two fetches that any verifier is configured
    with, ``token_life`` the longest life of a token, ``leeway`` how far two clocks may be apart,
    verifiers' leeway included. ``propagation`` is the time until a change of the ring has reached
    every replica that signs or publishes: for a mounted Secret the kubelet's sync. ``period`` is
    how long a key is active.
    """

    verifier_refresh: float = 30.0
    token_life: float = 60.0
    leeway: float = 10.0
    propagation: float = 120.0
    period: float = 30 * 86400.0

    def __post_init__(self) -> None:
        for name in ("verifier_refresh", "token_life", "period"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigurationFault(f"{name} of a key ring must be more than 0 s and finite")
        for name in ("leeway", "propagation"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigurationFault(f"{name} of a key ring must be finite and not negative")
        if self.period < self.ahead + self.kept:
            raise ConfigurationFault(
                f"a key cannot be replaced every {self.period:g} s: it is published {self.ahead:g} "
                f"s before its use and {self.kept:g} s after it; make the period at least "
                f"{self.ahead + self.kept:g} s"
            )

    @property
    def convergence(self) -> float:
        """How long a change of the ring takes to reach every verifier that can fetch.

        Twice the verifiers' refresh: what they fetch may come from a cache as old as their own
        interval (``KeyRing.max_age``), and a fetch that fails is not the last one.
        """
        return self.propagation + 2 * self.verifier_refresh

    @property
    def ahead(self) -> float:
        """How long a key is published before it signs."""
        return self.convergence + self.leeway

    @property
    def kept(self) -> float:
        """How long a key stays published after its last use.

        The leeway counts twice: the signer's clock may be behind, and the verifier's as well.
        """
        return self.token_life + 2 * self.leeway

    def shortfall(self, needed: "Timings") -> str | None:
        """In what a ring with these timings is unsafe where ``needed`` are; None if it is safe."""
        if self.ahead < needed.ahead:
            return (
                f"publishes a key {self.ahead:g} s before its use, and {needed.ahead:g} s are "
                "needed until every verifier has it"
            )
        if self.kept < needed.kept:
            return (
                f"keeps a key for {self.kept:g} s after its last use, and the tokens it signed "
                f"are accepted for {needed.kept:g} s"
            )
        return None


class KeyDates(NamedTuple):
    """The dates of one key, in Unix seconds; None where they depend on a key yet to be made."""

    published: float
    active: float
    retired: float | None
    gone: float | None

    def state(self, now: float) -> State:
        """The state of the key at ``now`` (Unix seconds)."""
        if now < self.active:
            return State.PUBLISHED
        if self.retired is None or now < self.retired:
            return State.ACTIVE
        return State.RETIRED if self.gone is None or now < self.gone else State.GONE
