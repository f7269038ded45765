"""All trust entries' keys together: one refresher each, one snapshot for the checks to read."""

import asyncio
from collections.abc import Iterable

from sidecar.keys.lookups import Done
from sidecar.keys.refresher import Refresher, RefresherStatus, RefreshObserver
from sidecar.keys.settings import KeySettings
from sidecar.keys.sources.opened import open_source
from sidecar.snapshots.keys import KeySet, KeySnapshot


class KeyKeeper:
    """Runs the refreshers and publishes what they bring.

    ``snapshot`` may be read from any thread; it is replaced whole.
    """

    def __init__(
        self,
        settings: Iterable[KeySettings],
        observer: RefreshObserver,
    ) -> None:
        self.snapshot = KeySnapshot()
        self._refreshers = {
            entry.trust: Refresher(
                entry,
                open_source(entry.source),
                self._publish,
                observer,
            )
            for entry in settings
        }
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, patience: float) -> None:
        """Begin to fetch; return when each source was tried or ``patience`` seconds are over."""
        self._tasks = [
            asyncio.create_task(refresher.run(), name=f"keys of {trust}")
            for trust, refresher in self._refreshers.items()
        ]
        first = [asyncio.ensure_future(each.first_fetch()) for each in self._refreshers.values()]
        if first:
            _, late = await asyncio.wait(first, timeout=patience)
            for task in late:
                task.cancel()

    async def stop(self) -> None:
        """Stop fetching; checks that wait are told that no key will come."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lookup(self, trust: str, kid: str, timeout: float, done: Done) -> None:
        """Wait for a kid of a trust entry (``Refresher.lookup``). From any thread."""
        self._refreshers[trust].lookup(kid, timeout, done)

    def statuses(self) -> tuple[RefresherStatus, ...]:
        """How each trust entry's keys are doing, in the configuration's order."""
        return tuple(refresher.status() for refresher in self._refreshers.values())

    def _publish(self, trust: str, keys: KeySet) -> None:
        self.snapshot = KeySnapshot({**self.snapshot.sets, trust: keys})
