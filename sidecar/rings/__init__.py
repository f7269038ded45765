"""Key rings: the private or symmetric keys of one kind of token, and where they are kept.

``lifecycle`` has the states of a key and ``ring`` the value that holds the keys. One module for
each place keeps a ring up to date there: ``directory_ring``, ``transit``, ``ephemeral``.
"""

from typing import Protocol

from sidecar.rings.ring import KeyRing


class Ring(Protocol):
    """One set of keys, kept up to date. Its ``str`` names the place, for messages.

    A new ring has no keys. ``start`` reads or makes them; from then on they are refreshed in the
    background until ``stop``. ``keys`` may be read from any thread; it is replaced whole.
    ``problem`` is why the last refresh failed, None if it succeeded. After a failure the last good
    keys stay in use.
    """

    @property
    def keys(self) -> KeyRing:
        """The ring at this moment; it has no keys until they were read or made."""
        ...

    @property
    def problem(self) -> str | None:
        """Why the last refresh failed, for messages; None if it succeeded."""
        ...

    async def start(self) -> None:
        """Read or make the keys, and keep them up to date from then on.

        If a source such as Vault fails, ``problem`` says why, there are no keys yet, and the
        attempt is repeated every 2 seconds.

        Raises:
            ConfigurationFault: the keys are of the wrong kind, none is active yet, or their timings
                are unsafe for what the ring is used for.
        """
        ...

    async def stop(self) -> None:
        """Stop refreshing. Public keys stay published until the last tokens have expired."""
        ...


class SigningRing(Ring, Protocol):
    """A ring whose keys sign, and whose public keys are published."""

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The document for verifiers (RFC 7517 §5) at ``now`` (Unix seconds), from any thread.

        It has the keys of every replica. If it is empty, because no keys could be read or made
        yet, it must not be served.
        """
        ...

    def max_age(self) -> int:
        """For how many seconds the document may be reused (``KeyRing.max_age``)."""
        ...
