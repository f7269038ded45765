"""How many look-ups of sessions are under way, how many checks wait, and how much is remembered."""

import asyncio
from dataclasses import replace

from sidecar.check.refusal import Refusal
from sidecar.model import Reason
from sidecar.session.answers import Verdict
from sidecar.session.introspection import FAILURE_REMEMBERED
from tests.support.introspecting import (
    AWAY,
    INACTIVE,
    SETTINGS,
    UNAVAILABLE,
    Scene,
    play,
    reason,
    subject,
)


def test_only_so_many_look_ups_are_under_way() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.takes = 1.0
        names = [f"session-{number}" for number in range(4)]
        verdicts = await asyncio.gather(*map(scene.look_up, names))
        assert [reason(verdict) for verdict in verdicts] == [None] * 3 + [UNAVAILABLE]
        assert verdicts[3] == Refusal(
            UNAVAILABLE, "3 look-ups are under way, as many as may be for new sessions"
        )
        # What waits for one that is under way already needs no other.
        assert len(scene.sso.asked) == 3
        assert subject(await scene.look_up(names[3])) == "the bearer of session-3"

    play(story)


async def _flood(scene: Scene, number: int) -> list[asyncio.Task[Verdict]]:
    """As many look-ups of sessions that were never seen before, all of them under way."""
    tasks = [asyncio.create_task(scene.look_up(f"made-up-{n}")) for n in range(number)]
    await asyncio.sleep(0)
    return tasks


def test_a_session_that_was_active_is_looked_up_again_whatever_is_made_up_meanwhile() -> None:
    async def story(scene: Scene) -> None:
        await scene.look_up()
        await asyncio.sleep(SETTINGS.cache)
        scene.sso.takes, scene.sso.answer = 1.0, INACTIVE
        flood = await _flood(scene, 10)
        scene.sso.answer = None
        assert subject(await scene.look_up()) == "the bearer of alices-session"
        assert len(scene.sso.asked) == 1 + 3 + 1
        await asyncio.wait(flood)

    play(story)


def test_what_is_kept_for_sessions_that_were_active_is_bounded_too() -> None:
    async def story(scene: Scene) -> None:
        names = [f"session-{number}" for number in range(5)]
        for name in names:
            await scene.look_up(name)
        await asyncio.sleep(SETTINGS.cache)
        scene.sso.takes = 1.0
        verdicts = await asyncio.gather(*map(scene.look_up, names))
        assert verdicts[4] == Refusal(UNAVAILABLE, "4 look-ups are under way, as many as may be")

    play(story)


def test_a_session_that_has_ended_is_like_one_that_was_never_seen() -> None:
    async def story(scene: Scene) -> None:
        await scene.look_up()
        await asyncio.sleep(SETTINGS.cache)
        scene.sso.answer = INACTIVE
        assert reason(await scene.look_up()) is Reason.INACTIVE_SESSION
        await asyncio.sleep(SETTINGS.negative_cache)
        scene.sso.takes = 1.0
        flood = await _flood(scene, 3)
        assert reason(await scene.look_up()) is UNAVAILABLE
        await asyncio.wait(flood)

    play(story)


def test_an_issuer_that_was_away_has_ended_no_session() -> None:
    async def story(scene: Scene) -> None:
        await scene.look_up()
        await asyncio.sleep(SETTINGS.cache)
        scene.sso.problem = AWAY
        assert reason(await scene.look_up()) is UNAVAILABLE
        await asyncio.sleep(FAILURE_REMEMBERED)
        scene.sso.problem, scene.sso.takes = None, 1.0
        flood = await _flood(scene, 3)
        assert subject(await scene.look_up()) == "the bearer of alices-session"
        await asyncio.wait(flood)

    play(story)


def test_a_session_that_was_active_may_wait_whatever_is_made_up_meanwhile() -> None:
    async def story(scene: Scene) -> None:
        await scene.look_up()
        await asyncio.sleep(SETTINGS.cache)
        scene.sso.takes = 1.0
        crowd = [asyncio.create_task(scene.look_up(f"made-up-{n % 2}")) for n in range(10)]
        await asyncio.sleep(0)
        assert subject(await scene.look_up()) == "the bearer of alices-session"
        await asyncio.wait(crowd)
        refused = [task for task in crowd if reason(task.result()) is UNAVAILABLE]
        assert len(refused) == 10 - 6

    play(story, replace(SETTINGS, max_waiters=8))


def test_only_so_many_wait_so_that_a_slow_issuer_leaves_room_for_other_credentials() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.takes = 1.0
        verdicts = await asyncio.gather(*(scene.look_up(f"session-{n % 2}") for n in range(7)))
        assert [reason(verdict) for verdict in verdicts] == [None] * 6 + [UNAVAILABLE]
        assert verdicts[6] == Refusal(
            UNAVAILABLE, "6 checks wait for look-ups, as many as may for new sessions"
        )

        # Whoever gave up waits no more.
        gone = [asyncio.create_task(scene.look_up(f"another-{n % 2}")) for n in range(6)]
        await asyncio.sleep(0.5)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        assert subject(await scene.look_up("another-0")) == "the bearer of another-0"

    play(story, replace(SETTINGS, max_waiters=8))


def test_one_session_alone_leaves_room_for_others_to_wait() -> None:
    settings = replace(SETTINGS, max_waiters=8)

    async def story(scene: Scene) -> None:
        for known in ("mallory", "alice"):
            await scene.look_up(known)
        await asyncio.sleep(settings.cache)
        scene.sso.takes = 1.0
        waiting = [asyncio.create_task(scene.look_up("mallory")) for _ in range(8)]
        await asyncio.sleep(0)

        assert subject(await scene.look_up("alice")) == "the bearer of alice"
        verdicts = [await task for task in waiting]
        assert [reason(verdict) for verdict in verdicts] == [None] * 4 + [UNAVAILABLE] * 4
        refused = verdicts[-1]
        assert isinstance(refused, Refusal)
        assert refused.detail == "4 checks wait for the look-up of this session, as many as may"

    play(story, settings)


def test_the_answer_not_used_for_longest_makes_room() -> None:
    async def story(scene: Scene) -> None:
        for session in ("first", "second", "first", "third", "first"):
            await scene.look_up(session)
        assert scene.sso.asked == ["first", "second", "third"]
        await scene.look_up("second")
        assert scene.sso.asked[3:] == ["second"]

    play(story, replace(SETTINGS, remembered_sessions=2))
