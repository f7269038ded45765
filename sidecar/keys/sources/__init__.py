"""Where public keys come from: one small module per kind of source, behind one protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.snapshots.keys import VerificationKey


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source published at one moment.

    ``max_age`` is for how many seconds the source lets its answer be reused (RFC 9111 §5.2.2.1);
    None where it says nothing about it. ``expires`` has the keys that are good for a time only, and
    until when (Unix seconds).
    """

    keys: tuple[VerificationKey, ...]
    max_age: float | None = None
    expires: Mapping[VerificationKey, float] = field(default_factory=dict)


class KeySource(Protocol):
    """One place that publishes the public keys of one issuer. Its ``str`` names it for people."""

    async def fetch(self) -> Fetched:
        """Read the keys published at this moment.

        Raises:
            SourceFault: the source cannot be read or gives no usable key set; the keys known so
                far stay in use.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
