"""Waits for the answer to a check's question, for a limited time and without holding a thread.

A question about a key goes to the verification keys, where all waiting checks share one fetch. Any
other question is awaited on the event loop.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from sidecar.keys.lookups import Outcome
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import LATE, KeyQuestion, Late, Question
from sidecar.snapshots.keys import KeySnapshot

KeyAnswer = KeySnapshot | Late | None


class Waiting(NamedTuple):
    """Asks questions under one configuration.

    ``key_wait`` is how long, in seconds, a key is waited for. ``clock`` gives Unix seconds.
    """

    keys: VerificationKeys
    key_wait: float
    clock: Callable[[], float] = time.time

    def look_up(
        self, question: KeyQuestion, until: float, answered: Callable[[KeyAnswer], None]
    ) -> None:
        """Ask for a key from any thread.

        Args:
            question: which key.
            until: when the answer is ``LATE`` at the latest, in Unix seconds.
            answered: called once with the answer; at once on this thread if it is known, otherwise
                on the event loop's.
        """
        timeout = min(self.key_wait, until - self.clock())
        self.keys.lookup(question, timeout, lambda outcome: answered(self._answer(outcome)))

    async def answer(self, question: Question, until: float = math.inf) -> object:
        """The answer, on the event loop; ``LATE`` where there is none ``until`` (Unix seconds)."""
        if isinstance(question, KeyQuestion):
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[KeyAnswer] = loop.create_future()
            self.look_up(
                question,
                until,
                lambda found: _set_result(answer, found),
            )
            return await answer
        limit = asyncio.timeout(None if until == math.inf else until - self.clock())
        try:
            async with limit:
                return await question()
        except TimeoutError:
            if limit.expired():
                return LATE
            raise  # raised by the question itself

    def _answer(self, outcome: Outcome) -> KeyAnswer:
        if outcome is Outcome.FOUND:
            return self.keys.snapshot
        return None if outcome is Outcome.ABSENT else LATE


def _set_result(answer: "asyncio.Future[KeyAnswer]", found: KeyAnswer) -> None:
    if not answer.done():  # the waiting task may have been cancelled
        answer.set_result(found)
