"""The refresher's story in simulated time: regular fetches, failures, and unknown kids."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import parse
from sidecar.keys.lookups import Outcome
from sidecar.keys.refresher import Refresher
from sidecar.keys.saved import SavedKeys
from sidecar.keys.settings import FileKeys
from sidecar.keys.sources import Fetched
from sidecar.model import KeyQuestion, Tried
from sidecar.snapshots.keys import KeySet
from tests.support.settings import key_settings
from tests.support.simulated_time import clock, run
from tests.support.tokens import SigningKey, jwks, new_key

OLD, NEW = new_key("ES256", "old"), new_key("ES256", "new")
SETTINGS = key_settings(
    trust="gateway",
    source=FileKeys(Path("unused")),
    refresh=300.0,
    min_refresh=30.0,
    cooldown=10.0,
    max_stale=3600.0,
    timeout=5.0,
    key_waiters=3,
)


@dataclass
class Source:
    """Publishes what the test says, and counts how often it was asked."""

    published: tuple[VerificationKey, ...] = ()
    problem: Exception | None = None
    takes: float = 0.0
    max_age: float | None = None
    expires: dict[VerificationKey, float] = field(default_factory=dict)
    closed: bool = False
    fetches: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return "the source"

    async def fetch(self) -> Fetched:
        self.fetches.append(clock())
        published, problem = self.published, self.problem
        await asyncio.sleep(self.takes)
        if problem:
            raise problem
        return Fetched(published, self.max_age, self.expires)

    async def close(self) -> None:
        self.closed = True


@dataclass
class Observer:
    events: list[tuple[str, ...]] = field(default_factory=list)
    serving: list[bool] = field(default_factory=list)
    fetched: asyncio.Event = field(default_factory=asyncio.Event)

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        del trust, now
        self.events.append(("refreshed", str(keys)))
        self.fetched.set()

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        del trust
        self.events.append(("failed", problem))
        self.serving.append(serving)
        self.fetched.set()

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        del trust, fetched_at
        self.events.append(("recalled", str(keys)))

    def looked_up(self, trust: str, result: str) -> None:
        del trust
        self.events.append(("looked_up", result))


@dataclass
class Date:
    """The simulated date, which an administrator may set back."""

    set_back: float = 0.0

    def __call__(self) -> float:
        return clock() - self.set_back


@dataclass
class Scene:
    source: Source
    refresher: Refresher
    observer: Observer
    published: list[KeySet]
    date: Date

    def lookup(
        self, kid: str | None, timeout: float = 0.1, tried: Tried | None = None
    ) -> "asyncio.Future[Outcome]":
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.refresher.lookup(KeyQuestion("gateway", kid, tried), timeout, answer.set_result)
        return answer


@dataclass
class Copy:
    """A copy of the keys that outlives the refresher."""

    saved: SavedKeys | None = None

    async def read(self) -> SavedKeys | None:
        return self.saved

    async def write(self, saved: SavedKeys) -> None:
        self.saved = saved


def play(
    story: Callable[[Scene], Awaitable[None]],
    source: Source | None = None,
    copy: Copy | None = None,
) -> Scene:
    """Run a refresher beside a story, in simulated time."""

    async def stage() -> Scene:
        published: list[KeySet] = []
        observer, date = Observer(), Date()
        used = source or Source(keys(OLD))
        refresher = Refresher(
            SETTINGS,
            used,
            lambda _, key_set: published.append(key_set),
            observer,
            copy=copy,
            clock=date,
        )
        scene = Scene(used, refresher, observer, published, date)
        task = asyncio.create_task(refresher.run())
        await observer.fetched.wait()
        try:
            await story(scene)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return scene

    return run(stage())


def keys(*signing: SigningKey) -> tuple[VerificationKey, ...]:
    return parse(json.dumps(jwks(*signing)).encode()).keys


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


def test_a_bug_in_an_observer_does_not_end_the_refreshing(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("a bug")

    async def story(scene: Scene) -> None:
        monkeypatch.setattr(scene.observer, "refreshed", break_down)
        before = len(scene.source.fetches)
        await asyncio.sleep(1000)
        assert len(scene.source.fetches) > before + 1

    play(story)


def test_a_date_that_is_set_back_changes_nothing_for_those_who_wait() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(20)
        scene.source.published = keys(OLD, NEW)
        scene.date.set_back = 3600.0
        assert await scene.lookup("new") is Outcome.FOUND

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


# While there are no keys.


def away() -> Source:
    return Source(keys(OLD), SourceFault("away"))


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
