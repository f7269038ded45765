"""The public keys of all trust entries: a refresher for each, and one snapshot for the checks."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from sidecar.keys.lookups import Done
from sidecar.keys.refresher import Refresher
from sidecar.keys.reports import RefresherStatus, RefreshObserver
from sidecar.keys.saved import SavedCopy
from sidecar.keys.settings import FileKeys, KeySettings
from sidecar.keys.sources.factory import open_source
from sidecar.model import KeyQuestion
from sidecar.snapshots.keys import KeySet, KeySnapshot


class VerificationKeys:
    """Runs the refreshers and publishes their keys.

    ``cache`` is a directory for copies of the keys that outlive this process. ``before`` is the
    object that this one replaces on a reload: its keys stay in use for every entry whose source is
    the same. ``snapshot`` may be read from any thread; it is replaced whole.
    """

    def __init__(
        self,
        settings: Iterable[KeySettings],
        observer: RefreshObserver,
        *,
        cache: Path | None = None,
        before: "VerificationKeys | None" = None,
    ) -> None:
        self.snapshot = KeySnapshot()
        self._settings = {entry.trust: entry for entry in settings}
        self._refreshers: dict[str, Refresher] = {}
        self._tasks: list[asyncio.Task[None]] = []
        for trust, entry in self._settings.items():
            source = open_source(entry.source)
            # Keys in files need no copy.
            kept = cache if not isinstance(entry.source, FileKeys) else None
            # The settings distinguish sources whose `str` is the same.
            copy = SavedCopy(kept, trust, repr(entry.source)) if kept else None
            refresher = Refresher(entry, source, self._publish, observer, copy=copy)
            earlier = before._refresher(entry) if before else None
            if earlier is not None and earlier.latest is not None:
                refresher.adopt(earlier.latest, recalled=earlier.recalled)
            self._refreshers[trust] = refresher

    def start(self) -> None:
        """Start to fetch."""
        self._tasks = [
            asyncio.create_task(refresher.run(), name=f"keys of {trust}")
            for trust, refresher in self._refreshers.items()
        ]

    async def first_keys(self, timeout: float) -> None:
        """Return when each trust entry has keys or ``timeout`` seconds are over."""
        first = [asyncio.ensure_future(each.first_keys()) for each in self._refreshers.values()]
        if first:
            _, late = await asyncio.wait(first, timeout=timeout)
            for task in late:
                task.cancel()

    async def stop(self) -> None:
        """Stop fetching; checks that wait get ``UNAVAILABLE``."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fetch_now(self) -> None:
        """Fetch all keys at once (``Refresher.fetch_now``)."""
        for refresher in self._refreshers.values():
            refresher.fetch_now()

    def lookup(self, question: KeyQuestion, timeout: float, done: Done) -> None:
        """Wait for a key of a trust entry (``Refresher.lookup``). From any thread."""
        self._refreshers[question.trust].lookup(question, timeout, done)

    def statuses(self) -> tuple[RefresherStatus, ...]:
        """The state of each trust entry's keys, in the configuration's order."""
        return tuple(refresher.status() for refresher in self._refreshers.values())

    def _refresher(self, entry: KeySettings) -> Refresher | None:
        """The refresher of a trust entry, if its source is the one in ``entry``."""
        mine = self._settings.get(entry.trust)
        same = mine is not None and mine.source == entry.source
        return self._refreshers[entry.trust] if same else None

    def _publish(self, trust: str, keys: KeySet) -> None:
        self.snapshot = KeySnapshot({**self.snapshot.sets, trust: keys})
