"""Keys in a directory that something else manages, such as a mounted Secret."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic

from sidecar.clients.files import Version, changed, read_settled
from sidecar.rings.directory import FILE, MAXIMUM_BYTES
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.periodic_task import Upkeep
from sidecar.rings.ring import KeyRing
from sidecar.rings.stored import K
from sidecar.rings.usable import usable


class MountedRing(Generic[K]):
    """Reads the ring that ``sidecar keys`` manages, again whenever it was replaced.

    It is a ``Ring`` where the keys are to sign and a ``SealingRing`` where they are to seal:
    ``kind`` says which. ``needed`` are the timings of what the ring is used for (``usable``). The
    file is looked at every ``look_every`` seconds; ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        directory: Path,
        kind: type[K],
        needed: Timings,
        *,
        look_every: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys: KeyRing[K] = KeyRing(needed, ())
        self._path = directory / FILE
        self._kind = kind
        self._needed = needed
        self._clock = clock
        self._look_every = look_every
        self._known: Version | None = None
        self._upkeep = Upkeep(str(self), self._changed, self._read)

    def __str__(self) -> str:
        return f"file {self._path}"

    @property
    def problem(self) -> str | None:
        """What is wrong with the file (``Ring.problem``)."""
        return self._upkeep.problem

    async def start(self) -> None:
        """Read the ring, and look for another one from then on (``Ring.start``)."""
        await self._upkeep.begin(self._read)

    async def stop(self) -> None:
        """Stop looking; the ring stays where it is."""
        await self._upkeep.end()

    def jwks(self: "MountedRing[LocalKey]", now: float) -> dict[str, list[dict[str, str]]]:
        """The public halves (``Ring.jwks``). The other replicas read the same directory."""
        return self.keys.jwks(now)

    def max_age(self) -> int:
        """For how long they may be reused (``Ring.max_age``)."""
        return self.keys.max_age()

    async def _changed(self) -> None:
        # A ring that could not be used is tried again even if its file is the same: what was
        # wrong may have been the rights to it.
        await changed(self._path, None if self.problem else self._known, self._look_every)

    async def _read(self) -> None:
        content, state = await read_settled(self._path, MAXIMUM_BYTES)
        # On a thread of its own: an RSA key takes a third of a second to be found good.
        self.keys = await asyncio.to_thread(
            usable, self._path, content, self._kind, self._needed, self._clock()
        )
        self._known = state
