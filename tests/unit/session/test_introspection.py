"""Looking sessions up, in simulated time: what is asked, what is remembered, what is refused."""

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pytest

from sidecar.check.refusal import Refusal
from sidecar.clients.http import Response
from sidecar.errors import SourceFault
from sidecar.model import LATE, KeyQuestion, Pending, Reason, VerifiedToken
from sidecar.session.answers import Verdict
from sidecar.session.introspection import FAILURE_REMEMBERED, Introspector
from sidecar.session.introspection_breaker import PAUSE, TRIPPED_BY
from sidecar.session.introspection_log import QUIET
from sidecar.session.settings import IntrospectionSettings, SecretAuthentication
from tests.support.settings import introspection_settings
from tests.support.simulated_time import clock, run

SETTINGS = introspection_settings(
    name="sso",
    url="https://sso.example/introspect",
    authentication=SecretAuthentication("gateway", Path("unused")),
    leeway=10.0,
    cache=10.0,
    negative_cache=2.0,
    max_lookups=4,
    remembered_sessions=100,
)
SESSION = "alices-session"
AWAY = SourceFault("https://sso.example/introspect cannot be reached")
ERROR = Response(500, {}, b"")
INACTIVE = Response(200, {}, b'{"active": false}')


@dataclass
class Sso:
    """Answers as the test says, after as long as it says."""

    takes: float = 0.0
    problem: Exception | None = None
    answer: Response | None = None
    expires: float | None = None
    asked: list[str] = field(default_factory=list)
    closed: bool = False

    async def ask(self, session: str) -> Response:
        self.asked.append(session)
        answer, problem = self.answer or self._active(session), self.problem
        await asyncio.sleep(self.takes)
        if problem:
            raise problem
        return answer

    async def close(self) -> None:
        self.closed = True

    def _active(self, session: str) -> Response:
        members: dict[str, object] = {"active": True, "sub": f"the bearer of {session}"}
        if self.expires is not None:
            members["exp"] = self.expires
        return Response(200, {}, json.dumps(members).encode())


@dataclass
class Observer:
    lookups: list[tuple[str, str, float]] = field(default_factory=list)
    remembered: list[bool] = field(default_factory=list)

    def introspected(self, credential: str, result: str, duration: float) -> None:
        self.lookups.append((credential, result, duration))

    def remembered_session(self, credential: str, *, hit: bool) -> None:
        assert credential == SETTINGS.name
        self.remembered.append(hit)


@dataclass
class Date:
    """The simulated date, which an administrator may set back."""

    set_back: float = 0.0

    def __call__(self) -> float:
        return clock() - self.set_back


@dataclass
class Scene:
    sso: Sso
    observer: Observer
    introspector: Introspector
    date: Date

    async def look_up(self, session: str = SESSION) -> Verdict:
        return await answered(self.begin(session))

    def begin(self, session: str = SESSION) -> Verdict | Pending[Verdict]:
        digest = sha256(session.encode()).digest()
        return self.introspector.look_up(session, digest, self.date())

    async def trip(self) -> None:
        """Fail as often as it takes for the issuer to be taken for absent."""
        self.sso.problem = AWAY
        for number in range(TRIPPED_BY):
            assert reason(await self.look_up(f"failing-{number}")) is UNAVAILABLE


UNAVAILABLE = Reason.INTROSPECTION_UNAVAILABLE


async def answered(found: Verdict | Pending[Verdict]) -> Verdict:
    """The verdict, once its issuer has answered."""
    if not isinstance(found, Pending):
        return found
    assert not isinstance(found.question, KeyQuestion)
    verdict = found.resume(await found.question(), clock())
    assert not isinstance(verdict, Pending)
    return verdict


def play(
    story: Callable[[Scene], Awaitable[None]], settings: IntrospectionSettings = SETTINGS
) -> None:
    async def stage() -> None:
        sso, observer, date = Sso(), Observer(), Date()
        introspector = Introspector(settings, observer, clock=date, issuer=sso)
        await story(Scene(sso, observer, introspector, date))
        await introspector.close()

    run(stage())


def reason(verdict: Verdict) -> Reason | None:
    return verdict.reason if isinstance(verdict, Refusal) else None


def subject(verdict: Verdict) -> str:
    assert isinstance(verdict, VerifiedToken), verdict
    return verdict.subject


