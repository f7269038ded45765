"""What keeps a ring up to date goes on, whatever happens to one step."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest

from sidecar.errors import ConfigurationFault, SourceFault
from sidecar.rings.periodic_task import RETRY_PAUSE, PeriodicTask
from tests.support.simulated_time import clock, run

INTERNAL = "internal error; the log has its stack trace"


class Steps:
    """Steps that end as they are told to, and when each was taken and what the problem was then."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.taken: list[tuple[float, str | None]] = []
        self.task = PeriodicTask("test", lambda: asyncio.sleep(10), self.step)
        self._outcomes = iter(outcomes)
        self._began = clock()

    async def step(self) -> None:
        self.taken.append((clock() - self._began, self.task.problem))
        if problem := next(self._outcomes, None):
            raise problem


def play(outcomes: Iterable[Exception | None], story: Callable[[Steps], Awaitable[None]]) -> None:
    async def stage() -> None:
        steps = Steps(*outcomes)
        try:
            await story(steps)
        finally:
            await steps.task.stop()

    run(stage())


def test_a_problem_stands_until_a_step_succeeds_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(steps: Steps) -> None:
        await steps.task.start(steps.step)
        await asyncio.sleep(65)
        assert [problem for _, problem in steps.taken] == [
            *(None, None, None, "sealed", "sealed", None),
            INTERNAL,
        ]
        assert steps.task.problem is None

    sealed = SourceFault("sealed")
    play([None, None, sealed, sealed, None, ValueError("a bug"), None], story)
    assert [record.message for record in caplog.records] == [
        "key ring",
        "refreshing test failed unexpectedly",
    ]


def test_a_first_step_whose_source_is_down_is_tried_again_until_it_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(steps: Steps) -> None:
        await steps.task.start(steps.step)
        problems = [steps.task.problem]
        await asyncio.sleep(3.5 * RETRY_PAUSE)
        problems.append(steps.task.problem)
        assert problems == ["sealed", None]

        await asyncio.sleep(10)
        moments = [moment for moment, _ in steps.taken]
        assert moments == pytest.approx([0, 2, 4, 6, 16])

    # What would have ended the start is only one more problem later: somebody may still mend it.
    play([SourceFault("sealed"), ConfigurationFault("too short"), ValueError("a bug")], story)
    problems = [getattr(record, "problem", None) for record in caplog.records]
    assert problems == ["sealed", "too short", None]


@pytest.mark.parametrize("fault", [ConfigurationFault("too short"), ValueError("a bug")])
def test_a_first_step_that_would_always_fail_is_not_tried_again(fault: Exception) -> None:
    async def story(steps: Steps) -> None:
        with pytest.raises(type(fault), match=str(fault)):
            await steps.task.start(steps.step)
        await asyncio.sleep(60)
        assert len(steps.taken) == 1

    play([fault], story)


def test_whoever_gives_up_waiting_for_the_first_step_does_not_end_the_task() -> None:
    async def story(steps: Steps) -> None:
        async def slowly() -> None:
            await asyncio.sleep(5)
            await steps.step()

        waiting = asyncio.create_task(steps.task.start(slowly))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.sleep(20)
        assert [moment for moment, _ in steps.taken] == pytest.approx([5, 15])

    play([], story)


def test_what_has_ended_does_not_finish_its_first_step() -> None:
    async def story(steps: Steps) -> None:
        async def slowly() -> None:
            await asyncio.sleep(5)
            await steps.step()

        waiting = asyncio.create_task(steps.task.start(slowly))
        await asyncio.sleep(1)
        await steps.task.stop()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await asyncio.sleep(60)
        assert steps.taken == []

    play([], story)


def test_what_has_ended_takes_no_more_steps() -> None:
    async def story(steps: Steps) -> None:
        await steps.task.start(steps.step)
        await steps.task.stop()
        await asyncio.sleep(60)
        assert len(steps.taken) == 1

    play([SourceFault("sealed")], story)
