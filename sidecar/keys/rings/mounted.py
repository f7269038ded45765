"""Signing keys in a directory that something else manages, such as a mounted Secret."""

from pathlib import Path

from sidecar.clients.files import Version, changed, read_settled
from sidecar.errors import ConfigurationFault
from sidecar.keys.rings.directory import FILE, MAXIMUM_BYTES, parse, refuse_open_to_all
from sidecar.keys.rings.lifecycle import Timings
from sidecar.keys.rings.local import LocalKey
from sidecar.keys.rings.ring import KeyRing
from sidecar.keys.rings.upkeep import Upkeep


class MountedRing:
    """Reads the ring that ``sidecar keys`` manages, again whenever it was replaced (``Ring``).

    ``needed`` are the timings of what the ring is used for: one made for shorter-lived tokens or
    for verifiers that fetch more often is refused. The file is looked at every ``look_every``
    seconds.
    """

    def __init__(self, directory: Path, needed: Timings, *, look_every: float = 1.0) -> None:
        self.keys: KeyRing[LocalKey] = KeyRing(needed, ())
        self._path = directory / FILE
        self._needed = needed
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
        await self._read()
        self._upkeep.begin()

    async def stop(self) -> None:
        """Stop looking; the ring stays where it is."""
        await self._upkeep.end()

    async def _changed(self) -> None:
        # A ring that could not be used is tried again even if its file is the same: what was
        # wrong may have been the rights to it.
        await changed(self._path, None if self.problem else self._known, self._look_every)

    async def _read(self) -> None:
        content, state = await read_settled(self._path, MAXIMUM_BYTES)
        refuse_open_to_all(self._path)
        ring = parse(self._path, content)
        shortfall = ring.timings.shortfall(self._needed)
        if shortfall is not None:
            raise ConfigurationFault(f"{self._path} {shortfall}; make a ring with longer timings")
        self.keys, self._known = ring, state
