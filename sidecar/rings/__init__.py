"""Where keys live: one small module per back end, behind one protocol."""

from typing import Protocol, TypeVar

from sidecar.rings.ring import Key, KeyRing, SigningKey
from sidecar.rings.sealing_key import SealingKey

K_co = TypeVar("K_co", bound=Key, covariant=True)


class AnyRing(Protocol[K_co]):
    """One set of keys, kept up to date. Its ``str`` names the place for people.

    ``keys`` may be read from any thread; it is replaced whole. ``problem`` is what went wrong when
    the keys were looked at last; None if nothing did. The last good ones stay in use.
    """

    @property
    def keys(self) -> KeyRing[K_co]:
        """The ring at this moment; without keys until they were read or made."""
        ...

    @property
    def problem(self) -> str | None:
        """What went wrong last, for a person."""
        ...

    async def start(self) -> None:
        """Read or make the keys, and keep them up to date from then on.

        Where that fails for somebody else's sake, ``problem`` says why, there are no keys yet, and
        it is tried again every 2 seconds.

        Raises:
            ConfigurationFault: the keys are of the wrong kind, none is active yet, or their timings
                are unsafe for what the ring is used for.
        """
        ...

    async def stop(self) -> None:
        """Leave the keys alone; what others need to verify the last tokens stays published."""
        ...


class Ring(AnyRing[SigningKey], Protocol):
    """A ring of keys that sign, and what is published of them."""

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The document for verifiers (RFC 7517 §5) at ``now`` (Unix seconds), from any thread.

        It has the keys of every replica. Without any it is not to be served: no keys could be read
        or made yet.
        """
        ...

    def max_age(self) -> int:
        """For how many seconds the document may be reused (``KeyRing.max_age``)."""
        ...


SealingRing = AnyRing[SealingKey]
