"""Signing keys in a directory that something else manages, such as a mounted Secret."""

import asyncio
import logging
from pathlib import Path

from sidecar.clients.files import Version, changed, read_settled
from sidecar.errors import ConfigurationFault, Fault
from sidecar.keys.rings.directory import FILE, MAXIMUM_BYTES, parse, refuse_open_to_all
from sidecar.keys.rings.lifecycle import Timings
from sidecar.keys.rings.local import LocalKey
from sidecar.keys.rings.ring import KeyRing

_log = logging.getLogger(__name__)


class MountedRing:
    """Reads the ring that ``sidecar keys`` manages, again whenever it was replaced (``Ring``).

    ``needed`` are the timings of what the ring is used for: one made for shorter-lived tokens or
    for verifiers that fetch more often is refused. The file is looked at every ``look_every``
    seconds.
    """

    def __init__(self, directory: Path, needed: Timings, *, look_every: float = 1.0) -> None:
        self.keys: KeyRing[LocalKey] = KeyRing(needed, ())
        self.problem: str | None = None
        self._path = directory / FILE
        self._needed = needed
        self._look_every = look_every
        self._known: Version | None = None
        self._task: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return f"file {self._path}"

    async def start(self) -> None:
        """Read the ring, and look for another one from then on (``Ring.start``)."""
        await self._read()
        self._task = asyncio.create_task(self._follow(), name=f"signing keys in {self._path}")

    async def stop(self) -> None:
        """Stop looking; the ring stays where it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            # A ring that could not be used is tried again even if its file is the same: what was
            # wrong may have been the rights to it.
            await changed(self._path, None if self.problem else self._known, self._look_every)
            try:
                await self._read()
            except Fault as fault:
                if str(fault) != self.problem:
                    _log.error("signing keys", extra={"problem": str(fault)})
                self.problem = str(fault)

    async def _read(self) -> None:
        content, state = await read_settled(self._path, MAXIMUM_BYTES)
        refuse_open_to_all(self._path)
        ring = parse(self._path, content)
        shortfall = ring.timings.shortfall(self._needed)
        if shortfall is not None:
            raise ConfigurationFault(f"{self._path} {shortfall}; make a ring with longer timings")
        self.keys, self._known, self.problem = ring, state, None
