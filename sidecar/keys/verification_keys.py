"""The public keys of all trust entries: their refreshers, and one snapshot for the checks."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
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

    Entries with the same source and times have one refresher, so that their keys are fetched once.
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
        for names in _with_the_same_keys(self._settings.values()):
            entry = self._settings[names[0]]
            source = open_source(entry.source)
            # Keys in files need no copy.
            kept = cache if not isinstance(entry.source, FileKeys) else None
            # The settings distinguish sources whose `str` is the same.
            copy = SavedCopy(kept, entry.trust, repr(entry.source)) if kept else None
            sharing = _Sharing(self, names, observer)
            refresher = Refresher(entry, source, sharing.publish, sharing, copy=copy)
            earlier = [before._refresher(self._settings[name]) for name in names] if before else []
            for each in filter(None, earlier):
                if each.latest is not None and refresher.latest is None:
                    refresher.adopt(each.latest, recalled=each.recalled)
            self._refreshers |= dict.fromkeys(names, refresher)

    def start(self) -> None:
        """Start to fetch."""
        self._tasks = [
            asyncio.create_task(refresher.run(), name=f"keys of {refresher.status().trust}")
            for refresher in self._each()
        ]

    async def first_keys(self, timeout: float) -> None:
        """Return when each trust entry has keys or ``timeout`` seconds are over."""
        first = [asyncio.ensure_future(each.first_keys()) for each in self._each()]
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
        for refresher in self._each():
            refresher.fetch_now()

    def lookup(self, question: KeyQuestion, timeout: float, done: Done) -> None:
        """Wait for a key of a trust entry (``Refresher.lookup``). From any thread."""
        self._refreshers[question.trust].lookup(question, timeout, done)

    def statuses(self) -> tuple[RefresherStatus, ...]:
        """The state of each trust entry's keys, in the configuration's order."""
        return tuple(
            replace(self._refreshers[trust].status(), trust=trust) for trust in self._settings
        )

    def _each(self) -> Iterable[Refresher]:
        """The refreshers, each of them once."""
        return dict.fromkeys(self._refreshers.values())

    def _refresher(self, entry: KeySettings) -> Refresher | None:
        """The refresher of a trust entry, if its source is the one in ``entry``."""
        mine = self._settings.get(entry.trust)
        same = mine is not None and mine.source == entry.source
        return self._refreshers[entry.trust] if same else None

    def publish(self, trusts: Sequence[str], keys: KeySet) -> None:
        """Replace the keys of these trust entries in the snapshot."""
        self.snapshot = KeySnapshot({**self.snapshot.sets, **dict.fromkeys(trusts, keys)})


class _Sharing:
    """The trust entries of one refresher: its keys and reports (``RefreshObserver``) are each's."""

    def __init__(
        self, keys: VerificationKeys, trusts: Sequence[str], observer: RefreshObserver
    ) -> None:
        self._keys = keys
        self._trusts = trusts
        self._observer = observer

    def publish(self, trust: str, keys: KeySet) -> None:
        """A good key set."""
        del trust
        self._keys.publish(self._trusts, keys)

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        """``RefreshObserver.refreshed``."""
        del trust
        for each in self._trusts:
            self._observer.refreshed(each, keys, now)

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        """``RefreshObserver.refresh_failed``."""
        del trust
        for each in self._trusts:
            self._observer.refresh_failed(each, problem, serving=serving)

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        """``RefreshObserver.recalled``."""
        del trust
        for each in self._trusts:
            self._observer.recalled(each, keys, fetched_at)

    def looked_up(self, trust: str, result: str) -> None:
        """``RefreshObserver.looked_up``: of the one entry whose token it was."""
        self._observer.looked_up(trust, result)


def _with_the_same_keys(settings: Iterable[KeySettings]) -> Iterable[tuple[str, ...]]:
    """The names of trust entries whose settings differ in nothing else, together."""
    names: defaultdict[KeySettings, list[str]] = defaultdict(list)
    for entry in settings:
        names[replace(entry, trust="")].append(entry.trust)
    return map(tuple, names.values())
