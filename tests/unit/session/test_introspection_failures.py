"""Look-ups of sessions that fail: what is told and logged, and when the issuer is left alone."""

import asyncio
import logging

import pytest

from sidecar.check.refusal import Refusal
from sidecar.errors import SourceFault
from sidecar.session.introspection import FAILURE_REMEMBERED
from sidecar.session.introspection_breaker import PAUSE, TRIPPED_BY
from sidecar.session.introspection_log import QUIET
from tests.support.introspecting import (
    AWAY,
    ERROR,
    SETTINGS,
    UNAVAILABLE,
    Scene,
    play,
    reason,
    subject,
)


def test_a_failure_is_told_with_its_cause_and_repeated_for_a_moment() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.problem = AWAY
        for _ in range(5):
            assert await scene.look_up() == Refusal(UNAVAILABLE, str(AWAY))
        assert len(scene.sso.asked) == 1
        assert scene.observer.lookups == [("sso", "unavailable", 0.0)]
        scene.sso.problem = None
        await asyncio.sleep(FAILURE_REMEMBERED)
        assert subject(await scene.look_up()) == "the bearer of alices-session"

    play(story)


def test_what_is_remembered_serves_while_the_issuer_is_away() -> None:
    async def story(scene: Scene) -> None:
        await scene.look_up()
        await scene.trip()
        assert subject(await scene.look_up()) == "the bearer of alices-session"

    play(story)


def test_an_issuer_that_is_away_is_left_alone_for_a_while() -> None:
    async def story(scene: Scene) -> None:
        await scene.trip()
        refused = await scene.look_up("another")
        assert refused == Refusal(
            UNAVAILABLE, "the last look-ups got no answer; the next one begins in a moment"
        )
        assert len(scene.sso.asked) == TRIPPED_BY

    play(story)


def test_one_look_up_finds_out_whether_the_issuer_is_back() -> None:
    async def story(scene: Scene) -> None:
        await scene.trip()
        await asyncio.sleep(PAUSE)
        scene.sso.takes = 1.0
        verdicts = await asyncio.gather(scene.look_up("one"), scene.look_up("two"))
        assert len(scene.sso.asked) == TRIPPED_BY + 1
        assert all(reason(verdict) is UNAVAILABLE for verdict in verdicts)
        scene.sso.problem = None
        await asyncio.sleep(PAUSE)
        assert subject(await scene.look_up("three")) == "the bearer of three"
        verdicts = await asyncio.gather(scene.look_up("four"), scene.look_up("five"))
        assert [subject(verdict)[-4:] for verdict in verdicts] == ["four", "five"]

    play(story)


def test_a_session_on_which_the_issuer_stumbles_is_its_bearers_affair_alone() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.answer = ERROR
        for number in range(2 * TRIPPED_BY):
            assert reason(await scene.look_up(f"odd-{number}")) is UNAVAILABLE
        scene.sso.answer = None
        assert subject(await scene.look_up()) == "the bearer of alices-session"

    play(story)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str | None]]:
    """Level, beginning and problem of what was written about look-ups."""
    return [
        (record.levelname, record.message.partition(";")[0], getattr(record, "problem", None))
        for record in caplog.records
        if record.name == "sidecar.session.introspection_log"
    ]


def test_an_outage_is_written_down_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def story(scene: Scene) -> None:
        scene.sso.problem = AWAY
        for _ in range(20):
            await scene.look_up()
            await asyncio.sleep(PAUSE)
        scene.sso.problem = None
        for _ in range(3):
            await scene.look_up()
            await asyncio.sleep(SETTINGS.cache)

    play(story)
    assert lines(caplog) == [
        ("ERROR", "sessions cannot be looked up", str(AWAY)),
        ("INFO", "sessions can be looked up again", None),
    ]


def test_sessions_that_fail_among_good_ones_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def story(scene: Scene) -> None:
        for number in range(200):
            scene.sso.answer = ERROR if number % 2 else None
            await scene.look_up(f"session-{number}")
            await asyncio.sleep(QUIET / 100)

    play(story)
    assert [level for level, _, _ in lines(caplog)] == ["ERROR", "INFO"] * 2


def test_an_outage_that_changes_its_cause_is_written_down_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(scene: Scene) -> None:
        scene.sso.problem = AWAY
        await scene.look_up()
        await asyncio.sleep(QUIET)
        scene.sso.problem = SourceFault("it is not in service")
        await scene.look_up()

    play(story)
    assert [problem for _, _, problem in lines(caplog)] == [str(AWAY), "it is not in service"]
