"""The refresher in simulated time: regular fetches, failures, and saved keys."""

import asyncio
from itertools import pairwise

import pytest

from sidecar.errors import SourceFault
from sidecar.keys.lookups import Outcome
from sidecar.keys.saved import SavedKeys
from tests.support.refreshing import NEW, OLD, SETTINGS, Copy, Scene, Source, away, keys, play
from tests.support.simulated_time import clock


def test_keys_are_fetched_at_once_and_then_regularly() -> None:
    async def story(_: Scene) -> None:
        await asyncio.sleep(1500)

    fetches = play(story).source.fetches
    gaps = [later - earlier for earlier, later in pairwise(fetches)]
    assert len(gaps) >= 4
    assert all(270 <= gap <= 300 for gap in gaps)
    assert len(set(gaps)) > 1, "the times are spread, so that not all sidecars ask at once"


@pytest.mark.parametrize(("max_age", "gap"), [(60.0, 60), (1.0, 30), (86400.0, 300), (None, 300)])
def test_a_source_says_how_soon_to_ask_again_within_limits(
    max_age: float | None, gap: float
) -> None:
    async def story(_: Scene) -> None:
        await asyncio.sleep(340)

    fetches = play(story, Source(keys(OLD), max_age=max_age)).source.fetches
    assert fetches[1] - fetches[0] == pytest.approx(gap, rel=0.11)


def test_a_refresher_that_stops_lets_go_of_its_source() -> None:
    async def story(_: Scene) -> None:
        pass

    assert play(story).source.closed


def test_a_published_key_set_is_usable_until_it_is_too_old() -> None:
    async def story(_: Scene) -> None:
        pass

    scene = play(story)
    assert scene.published[0].usable_until == scene.source.fetches[0] + SETTINGS.max_stale


@pytest.mark.parametrize("problem", [SourceFault("is not a JWKS"), ZeroDivisionError("a bug")])
def test_a_failed_fetch_publishes_nothing_and_is_tried_again_with_growing_patience(
    problem: Exception,
) -> None:
    async def story(scene: Scene) -> None:
        scene.source.problem = problem
        await asyncio.sleep(1000)

    scene = play(story)
    assert len(scene.published) == 1
    failed = scene.source.fetches[1:]
    gaps = [later - earlier for earlier, later in pairwise(failed)]
    assert gaps[:4] == pytest.approx([1, 2, 4, 8], rel=0.11)
    assert max(gaps) <= 300
    assert scene.refresher.status().last_error


def test_a_source_that_does_not_answer_is_given_up_after_the_timeout() -> None:
    async def story(scene: Scene) -> None:
        assert scene.observer.events == [("failed", "the source gave no answer within 5 s")]

    play(story, Source(keys(OLD), takes=60.0))


def test_a_key_that_is_good_for_a_time_does_not_outlive_it_when_its_source_is_away() -> None:
    (old,), (new,) = keys(OLD), keys(NEW)

    async def story(scene: Scene) -> None:
        scene.source.problem = SourceFault("away")
        await asyncio.sleep(300)
        assert scene.published[-1].knows("old")
        assert scene.published[-1].knows("new")
        await asyncio.sleep(700)
        assert scene.published[-1].knows("old")
        assert not scene.published[-1].knows("new")
        assert scene.published[-1].usable_until == scene.published[0].usable_until

    play(story, Source((old, new), expires={new: 1_000_600.0}))


def test_where_every_key_has_expired_there_are_none() -> None:
    (old,) = keys(OLD)

    async def story(scene: Scene) -> None:
        scene.source.problem = SourceFault("away")
        await asyncio.sleep(1000)
        assert scene.observer.serving[0]
        assert not scene.observer.serving[-1]
        assert await scene.lookup(None) is Outcome.UNAVAILABLE

    play(story, Source((old,), expires={old: 1_000_600.0}))


def test_it_recovers_by_itself() -> None:
    async def story(scene: Scene) -> None:
        assert scene.published == []
        scene.source.problem = None
        await asyncio.sleep(2)
        assert len(scene.published) == 1
        assert scene.refresher.status().last_error is None

    play(story, Source(keys(OLD), SourceFault("away")))


def test_the_status_shows_what_people_ask_for() -> None:
    async def story(scene: Scene) -> None:
        status = scene.refresher.status()
        assert (status.trust, status.kids) == ("gateway", ("old",))
        assert status.last_success == scene.source.fetches[0]
        await asyncio.sleep(1)
        upcoming = scene.refresher.status().next_refresh
        assert upcoming is not None
        assert 270 <= upcoming - scene.source.fetches[0] <= 300

    play(story)


DOWN = SourceFault("is down")


