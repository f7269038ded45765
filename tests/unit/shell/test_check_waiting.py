"""Checks that wait on the event loop for the answer to a question."""

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.check.pipeline import Pipeline
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import Allow, Decision, Deny, HeaderChanges, Pending, Reason, RequestView, ask
from sidecar.shell.check import CheckContext, Checks
from sidecar.snapshots.keys import KeySnapshot
from sidecar.wire.grpc.authorization import Authorization
from tests.support import simulated_time
from tests.support.check_calls import Call, Scene, Watcher, play, publish, request
from tests.support.settings import check_settings
from tests.support.tokens import key_for, new_key

ALLOW = Allow(Reason.AUTHORIZED, "all", HeaderChanges())


Question = Callable[[], Awaitable[Decision]]


class Asking:
    """A role that has a question about every request."""

    def __init__(self, pending: Pending[Decision]) -> None:
        self._pending = pending

    def check(self, request: RequestView, keys: KeySnapshot, now: float) -> Pending[Decision]:
        del request, keys, now
        return self._pending

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        del request
        return denial


class Waiting:
    """The answer to a check that waits in simulated time, and after how long it came."""

    def __init__(self, pending: Pending[Decision], deadline: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.watcher = Watcher()
        context = CheckContext(
            Asking(pending), VerificationKeys([], self.watcher), challenge=(), key_wait=5.0
        )
        self.checks = Checks(context, self.watcher, self.loop, clock=self.loop.time)
        self._began = self.loop.time()
        self.call = Call(request(), deadline=self._began + deadline)
        # As in the server, where checks have a thread of their own.
        checks = threading.Thread(target=Authorization(self.checks).check, args=(self.call,))
        checks.start()
        checks.join()

    async def answer(self) -> tuple[str, float]:
        await self.call.answered.wait()
        assert [decision.reason.label for decision in self.watcher.decisions] == [self.call.reason]
        return self.call.reason, round(self.loop.time() - self._began, 3)


def unless_late(question: Question) -> Pending[Decision]:
    return ask(question, late=Deny(Reason.INTROSPECTION_UNAVAILABLE))


def answer_to(question: Question, *, deadline: float = math.inf) -> tuple[str, float]:
    """The reason of the answer, and the seconds that it took."""
    return answered(unless_late(question), deadline=deadline)


def answered(pending: Pending[Decision], *, deadline: float = math.inf) -> tuple[str, float]:
    """The reason of the answer, and the seconds that it took."""

    async def story() -> tuple[str, float]:
        return await Waiting(pending, deadline).answer()

    return simulated_time.run(story())


async def allow_after(seconds: float) -> Decision:
    await asyncio.sleep(seconds)
    return ALLOW


def test_a_check_that_waits_is_answered_when_its_question_is() -> None:
    assert answer_to(lambda: allow_after(2.0), deadline=3.0) == ("authorized", 2.0)


def test_an_answer_may_lead_to_the_next_question() -> None:
    def then(first: Decision, _now: float) -> Decision | Pending[Decision]:
        if isinstance(first, Deny):
            return first
        return ask(lambda: allow_after(1.0), late=Deny(Reason.SIGNING_UNAVAILABLE))

    both: Pending[Decision] = unless_late(lambda: allow_after(1.0)).then(then)
    assert answered(both, deadline=3.0) == ("authorized", 2.0)
    # What is said to have been late is what was being waited for.
    assert answered(both, deadline=1.5) == ("signing_unavailable", 1.48)
    assert answered(both, deadline=0.5) == ("introspection_unavailable", 0.48)


def test_all_its_questions_together_are_given_half_a_minute() -> None:
    def then(_first: Decision, _now: float) -> Pending[Decision]:
        return ask(lambda: allow_after(20.0), late=Deny(Reason.SIGNING_UNAVAILABLE))

    both: Pending[Decision] = unless_late(lambda: allow_after(20.0)).then(then)
    assert answered(both) == ("signing_unavailable", 30.0)


def test_a_check_that_waits_is_given_up_just_before_its_caller_does() -> None:
    late = ("introspection_unavailable", 2.98)
    assert answer_to(lambda: allow_after(5.0), deadline=3.0) == late


def test_without_a_deadline_it_is_given_up_after_half_a_minute() -> None:
    assert answer_to(lambda: allow_after(3600.0)) == ("introspection_unavailable", 30.0)


def test_it_goes_on_with_the_time_of_its_answer() -> None:
    seen = []

    async def story() -> None:
        def go_on(decision: Decision, now: float) -> Decision:
            seen.append(now - began)
            return decision

        began = asyncio.get_running_loop().time()
        await Waiting(unless_late(lambda: allow_after(7.0)).then(go_on), math.inf).answer()

    simulated_time.run(story())
    assert seen == [pytest.approx(7.0)]


def test_it_is_known_when_those_that_have_begun_have_ended() -> None:
    async def story() -> tuple[str, float]:
        waiting = Waiting(unless_late(lambda: allow_after(2.0)), 3.0)
        await waiting.checks.ended()
        assert waiting.call.replies
        return await waiting.answer()

    assert simulated_time.run(story()) == ("authorized", 2.0)


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), TimeoutError("a bug")])
def test_a_bug_while_it_is_finished_is_a_denial_with_its_trace_in_the_log(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> Decision:
        await asyncio.sleep(1.0)
        raise fault

    assert answer_to(broken, deadline=3.0) == ("internal_error", 1.0)
    assert "a bug" in caplog.text


@pytest.mark.parametrize("shared", [True, False])
def test_one_that_is_cancelled_is_answered_all_the_same(shared: bool) -> None:
    """Because what it waits for was given up, or because the process ends."""

    async def story() -> tuple[str, float]:
        question = asyncio.get_running_loop().create_future()

        async def asked() -> Decision:
            await question
            return ALLOW

        before = asyncio.all_tasks()
        waiting = Waiting(unless_late(asked), math.inf)
        await asyncio.sleep(1.0)
        (task,) = asyncio.all_tasks() - before
        if shared:
            question.cancel()
        else:
            task.cancel()
        return await waiting.answer()

    assert simulated_time.run(story()) == ("introspection_unavailable", 1.0)


def closed_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.close()
    return loop


def test_a_check_that_waited_for_its_key_may_have_to_ask_elsewhere_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(scene: Scene) -> None:
        pipeline = scene.checks.context.pipeline
        verify = pipeline.check

        def ask_when_verified(
            request: RequestView, keys: KeySnapshot, now: float
        ) -> Decision | Pending[Decision]:
            verdict = verify(request, keys, now)
            assert isinstance(verdict, Pending)
            return verdict.then(
                lambda _decision, _now: ask(
                    lambda: allow_after(0.0), late=Deny(Reason.SIGNING_UNAVAILABLE)
                )
            )

        monkeypatch.setattr(pipeline, "check", ask_when_verified)
        publish(scene.keys, key_for("ES256"), new := new_key("ES256", "new"))
        call = await scene.check(Call(request(new)))
        assert call.reason == Reason.AUTHORIZED.label

    play(tmp_path, story)


def test_a_check_that_asks_again_after_its_time_was_over_is_denied_as_a_bug() -> None:
    """It would never be answered."""
    asking: Pending[Decision] = Pending(lambda: allow_after(5.0), lambda _answer, _now: asking)
    assert answered(asking, deadline=1.5) == ("internal_error", 1.48)


@pytest.mark.parametrize("loop", [None, closed_loop()], ids=["none", "ended"])
def test_without_a_loop_to_wait_on_a_check_that_has_to_is_denied(
    loop: asyncio.AbstractEventLoop | None,
) -> None:
    watcher, asking = Watcher(), Asking(unless_late(lambda: allow_after(0.0)))
    context = CheckContext(asking, VerificationKeys([], watcher), challenge=(), key_wait=5.0)
    call = Call(request())
    Authorization(Checks(context, watcher, loop)).check(call)
    assert call.reason == Reason.INTERNAL_ERROR.label


def test_a_check_that_waits_sees_the_configuration_it_began_with(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        nothing = Pipeline(check_settings(trust=(), routes=()), scene.watcher)
        no_keys = VerificationKeys([], scene.watcher)
        publish(scene.keys, key_for("ES256"), new := new_key("ES256", "new"))
        before, after = Call(request(new)), Call(request(new))
        scene.authorization.check(before)
        assert not before.replies
        scene.checks.context = CheckContext(nothing, no_keys, challenge=(), key_wait=5.0)
        await before.answered.wait()
        assert before.reason == Reason.AUTHORIZED.label
        assert (await scene.check(after)).reason == Reason.NO_ROUTE.label

    play(tmp_path, story)


@pytest.mark.parametrize(("shadow", "decision"), [(False, "deny"), (True, "would_deny")])
def test_an_answer_after_the_deadline_is_not_looked_at(
    tmp_path: Path, shadow: bool, decision: str
) -> None:
    class Slow:
        """A clock by which the deadline passes while the key is waited for."""

        now = 1000.0

        def __call__(self) -> float:
            return self.now

    clock = Slow()

    async def story(scene: Scene) -> None:
        publish(scene.keys, key_for("ES256"), new := new_key("ES256", "new"))
        call = Call(request(new), deadline=1001.0)
        scene.authorization.check(call)
        assert not call.replies
        clock.now = 1001.0
        await call.answered.wait()
        assert call.reason == Reason.OVERLOADED.label
        assert call.replies[0].dynamic_metadata.fields["decision"].string_value == decision

    play(tmp_path, story, clock=clock, shadow=shadow)
