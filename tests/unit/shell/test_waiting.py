"""What is waited for, and for how long."""

import asyncio
import math
from dataclasses import dataclass, field

import pytest

from sidecar.keys.lookups import Done, Outcome
from sidecar.model import LATE, KeyQuestion
from sidecar.shell.waiting import Waiting
from sidecar.snapshots.keys import KeySnapshot
from tests.support import simulated_time

QUESTION = KeyQuestion("gateway", "new")


@dataclass
class Keys:
    """Verification keys that answer when a test says so."""

    snapshot: KeySnapshot = field(default_factory=KeySnapshot)
    asked: list[tuple[KeyQuestion, float]] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)

    def lookup(self, question: KeyQuestion, timeout: float, done: Done) -> None:
        self.asked.append((question, timeout))
        self.done.append(done)


def waiting(keys: Keys, *, key_wait: float = 5.0, now: float = 1000.0) -> Waiting:
    return Waiting(keys, key_wait, lambda: now)  # type: ignore[arg-type]  # what is used of it


@pytest.mark.parametrize(("until", "expected"), [(math.inf, 5.0), (1009.0, 5.0), (1002.0, 2.0)])
def test_a_key_is_waited_for_as_long_as_configured_and_not_beyond_the_deadline(
    until: float, expected: float
) -> None:
    keys = Keys()
    waiting(keys).look_up(QUESTION, until, lambda _: None)
    assert keys.asked == [(QUESTION, expected)]


def test_the_answer_about_a_key_is_the_keys_or_that_it_is_absent_or_late() -> None:
    keys = Keys()
    for outcome in Outcome:
        answers: list[object] = []
        waiting(keys).look_up(QUESTION, math.inf, answers.append)
        keys.done.pop()(outcome)
        expected = {
            Outcome.FOUND: keys.snapshot,
            Outcome.ABSENT: None,
            Outcome.UNAVAILABLE: LATE,
        }
        assert answers == [expected[outcome]]


def test_a_key_can_be_awaited_and_the_answer_may_come_when_nobody_waits_any_more() -> None:
    async def story() -> None:
        keys = Keys()
        task = asyncio.create_task(waiting(keys).answer(QUESTION))
        await asyncio.sleep(0)
        keys.done[0](Outcome.FOUND)
        assert await task is keys.snapshot

        gone = asyncio.create_task(waiting(keys).answer(QUESTION))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        keys.done[1](Outcome.FOUND)
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(story())


def test_any_other_question_is_awaited_until_it_is_late() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        asking = Waiting(Keys(), 5.0, loop.time)  # type: ignore[arg-type]  # as above

        async def answer() -> str:
            await asyncio.sleep(2.0)
            return "yes"

        assert await asking.answer(answer) == "yes"
        assert await asking.answer(answer, loop.time() + 3.0) == "yes"
        assert await asking.answer(answer, loop.time() + 1.0) is LATE

    simulated_time.run(story())
