"""Key rings: the keys of one kind of token, and where their private halves are.

``lifecycle`` has the states of a key and ``ring`` the value that holds the keys. One module for
each place keeps a ring up to date there: ``directory_ring``, ``transit``, ``ephemeral``.
"""

from typing import Protocol

from sidecar.rings.ring import KeyRing


class Ring(Protocol):
    """One set of keys, kept up to date. Its ``str`` names the place for people.

    A new ring has no keys. ``start`` reads or makes them; from then on they are refreshed in the
    background until ``stop``. ``keys`` may be read from any thread; it is replaced whole.
    ``problem`` is why the last refresh failed, None if it succeeded. After a failure the last good
    keys stay in use.
    """

    @property
    def keys(self) -> KeyRing:
        """The ring at this moment; without keys until they were read or made."""
        ...

    @property
    def problem(self) -> str | None:
        """Why the last refresh failed, for people."""
        ...

    async def start(self) -> None:
        """Read or make the keys, and keep them up to date from then on.

        Where a source fails, such as Vault, ``problem`` says why, there are no keys yet, and it is
        tried again every 2 seconds.

        Raises:
            ConfigurationFault: the keys are of the wrong kind, none is active yet, or their timings
                are unsafe for what the ring is used for.
        """
        ...

    async def stop(self) -> None:
        """End the refreshing. What verifiers need for the last tokens stays published."""
        ...


class SigningRing(Ring, Protocol):
    """A ring whose keys sign, and what is published of them."""

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The document for verifiers (RFC 7517 §5) at ``now`` (Unix seconds), from any thread.

        It has the keys of every replica. Without any it is not to be served: no keys could be read
        or made yet.
        """
        ...

    def max_age(self) -> int:
        """For how many seconds the document may be reused (``KeyRing.max_age``)."""
        ...
