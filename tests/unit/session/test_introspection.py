"""Looking sessions up, in simulated time: what is asked, what is remembered, what is refused."""

import asyncio
import threading
from dataclasses import replace
from hashlib import sha256

import pytest

from sidecar.check.refusal import Refusal
from sidecar.model import LATE, Pending, Reason, VerifiedToken
from sidecar.session.introspection import Introspector
from tests.support.introspecting import (
    AWAY,
    INACTIVE,
    SESSION,
    SETTINGS,
    UNAVAILABLE,
    Observer,
    Scene,
    Sso,
    answered,
    play,
    reason,
    subject,
)
from tests.support.simulated_time import clock


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