def test_an_answer_is_believed_for_as_long_as_configured() -> None:
    async def story(scene: Scene) -> None:
        assert subject(await scene.look_up()) == "the bearer of alices-session"
        await asyncio.sleep(9.9)
        assert subject(await scene.look_up()) == "the bearer of alices-session"
        assert len(scene.sso.asked) == 1
        scene.sso.answer = INACTIVE
        await asyncio.sleep(0.1)
        assert reason(await scene.look_up()) is Reason.INACTIVE_SESSION
        assert scene.observer.remembered == [False, True, False]

    play(story)


def test_an_answer_counts_from_when_it_was_asked_for() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.takes = 1.5
        await scene.look_up()
        await asyncio.sleep(8.4)
        await scene.look_up()
        assert len(scene.sso.asked) == 1
        await asyncio.sleep(0.2)
        await scene.look_up()
        assert len(scene.sso.asked) == 2

    play(story)


def test_an_answer_is_not_believed_beyond_the_end_of_the_session() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.expires = clock() + 3
        await scene.look_up()
        await asyncio.sleep(2.9)
        await scene.look_up()
        assert len(scene.sso.asked) == 1
        await asyncio.sleep(0.1)
        scene.sso.answer = INACTIVE
        assert reason(await scene.look_up()) is Reason.INACTIVE_SESSION

    play(story)


def test_an_issuer_whose_clock_is_behind_is_asked_each_time_and_believed_for_the_leeway() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.expires = clock()
        for asked in (1, 2):
            assert subject(await scene.look_up()) == "the bearer of alices-session"
            assert len(scene.sso.asked) == asked
        await asyncio.sleep(SETTINGS.leeway)
        assert reason(await scene.look_up()) is Reason.EXPIRED

    play(story)


def test_a_refused_session_is_remembered_for_less_long() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.answer = INACTIVE
        for _ in range(5):
            assert reason(await scene.look_up()) is Reason.INACTIVE_SESSION
        assert len(scene.sso.asked) == 1
        scene.sso.answer = None
        await asyncio.sleep(SETTINGS.negative_cache)
        assert subject(await scene.look_up()) == "the bearer of alices-session"

    play(story)


def test_without_a_cache_every_request_asks() -> None:
    async def story(scene: Scene) -> None:
        for _ in range(3):
            await scene.look_up()
        assert len(scene.sso.asked) == 3

    play(story, replace(SETTINGS, cache=0.0))


def test_a_clock_that_is_set_back_prolongs_nothing() -> None:
    async def story(scene: Scene) -> None:
        await scene.look_up()
        scene.date.set_back = 3600.0
        await scene.look_up()
        assert len(scene.sso.asked) == 2

    play(story)


def test_one_look_up_serves_all_who_wait() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.takes = 1.0
        verdicts = await asyncio.gather(*(scene.look_up() for _ in range(50)))
        assert {subject(verdict) for verdict in verdicts} == {"the bearer of alices-session"}
        assert scene.sso.asked == [SESSION]
        assert scene.observer.lookups == [("sso", "active", 1.0)]

    play(story)


def test_whoever_gives_up_takes_the_answer_from_nobody_else() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.takes = 1.0
        patient = asyncio.create_task(scene.look_up())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scene.look_up(), 0.5)
        assert subject(await patient) == "the bearer of alices-session"
        assert scene.sso.asked == [SESSION]

    play(story)


def test_an_answer_that_nobody_waited_for_serves_the_next_request() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.takes = 1.0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scene.look_up(), 0.5)
        await asyncio.sleep(0.6)
        assert isinstance(scene.begin(), VerifiedToken)

    play(story)


def test_a_question_that_is_never_asked_reaches_nobody() -> None:
    async def story(scene: Scene) -> None:
        scene.begin()
        await asyncio.sleep(1)
        assert scene.sso.asked == []

    play(story)


def test_without_an_answer_in_time_the_issuer_is_unavailable() -> None:
    async def story(scene: Scene) -> None:
        question = scene.begin()
        assert isinstance(question, Pending)
        late = question.resume(LATE, scene.date())
        assert isinstance(late, Refusal)
        assert late.reason is UNAVAILABLE
        assert late.detail == "there was no answer in the time Envoy gives a check"

    play(story)