def test_saved_keys_serve_until_they_are_as_old_as_any_may_be() -> None:
    fetched_at = 1_000_000.0 - 600  # the simulated clock starts at 1,000,000

    async def story(scene: Scene) -> None:
        status = scene.refresher.status()
        assert (status.kids, status.recalled, status.last_error) == (("old",), True, "is down")
        assert status.last_success == fetched_at

    copy = Copy(SavedKeys(keys(OLD), fetched_at))
    scene = play(story, Source(problem=DOWN), copy)
    assert [each.usable_until for each in scene.published] == [fetched_at + SETTINGS.max_stale]
    assert scene.observer.events == [("recalled", "1"), ("failed", "is down")]


def test_saved_keys_give_way_to_the_first_answer() -> None:
    async def story(scene: Scene) -> None:
        status = scene.refresher.status()
        assert (status.kids, status.recalled) == (("new",), False)

    copy = Copy(SavedKeys(keys(OLD), 1_000_000.0 - 600))
    scene = play(story, Source(keys(NEW)), copy)
    assert copy.saved == SavedKeys(keys(NEW), scene.source.fetches[0])


def test_saved_keys_that_are_too_old_do_not_serve() -> None:
    async def story(scene: Scene) -> None:
        assert scene.refresher.status().last_success is None

    copy = Copy(SavedKeys(keys(OLD), 1_000_000.0 - SETTINGS.max_stale))
    assert play(story, Source(problem=DOWN), copy).published == []


def test_saved_keys_from_the_future_live_no_longer_for_it() -> None:
    async def story(_: Scene) -> None:
        pass

    copy = Copy(SavedKeys(keys(OLD), 2_000_000.0))
    scene = play(story, Source(problem=DOWN), copy)
    assert scene.published[0].usable_until == scene.source.fetches[0] + SETTINGS.max_stale


def test_a_failed_fetch_saves_nothing() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(600)
        assert len(scene.source.fetches) > 2

    copy = Copy()
    play(story, Source(problem=DOWN), copy)
    assert copy.saved is None


def test_a_bug_in_an_observer_does_not_end_the_refreshing(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("a bug")

    async def story(scene: Scene) -> None:
        monkeypatch.setattr(scene.observer, "refreshed", break_down)
        before = len(scene.source.fetches)
        await asyncio.sleep(1000)
        assert len(scene.source.fetches) > before + 1

    play(story)


def test_a_key_that_is_taken_out_is_let_go_within_one_refresh_though_nobody_asks() -> None:
    async def story(scene: Scene) -> None:
        scene.source.published = keys(NEW)
        await asyncio.sleep(SETTINGS.refresh)
        assert not scene.published[-1].knows("old")

    for _ in range(20):  # whatever the fetches are spread by
        play(story)


def test_keys_asked_for_now_are_fetched_without_a_cooldown() -> None:
    async def story(scene: Scene) -> None:
        scene.source.published = keys(NEW)
        scene.refresher.fetch_now()
        await asyncio.sleep(0.001)
        assert not scene.published[-1].knows("old")
        await asyncio.sleep(100)
        assert len(scene.source.fetches) == 2

    play(story)


def test_keys_asked_for_now_do_not_wait_for_the_cooldown_that_checks_wait_for() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(SETTINGS.cooldown - 0.05)
        waiting = scene.lookup("new")
        await asyncio.sleep(0.01)
        scene.source.published = keys(NEW)
        scene.refresher.fetch_now()
        asked = clock()
        assert await waiting is Outcome.FOUND
        assert clock() == asked

    play(story)


def test_a_fetch_under_way_does_not_stand_for_one_that_is_asked_for_now() -> None:
    async def story(scene: Scene) -> None:
        scene.source.takes = 2.0
        scene.refresher.fetch_now()
        await asyncio.sleep(1.0)
        scene.source.published = keys(NEW)
        scene.refresher.fetch_now()
        await asyncio.sleep(3.1)
        assert [later - scene.source.fetches[1] for later in scene.source.fetches[2:]] == [2.0]
        assert not scene.published[-1].knows("old")

    play(story)


def test_first_keys_are_waited_for_through_failures_that_are_soon_repeated() -> None:
    async def story(scene: Scene) -> None:
        began = clock()
        waiting = asyncio.ensure_future(scene.refresher.first_keys())
        await asyncio.sleep(9.0)
        assert not waiting.done()
        gaps = [later - earlier for earlier, later in pairwise(scene.source.fetches)]
        assert max(gaps[1:]) <= 0.5
        scene.source.problem = None
        await waiting
        assert clock() - began <= 9.5

    play(story, away())


def test_nobody_who_has_given_up_waiting_makes_it_try_more_often() -> None:
    async def story(scene: Scene) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scene.refresher.first_keys(), 5.0)
        before = len(scene.source.fetches)
        await asyncio.sleep(1000)
        assert len(scene.source.fetches) - before < 10

    play(story, away())


def test_saved_keys_need_not_be_waited_for() -> None:
    async def story(scene: Scene) -> None:
        before = clock()
        await scene.refresher.first_keys()
        assert clock() == before

    play(story, Source(problem=DOWN), Copy(SavedKeys(keys(OLD), 1_000_000.0 - 600)))
