"""What issuers said about sessions a moment ago, under the session's SHA-256, for as long as told.

A short memory is what bounds how late the end of a session is noticed (RFC 7662 §4).
"""

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

from sidecar.session.answers import Verdict


class _Remembered(NamedTuple):
    verdict: Verdict
    since: float
    until: float


class RememberedAnswers:
    """The most recently used answers, bounded in number. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._answers: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._lock = Lock()

    def get(self, digest: bytes, now: float) -> Verdict | None:
        """What is still believed at ``now`` (Unix seconds)."""
        with self._lock:
            found = self._answers.get(digest)
            # Before its time is only a clock that was set back, by nobody knows how much.
            if found is None or not found.since <= now < found.until:
                return None
            self._answers.move_to_end(digest)
            return found.verdict

    def add(self, digest: bytes, verdict: Verdict, since: float, until: float) -> None:
        """Believe a verdict from ``since`` to ``until``; the one longest unused makes room."""
        with self._lock:
            self._answers[digest] = _Remembered(verdict, since, until)
            self._answers.move_to_end(digest)
            if len(self._answers) > self._limit:
                self._answers.popitem(last=False)
