"""Keeps the keys of one trust entry fresh, and lets checks wait for a key not yet known.

Runs on the event loop, while checks run on their own thread. It is three small state machines:

**The task** (``run``) fetches and pauses in turn. It leaves ``PAUSING`` for ``FETCHING``

- when the regular interval is over: ``refresh``, or less if the source says so (its ``max_age``),
  or a retry interval that doubles with each failure in a row;
- when a check waits for a key (``lookup``) and ``cooldown`` has passed since the last fetch began;
- when ``fetch_now`` is called, without a cooldown.

**The keys** are moved by the result of each fetch and by the clock::

    NONE    ──fetched, or read from a copy──────────▶ USABLE
    USABLE  ──``max_stale`` after they were fetched─▶ TOO OLD
    TOO OLD ──fetched───────────────────────────────▶ USABLE

A failed fetch changes no state: the last good keys stay in use until they are too old. In ``NONE``
and ``TOO OLD``, each token that needs the keys waits for a fetch, as one with an unknown kid does.

**A check that looks a key up** is answered at once where that is possible, and otherwise waits::

    LOOKED UP ──the key is there────────────────────────────────────▶ FOUND
              ──a fetch less than ``cooldown`` ago did not bring it─▶ ABSENT
              ──too many wait, or no fetch can begin in time────────▶ UNAVAILABLE
              ──otherwise───────────────────────────────────────────▶ WAITING
    WAITING   ──a fetch brings the key, or one without a kid────────▶ FOUND
              ──a fetch that began after the look-up has neither────▶ ABSENT
              ──its timeout is over, or the refresher is stopped────▶ UNAVAILABLE

The key of a token without a kid is there when the keys are others than those it was verified with.
"""

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from sidecar.errors import SourceFault
from sidecar.keys.lookups import AbsentKeys, Done, Outcome, Waiter
from sidecar.keys.reports import RefresherStatus, RefreshObserver
from sidecar.keys.saved import SavedKeys
from sidecar.keys.settings import KeySettings
from sidecar.keys.sources import Fetched, KeySource
from sidecar.model import KeyQuestion
from sidecar.snapshots.keys import KeySet

_log = logging.getLogger(__name__)

_JITTER: Final = 0.1
_FIRST_RETRY: Final = 1.0
# While a start or a reload waits for first keys, a failed fetch is repeated sooner than that.
_LONGEST_RETRY_AT_START: Final = 0.5


class Copy(Protocol):
    """A copy of the keys on disk. It logs its errors and does not raise them."""

    async def read(self) -> SavedKeys | None:
        """The keys that an earlier run saved; None if there are none."""
        ...

    async def write(self, saved: SavedKeys) -> None:
        """Save for a later run."""
        ...


