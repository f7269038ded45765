"""What keeps a ring up to date goes on, whatever happens to one step."""

import asyncio
from collections.abc import Iterator

import pytest

from sidecar.errors import SourceFault
from sidecar.keys.rings.upkeep import Upkeep
from tests.support.simulated_time import run


def test_a_problem_stands_until_a_step_succeeds_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes: Iterator[Exception | None] = iter(
        [None, SourceFault("sealed"), SourceFault("sealed"), None, ValueError("a bug"), None]
    )
    problems = []

    async def story() -> None:
        async def step() -> None:
            problems.append(upkeep.problem)
            if problem := next(outcomes):
                raise problem

        upkeep = Upkeep("test", lambda: asyncio.sleep(10), step)
        await upkeep.end()
        upkeep.begin()
        await asyncio.sleep(65)
        await upkeep.end()
        assert upkeep.problem is None

    run(story())
    internal = "internal error; the log has its stack trace"
    assert problems == [None, None, "sealed", "sealed", None, internal]
    assert [record.message for record in caplog.records] == [
        "signing keys",
        "the upkeep of test failed unexpectedly",
    ]
