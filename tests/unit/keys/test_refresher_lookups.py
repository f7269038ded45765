"""Checks that look up a key at a refresher: who waits, for how long, and what they are told."""

import asyncio
import json
from hashlib import sha256

import pytest

from sidecar.errors import SourceFault
from sidecar.jose.key_documents import parse
from sidecar.keys.lookups import Outcome
from sidecar.model import KeyQuestion, Tried
from tests.support.refreshing import NEW, OLD, SETTINGS, Scene, Source, away, keys, play
from tests.support.simulated_time import clock
from tests.support.tokens import SigningKey, new_key


def test_an_unknown_kid_is_found_by_one_fetch_that_all_who_wait_share() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        scene.source.published = keys(OLD, NEW)
        answers = [scene.lookup("new") for _ in range(3)]
        assert [await answer for answer in answers] == [Outcome.FOUND] * 3
        assert len(scene.source.fetches) == 2

    play(story)


def test_a_kid_is_absent_only_when_a_fetch_begun_after_the_question_lacks_it() -> None:
    async def story(scene: Scene) -> None:
        scene.source.takes = 0.05
        await asyncio.sleep(20)
        first = scene.lookup("forged")
        await asyncio.sleep(0.01)
        during = scene.lookup("new")
        scene.source.published = keys(OLD, NEW)
        assert await first is Outcome.ABSENT
        assert await during is Outcome.UNAVAILABLE, "that fetch had begun before it was asked"

    play(story)


def test_an_absent_kid_is_remembered_until_the_next_fetch_may_begin() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        assert await scene.lookup("forged") is Outcome.ABSENT
        asked = len(scene.source.fetches)
        assert await scene.lookup("forged") is Outcome.ABSENT
        assert len(scene.source.fetches) == asked
        await asyncio.sleep(SETTINGS.cooldown)
        scene.source.published = keys(OLD, new_key("ES256", "forged"))
        assert await scene.lookup("forged") is Outcome.FOUND

    play(story)


def test_within_the_cooldown_an_unknown_kid_is_told_to_come_back() -> None:
    async def story(scene: Scene) -> None:
        assert await scene.lookup("new") is Outcome.UNAVAILABLE
        assert len(scene.source.fetches) == 1

    play(story)


def test_a_check_that_arrives_shortly_before_the_cooldown_ends_waits_for_the_next_fetch() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(SETTINGS.cooldown - 0.05)
        scene.source.published = keys(OLD, NEW)
        assert await scene.lookup("new") is Outcome.FOUND

    play(story)


def test_nobody_waits_longer_than_asked() -> None:
    async def story(scene: Scene) -> None:
        scene.source.takes = 4.0
        await asyncio.sleep(20)
        began = clock()
        assert await scene.lookup("new", timeout=0.1) is Outcome.UNAVAILABLE
        assert clock() - began == pytest.approx(0.1)

    play(story)


def test_only_so_many_wait_at_once() -> None:
    async def story(scene: Scene) -> None:
        scene.source.takes = 0.05
        await asyncio.sleep(20)
        answers = [scene.lookup(f"kid-{number}") for number in range(4)]
        assert answers[3].done()
        assert answers[3].result() is Outcome.UNAVAILABLE
        assert [await answer for answer in answers[:3]] == [Outcome.ABSENT] * 3

    play(story)


def test_ten_thousand_random_kids_cause_one_fetch_per_cooldown() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        before = len(scene.source.fetches)
        for number in range(10_000):
            scene.lookup(f"random-{number}")
            await asyncio.sleep(0.003)
        assert len(scene.source.fetches) - before <= 30 / SETTINGS.cooldown + 1

    play(story)


def test_a_known_kid_is_found_without_a_fetch() -> None:
    async def story(scene: Scene) -> None:
        assert await scene.lookup("old") is Outcome.FOUND
        assert len(scene.source.fetches) == 1

    play(story)


def test_whoever_waits_when_the_refresher_stops_is_answered() -> None:
    waiting: list[asyncio.Future[Outcome]] = []

    async def story(scene: Scene) -> None:
        scene.source.takes = 4.0
        await asyncio.sleep(20)
        waiting.append(scene.lookup("new", timeout=3.0))
        await asyncio.sleep(1)

    play(story)
    assert waiting[0].result() is Outcome.UNAVAILABLE


def test_one_that_cannot_be_answered_does_not_keep_the_others_from_their_answers() -> None:
    async def story(scene: Scene) -> None:
        def break_down(_: Outcome) -> None:
            raise RuntimeError("a bug")

        await asyncio.sleep(20)
        scene.source.published = keys(OLD, NEW)
        scene.refresher.lookup(KeyQuestion("gateway", "new"), 0.1, break_down)
        assert await scene.lookup("new") is Outcome.FOUND
        before = len(scene.source.fetches)
        await asyncio.sleep(1000)
        assert len(scene.source.fetches) > before

    play(story)


def test_a_date_that_is_set_back_changes_nothing_for_those_who_wait() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        scene.source.published = keys(OLD, NEW)
        scene.date.set_back = 3600.0
        assert await scene.lookup("new") is Outcome.FOUND

    play(story)


async def until_it_hardly_tries(scene: Scene) -> None:
    """Let so many attempts fail that the next regular one is minutes away."""
    await asyncio.sleep(800)
    (*_, last), upcoming = scene.source.fetches, scene.refresher.status().next_refresh
    assert upcoming is not None
    assert upcoming - last > 200
    await asyncio.sleep(max(0.0, last + SETTINGS.cooldown - clock()))
    assert scene.refresher.status().next_refresh == upcoming