class Refresher:
    """Fetches one trust entry's keys regularly, and at once for a key that is not known.

    ``publish`` gets each good key set. With a ``copy``, the keys that an earlier run saved are used
    until the source has answered. ``lookup`` may be called from any thread; everything else
    belongs to the event loop.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, each replaced in tests
        self,
        settings: KeySettings,
        source: KeySource,
        publish: Callable[[str, KeySet], None],
        observer: RefreshObserver,
        *,
        copy: Copy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._source = source
        self._publish = publish
        self._observer = observer
        self._copy = copy
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._has_keys = asyncio.Event()
        self._awaited = 0
        self._now = asyncio.Event()
        self._failures = 0
        self._max_age: float | None = None
        self._latest: SavedKeys | None = None
        self._recalled = False
        self._last_error: str | None = None
        self._next_refresh: float | None = None
        # Shared with the threads that look up.
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._absent = AbsentKeys()
        self._waiters: list[Waiter] = []
        self._fetch_begun = float("-inf")
        self._fetching = False

    @property
    def latest(self) -> SavedKeys | None:
        """The keys in use, and when they were fetched."""
        return self._latest

    @property
    def recalled(self) -> bool:
        """Whether the keys in use were fetched by an earlier run."""
        return self._recalled

    def adopt(self, saved: SavedKeys, *, recalled: bool) -> bool:
        """Begin with keys fetched earlier, before the first fetch; False if they are too old.

        ``recalled`` says that an earlier run fetched them.
        """
        if saved.fetched_at + self._settings.max_stale <= self._clock():
            return False
        self._use(saved)
        self._recalled = recalled
        return True

    async def first_keys(self) -> None:
        """Return once there are keys. Meanwhile a failed fetch is repeated within 0.5 s."""
        self._awaited += 1
        try:
            await self._has_keys.wait()
        finally:
            self._awaited -= 1

    def fetch_now(self) -> None:
        """Fetch once more, without a cooldown. A fetch that has begun already does not count."""
        self._now.set()
        self._wake.set()

    async def run(self) -> None:
        """Fetch now and from then on, until cancelled."""
        try:
            await self._surviving(self._recall)
            while True:
                await self._surviving(self._refresh)
                await self._pause()
        finally:
            self._release(lambda _: True, Outcome.UNAVAILABLE)
            await self._source.close()

    def lookup(self, question: KeyQuestion, timeout: float, done: Done) -> None:
        """Find out whether a fetch brings a token's key, and call ``done`` once, from any thread.

        Args:
            question: which key; it is not among those known.
            timeout: seconds until the answer is ``UNAVAILABLE``.
            done: gets the outcome, on this thread or on the event loop's.
        """
        waiter = Waiter(question, self._loop.time(), done)
        with self._lock:
            outcome = self._known(waiter, timeout)
            if outcome is None:
                self._waiters.append(waiter)
        if outcome is None:
            self._loop.call_soon_threadsafe(self._wait, waiter, timeout)
        else:
            self._observer.looked_up(question.trust, outcome.value)
            done(outcome)

    def status(self) -> RefresherStatus:
        """The present state of the keys."""
        keys = self._keys.keys if self._keys else frozenset()
        return RefresherStatus(
            trust=self._settings.trust,
            source=str(self._source),
            kids=tuple(sorted(key.kid or f"(thumbprint) {key.thumbprint}" for key in keys)),
            recalled=self._recalled,
            last_success=self._latest.fetched_at if self._latest else None,
            last_error=self._last_error,
            next_refresh=self._next_refresh,
        )

    def _known(self, waiter: Waiter, timeout: float) -> Outcome | None:
        """The outcome if it is known at once; None for a check that has to wait."""
        usable = self._usable()
        if usable is not None and waiter.is_answered_by(usable):
            return Outcome.FOUND
        next_fetch = self._fetch_begun + self._settings.cooldown
        absent = waiter.absent in self._absent
        if usable is not None and absent and waiter.since < next_fetch:
            return Outcome.ABSENT
        if len(self._waiters) >= self._settings.key_waiters:
            return Outcome.UNAVAILABLE
        if not self._fetching and next_fetch > waiter.since + timeout:
            return Outcome.UNAVAILABLE
        return None

    def _usable(self) -> KeySet | None:
        """The keys in use; None where there are none, or they are too old."""
        keys = self._keys
        return keys if keys is not None and keys.is_usable(self._clock()) else None

    def _wait(self, waiter: Waiter, timeout: float) -> None:
        self._wake.set()
        self._loop.call_later(
            timeout, self._release, lambda other: other is waiter, Outcome.UNAVAILABLE
        )

    async def _pause(self) -> None:
        """Sleep until the next regular fetch, or one that is asked for.

        A check that needs one gets it at the end of the cooldown.
        """
        regular = self._interval()
        self._next_refresh = self._clock() + regular
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(regular):
                if not (self._waiters or self._now.is_set()):
                    self._wake.clear()
                    await self._wake.wait()
                cooldown = self._fetch_begun + self._settings.cooldown - self._loop.time()
                await asyncio.wait_for(self._now.wait(), max(0.0, cooldown))

    def _interval(self) -> float:
        """Seconds until the next regular fetch: never more than ``refresh``."""
        regular = self._settings.refresh
        if self._failures:
            retry = _FIRST_RETRY * 2 ** min(self._failures - 1, 10)
            if self._awaited:
                retry = min(retry, _LONGEST_RETRY_AT_START)
            regular = min(regular, retry)
        elif self._max_age is not None:
            regular = min(regular, max(self._settings.min_refresh, self._max_age))
        # Jitter spreads the load of many sidecars. It only shortens: `refresh` is an upper bound.
        return regular * (1 - random.uniform(0, _JITTER))  # noqa: S311 - no secret

    async def _surviving(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run a step; an unexpected exception is logged and does not end the task."""
        try:
            await step()
        except Exception:
            _log.exception("refreshing the keys of %s failed unexpectedly", self._settings.trust)
            self._failures += 1
            self._last_error = "internal error; the log has its stack trace"

    async def _refresh(self) -> None:
        good = await self._fetch()
        if good is not None and self._copy is not None:
            await self._copy.write(good)

    async def _recall(self) -> None:
        """Use what an earlier run saved, unless there are keys already."""
        if self._copy is None or self._latest is not None:
            return
        saved = await self._copy.read()
        if saved is not None and self.adopt(saved, recalled=True):
            self._observer.recalled(self._settings.trust, len(saved.keys), saved.fetched_at)

    async def _fetch(self) -> SavedKeys | None:
        """Fetch once. Returns the keys, or None for a failure."""
        self._now.clear()
        with self._lock:
            self._fetching = True
            # The monotonic clock: waiting must not depend on the date.
            self._fetch_begun = begun = self._loop.time()
        try:
            async with asyncio.timeout(self._settings.timeout):
                fetched = await self._source.fetch()
        except SourceFault as fault:
            self._failed(str(fault))
        except TimeoutError:
            self._failed(f"{self._source} gave no answer within {self._settings.timeout:g} s")
        except Exception:
            # An unexpected exception counts as a failed fetch: the last good keys stay in use.
            _log.exception("fetching the keys of %s failed unexpectedly", self._settings.trust)
            self._failed("internal error; the log has its stack trace")
        else:
            return self._succeeded(fetched, begun)
        finally:
            with self._lock:
                self._fetching = False
        return None

    def _succeeded(self, fetched: Fetched, begun: float) -> SavedKeys:
        latest = SavedKeys(fetched.keys, self._clock(), fetched.expires)
        key_set = self._use(latest)
        with self._lock:
            for waiter in self._waiters:
                absent = waiter.absent
                if waiter.since <= begun and absent and not waiter.is_answered_by(key_set):
                    self._absent.add(absent)
        self._failures, self._last_error, self._recalled = 0, None, False
        self._max_age = fetched.max_age
        self._observer.refreshed(self._settings.trust, len(fetched.keys), latest.fetched_at)
        self._release(lambda waiter: waiter.is_answered_by(key_set), Outcome.FOUND)
        if key_set.has_unnamed:
            # A key without a kid may be the one that signed, whatever the token calls it.
            self._release(
                lambda waiter: waiter.since <= begun and waiter.question.tried is None,
                Outcome.FOUND,
            )
        self._release(lambda waiter: waiter.since <= begun, Outcome.ABSENT)
        return latest

    def _use(self, latest: SavedKeys) -> KeySet:
        """Publish keys. Must come before any waiter is answered, so that its check finds them."""
        now = self._clock()
        # A date in the future, because the clock was set back, does not extend the keys' life.
        fetched_at = min(latest.fetched_at, now)
        key_set = KeySet.of(latest.at(now), usable_until=fetched_at + self._settings.max_stale)
        self._publish(self._settings.trust, key_set)
        with self._lock:
            if self._keys is None or self._keys.keys != key_set.keys:
                self._absent.clear()
            self._keys = key_set
        self._latest = latest
        self._has_keys.set()
        return key_set

    def _failed(self, problem: str) -> None:
        self._failures += 1
        self._last_error = problem
        if self._latest is not None and self._latest.expires:
            # Keys with an expiry date expire even if the source cannot be reached.
            self._use(self._latest)
        self._observer.refresh_failed(
            self._settings.trust, problem, serving=self._usable() is not None
        )

    def _release(self, which: Callable[[Waiter], bool], outcome: Outcome) -> None:
        """Answer the waiters that ``which`` selects. Each is removed first: it is answered once."""
        with self._lock:
            released = [waiter for waiter in self._waiters if which(waiter)]
            self._waiters = [waiter for waiter in self._waiters if not which(waiter)]
        for waiter in released:
            try:
                self._observer.looked_up(waiter.question.trust, outcome.value)
                waiter.done(outcome)
            except Exception:
                # If one waiter cannot be answered, the others still are.
                _log.exception("a check that waited for a key could not be answered")
