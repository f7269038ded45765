"""Where signing keys live: one small module per back end, behind one protocol."""

from typing import Protocol

from sidecar.keys.rings.ring import KeyRing, SigningKey


class Ring(Protocol):
    """One set of signing keys, kept up to date. Its ``str`` names the place for people.

    ``keys`` may be read from any thread; it is replaced whole. ``problem`` is what went wrong when
    the keys were looked at last; None if nothing did. The last good ones stay in use.
    """

    @property
    def keys(self) -> KeyRing[SigningKey]:
        """The ring at this moment; without keys until ``start`` has returned."""
        ...

    @property
    def problem(self) -> str | None:
        """What went wrong last, for a person."""
        ...

    async def start(self) -> None:
        """Read or make the keys, and keep them up to date from then on.

        Raises:
            ConfigurationFault: the keys' timings are unsafe for what the ring is used for.
            SourceFault: the keys cannot be had.
        """
        ...

    async def stop(self) -> None:
        """Leave the keys alone; what others need to verify the last tokens stays published."""
        ...