@pytest.mark.parametrize("kid", ["old", None])
def test_without_keys_the_first_token_that_comes_has_them_fetched(kid: str | None) -> None:
    async def story(scene: Scene) -> None:
        await until_it_hardly_tries(scene)
        scene.source.problem = None
        assert await scene.lookup(kid) is Outcome.FOUND

    play(story, away())


def test_keys_that_are_too_old_are_as_good_as_none() -> None:
    async def story(scene: Scene) -> None:
        scene.source.problem = SourceFault("away")
        await asyncio.sleep(SETTINGS.max_stale)
        assert await scene.lookup("old") is Outcome.UNAVAILABLE
        await until_it_hardly_tries(scene)
        assert scene.observer.serving[-1] is False
        scene.source.problem = None
        assert await scene.lookup("old") is Outcome.FOUND
        assert scene.published[-1].usable_until > clock()

    scene = play(story)
    assert scene.observer.serving[0] is True


def test_without_keys_one_fetch_per_cooldown_serves_however_many_ask() -> None:
    async def story(scene: Scene) -> None:
        await until_it_hardly_tries(scene)
        before = len(scene.source.fetches)
        answers = []
        for _ in range(300):
            answers.append(scene.lookup("old"))
            await asyncio.sleep(0.1)
        assert {await answer for answer in answers} == {Outcome.UNAVAILABLE}
        assert len(scene.source.fetches) - before == 30 / SETTINGS.cooldown

    play(story, away())


def test_without_keys_only_so_many_wait_at_once() -> None:
    async def story(scene: Scene) -> None:
        await until_it_hardly_tries(scene)
        scene.source.takes, scene.source.problem = 0.05, None
        answers = [scene.lookup("old") for _ in range(4)]
        assert answers[3].done()
        assert [await answer for answer in answers] == [
            *[Outcome.FOUND] * 3,
            Outcome.UNAVAILABLE,
        ]

    play(story, away())


def test_first_keys_without_the_tokens_are_waited_with_as_for_any_unknown_kid() -> None:
    async def story(scene: Scene) -> None:
        await until_it_hardly_tries(scene)
        scene.source.takes, scene.source.problem = 0.05, None
        first = scene.lookup("forged")
        await asyncio.sleep(0.01)
        during = [
            scene.lookup("other"),
            scene.lookup("old"),
        ]
        assert await first is Outcome.ABSENT
        assert await during[0] is Outcome.UNAVAILABLE, "that fetch had begun before it was asked"
        assert await during[1] is Outcome.FOUND

    play(story, away())


def unsigned(token: str, *tried: SigningKey) -> Tried:
    """A token without a kid that none of these keys has signed."""
    return Tried(sha256(token.encode()).digest(), frozenset(keys(*tried)))


def test_a_token_that_no_known_key_signed_is_verified_again_when_the_keys_have_changed() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        scene.source.published = keys(OLD, NEW)
        answers = [scene.lookup(None, tried=unsigned(name, OLD)) for name in ("a", "b", "a")]
        assert [await answer for answer in answers] == [Outcome.FOUND] * 3
        assert len(scene.source.fetches) == 2
        assert await scene.lookup(None, tried=unsigned("c", OLD)) is Outcome.FOUND, "changed since"
        assert len(scene.source.fetches) == 2

    play(story)


@pytest.mark.parametrize("kid", ["old", None])
def test_a_token_that_no_published_key_signed_is_refused_and_remembered(kid: str | None) -> None:
    published = keys(OLD) if kid else parse(json.dumps({"keys": [OLD.jwk(kid=None)]}).encode()).keys
    tried = Tried(b"a" * 32, frozenset(published))
    other = Tried(b"b" * 32, frozenset(published))

    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        assert await scene.lookup(None, tried=tried) is Outcome.ABSENT
        asked = len(scene.source.fetches)
        assert await scene.lookup(None, tried=tried) is Outcome.ABSENT
        assert await scene.lookup(None, tried=other) is Outcome.UNAVAILABLE, "no fetch for it yet"
        assert len(scene.source.fetches) == asked
        await asyncio.sleep(SETTINGS.cooldown)
        scene.source.published = keys(OLD, NEW)
        assert await scene.lookup(None, tried=tried) is Outcome.FOUND

    play(story, Source(published))


def test_ten_thousand_forged_tokens_without_a_kid_cause_one_fetch_per_cooldown() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        before = len(scene.source.fetches)
        waiting: list[asyncio.Future[Outcome]] = []
        for number in range(10_000):
            waiting.append(scene.lookup(None, tried=unsigned(f"forged-{number}", OLD)))
            waiting = [each for each in waiting if not each.done()]
            assert len(waiting) <= SETTINGS.key_waiters
            await asyncio.sleep(0.003)
        assert len(scene.source.fetches) - before <= 30 / SETTINGS.cooldown + 1

    play(story)


@pytest.mark.parametrize("known", [True, False])
def test_a_key_without_a_kid_may_be_the_one_that_is_looked_for(known: bool) -> None:
    unnamed = parse(json.dumps({"keys": [OLD.jwk(kid=None)]}).encode()).keys

    async def story(scene: Scene) -> None:
        await until_it_hardly_tries(scene) if not known else await asyncio.sleep(20)
        scene.source.problem = None
        assert await scene.lookup("whatever") is Outcome.FOUND

    play(story, Source(unnamed) if known else Source(unnamed, SourceFault("away")))