def test_what_was_answered_before_the_question_was_asked_is_not_asked_again() -> None:
    async def story(scene: Scene) -> None:
        later = scene.begin()
        await scene.look_up()
        assert isinstance(later, Pending)
        await answered(later)
        assert scene.sso.asked == [SESSION]

    play(story)


def test_a_check_that_began_while_the_answer_was_on_its_way_finds_it() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.takes = 1.0
        began = scene.date() + 0.5
        await scene.look_up()
        digest = sha256(SESSION.encode()).digest()
        assert isinstance(scene.introspector.look_up(SESSION, digest, began), VerifiedToken)

    play(story)


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


@pytest.mark.parametrize(
    "text",
    [
        *("", "two words", "line\nbreak", "trailing\n", "nul\0", "\x7f", "caf\xe9"),
        *('quo"ted', "com,ma", "semi;colon", "back\\slash"),
    ],
)
def test_what_cannot_be_a_session_is_not_sent(text: str) -> None:
    async def story(scene: Scene) -> None:
        verdict = scene.begin(text)
        expected = "empty, or with characters that no session has"
        assert verdict == Refusal(Reason.INACTIVE_SESSION, expected)
        assert scene.sso.asked == []

    play(story)


@pytest.mark.parametrize("text", ["a" * 64, "AZaz09-._~+/==", "s%3A%21!#$&'()*:<=>?@[]^`{|}"])
def test_what_a_cookie_may_hold_is_sent(text: str) -> None:
    async def story(scene: Scene) -> None:
        await scene.look_up(text)
        assert scene.sso.asked == [text]

    play(story, replace(SETTINGS, token_bytes=64))


def test_what_is_too_large_is_not_sent() -> None:
    async def story(scene: Scene) -> None:
        assert scene.begin("a" * 65) == Refusal(Reason.TOKEN_TOO_LARGE, "more than 64 bytes")
        assert scene.sso.asked == []

    play(story, replace(SETTINGS, token_bytes=64))


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


def test_closing_waits_for_the_look_ups_under_way_and_begins_none() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.takes = 1.0
        waiting = asyncio.create_task(scene.look_up())
        await asyncio.sleep(0.5)
        closing = asyncio.create_task(scene.introspector.close())
        await asyncio.sleep(0)
        refused = await scene.look_up("another")
        assert refused == Refusal(
            UNAVAILABLE, "no look-up is made: this configuration is no longer used"
        )
        assert not scene.sso.closed
        assert subject(await waiting) == "the bearer of alices-session"
        await closing
        assert scene.sso.closed

    play(story)


def test_a_bug_reaches_those_who_wait_and_blocks_nobody_after_them() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.problem = RuntimeError("a bug")
        results = await asyncio.gather(scene.look_up(), scene.look_up(), return_exceptions=True)
        assert [str(result) for result in results] == ["a bug", "a bug"]
        scene.sso.problem = None
        assert subject(await scene.look_up()) == "the bearer of alices-session"

    play(story)


def test_no_session_shows_where_what_holds_it_is_shown() -> None:
    async def story(scene: Scene) -> None:
        scene.sso.problem = AWAY
        shown = [repr(scene.begin()), repr(await scene.look_up()), repr(scene.introspector)]
        assert SESSION not in "".join(shown)

    play(story)


def test_another_thread_reads_while_answers_arrive() -> None:
    """The check thread never sees another session's answer, and no error."""
    sso, observer = Sso(), Observer()
    # So few are remembered that answers are pushed out while they are read.
    settings = replace(SETTINGS, remembered_sessions=8)
    introspector = Introspector(settings, observer, clock=lambda: 0.0, issuer=sso)
    digests = {name: sha256(name.encode()).digest() for name in map(str, range(16))}
    mixed_up: list[VerifiedToken] = []
    done = threading.Event()

    def check_thread() -> None:
        while not done.is_set():
            for name, digest in digests.items():
                found = introspector.look_up(name, digest, 0.0)
                if isinstance(found, VerifiedToken) and found.subject != f"the bearer of {name}":
                    mixed_up.append(found)

    async def event_loop() -> None:
        thread = threading.Thread(target=check_thread)
        thread.start()
        try:
            for _ in range(100):
                for name, digest in digests.items():
                    await answered(introspector.look_up(name, digest, 0.0))
        finally:
            done.set()
            await asyncio.to_thread(thread.join)

    asyncio.run(event_loop())
    assert mixed_up == []
    assert True in observer.remembered
