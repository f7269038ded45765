"""A ring in a directory, such as a mounted Secret, that ``sidecar keys`` manages."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sidecar.clients.files import Version, changed, read, read_settled
from sidecar.errors import ConfigurationFault
from sidecar.rings.lifecycle import Timings
from sidecar.rings.periodic_task import PeriodicTask
from sidecar.rings.ring import KeyRing
from sidecar.rings.ring_file import (
    FILE,
    MAXIMUM_BYTES,
    StoredKey,
    parse,
    refuse_open_to_all,
    require_kind,
)


class DirectoryRing:
    """Reads the ring in a directory, and reads it again when its file has been replaced.

    ``kind`` is ``LocalKey`` where the keys are to sign (``SigningRing``) and ``SealingKey`` where
    they are to seal (``Ring``). ``needed`` are the timings of what the ring is used for
    (``usable_ring``). The file is polled every ``poll_interval`` seconds. ``clock`` gives Unix
    seconds.
    """

    def __init__(
        self,
        directory: Path,
        kind: type[StoredKey],
        needed: Timings,
        *,
        poll_interval: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys: KeyRing = KeyRing(needed, ())
        self._path = directory / FILE
        self._kind = kind
        self._needed = needed
        self._clock = clock
        self._poll_interval = poll_interval
        self._known: Version | None = None
        self._refresh = PeriodicTask(str(self), self._changed, self._read)

    def __str__(self) -> str:
        return f"file {self._path}"

    @property
    def problem(self) -> str | None:
        """What is wrong with the file (``Ring.problem``)."""
        return self._refresh.problem

    async def start(self) -> None:
        """Read the ring, and poll the file from then on (``Ring.start``)."""
        await self._refresh.start(self._read)

    async def stop(self) -> None:
        """Stop polling (``Ring.stop``)."""
        await self._refresh.stop()

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The public keys (``SigningRing.jwks``). The other replicas read the same directory."""
        return self.keys.jwks(now)

    def max_age(self) -> int:
        """For how long they may be reused (``SigningRing.max_age``)."""
        return self.keys.max_age()

    async def _changed(self) -> None:
        # After a failure the file is read again even if it is unchanged: its mode may have been
        # the cause.
        await changed(self._path, None if self.problem else self._known, self._poll_interval)

    async def _read(self) -> None:
        content, state = await read_settled(self._path, MAXIMUM_BYTES)
        # On another thread: checking an RSA key takes a third of a second.
        self.keys = await asyncio.to_thread(
            usable_ring, self._path, content, self._kind, self._needed, self._clock()
        )
        self._known = state


def check_directory(directory: Path, kind: type[StoredKey], needed: Timings, now: float) -> None:
    """Check offline whether the ring in a directory can be used.

    Args:
        directory: where ``sidecar keys`` made it.
        kind: of its keys: ``LocalKey`` where they are to sign, ``SealingKey`` to seal.
        needed: the timings of what it is used for.
        now: Unix seconds.

    Raises:
        ConfigurationFault, SourceFault: as ``usable_ring``, or the file cannot be read.
    """
    path = directory / FILE
    usable_ring(path, read(path, MAXIMUM_BYTES), kind, needed, now)


def usable_ring(
    path: Path, content: bytes, kind: type[StoredKey], needed: Timings, now: float
) -> KeyRing:
    """The ring in the content of the file ``path``, which was read at ``now`` (Unix seconds).

    Raises:
        SourceFault: the file is open to every user, or does not hold a ring.
        ConfigurationFault: its keys are of the other kind; it was made for shorter-lived tokens or
            for verifiers that fetch more often than ``needed`` says; none of its keys is active.
    """
    refuse_open_to_all(path)
    ring = parse(path, content)
    try:
        require_kind(ring, kind)
    except ConfigurationFault as fault:
        raise ConfigurationFault(f"{path} {fault}") from fault
    shortfall = ring.timings.shortfall(needed)
    if shortfall is not None:
        raise ConfigurationFault(f"{path} {shortfall}; make a ring with longer timings")
    first = ring.keys[0].activates
    if now < first:
        date = datetime.fromtimestamp(first, UTC).isoformat(timespec="seconds")
        raise ConfigurationFault(
            f"{path} cannot be used yet: no key is active until {date}; set the clock if it is "
            "wrong, or make a new ring with sidecar keys new, whose key is active at once"
        )
    return ring
