"""The shell around the check: one answer by value, whatever happens."""

import asyncio
import json
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sidecar.check.identity import IdentityHeaders
from sidecar.check.pipeline import Pipeline
from sidecar.check.routes import Match, Route
from sidecar.check.templates import PathTemplate
from sidecar.keys.settings import FileKeys
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import (
    Allow,
    Decision,
    Deny,
    HeaderChanges,
    Pending,
    Reason,
    RequestView,
    TokenKind,
    ask,
)
from sidecar.shell.check import CheckContext, Checks
from sidecar.snapshots.keys import KeySnapshot
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
)
from sidecar.wire.grpc.authorization import Authorization
from tests.support import simulated_time
from tests.support.settings import check_settings, key_settings, trust_entry
from tests.support.tokens import SigningKey, claims, jwks, key_for, new_key, sign

LONG_AGO = 1_000_000_000


@dataclass
class Call:
    """A call as the server hands it over."""

    body: bytes
    deadline: float = math.inf
    replies: list[CheckResponse] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def reply(self, body: bytes) -> None:
        self.replies.append(CheckResponse.FromString(body))
        self.answered.set()

    @property
    def reason(self) -> str:
        (reply,) = self.replies
        return reply.dynamic_metadata.fields["reason"].string_value


@dataclass
class Watcher:
    """Both observers."""

    decisions: list[Decision] = field(default_factory=list)

    def decided(
        self, request: RequestView, request_id: str, decision: Decision, duration: float
    ) -> None:
        del request, request_id
        assert duration >= 0
        self.decisions.append(decision)

    def verified(self, trust: str, result: str) -> None:
        pass

    def remembered(self, *, hit: bool) -> None:
        pass

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        pass

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        pass

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        pass

    def looked_up(self, trust: str, result: str) -> None:
        pass


@dataclass
class Scene:
    checks: Checks
    authorization: Authorization
    keys: Path
    watcher: Watcher

    async def check(self, call: Call) -> Call:
        self.authorization.check(call)
        await asyncio.wait_for(call.answered.wait(), 10)
        return call


def publish(file: Path, *keys: SigningKey) -> None:
    file.write_text(json.dumps(jwks(*keys)))
    os.utime(file, (LONG_AGO, LONG_AGO + len(keys)))


def play(
    tmp_path: Path,
    story: Callable[[Scene], Awaitable[None]],
    *,
    shadow: bool = False,
    cooldown: float = 0.0,
    clock: Callable[[], float] | None = None,
    published: bool = True,
) -> Scene:
    settings = check_settings(
        trust=(
            trust_entry(
                name="gateway",
                kind=TokenKind.REQUEST,
                issuer="https://gateway.shop.internal",
                audiences=frozenset({"orders"}),
                algorithms=frozenset({"ES256"}),
                types=frozenset({"at+jwt"}),
                leeway=0.0,
                required_claims=(),
            ),
        ),
        routes=(Route("all", Match(PathTemplate.parse("/**"))),),
        shadow=shadow,
    )
    file = tmp_path / "keys.json"
    if published:
        publish(file, key_for("ES256"))

    async def stage() -> Scene:
        watcher = Watcher()
        keys = VerificationKeys(
            [key_settings("gateway", FileKeys(file), refresh=3600, cooldown=cooldown)], watcher
        )
        keys.start()
        await keys.first_keys(5.0 if published else 0.0)
        context = CheckContext(Pipeline(settings, watcher), keys, challenge=(), key_wait=5.0)
        loop = asyncio.get_running_loop()
        checks = Checks(context, watcher, loop, clock=clock or time.time)
        scene = Scene(checks, Authorization(checks), file, watcher)
        try:
            await story(scene)
        finally:
            await keys.stop()
        return scene

    return asyncio.run(stage())


def request(key: SigningKey | None = None, **header: str | None) -> bytes:
    """A check of a request with a valid token, signed with ``key``."""
    token = sign(
        claims(issuer="https://gateway.shop.internal", audience="orders", subject="alice"),
        key or key_for("ES256"),
        **header,
    )
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = "GET", "/orders/1", "orders.shop.internal"
    line = http.header_map.headers.add()
    line.key, line.raw_value = "authorization", f"Bearer {token}".encode()
    return message.SerializeToString()


def test_a_valid_request_is_answered_at_once(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        call = Call(request())
        scene.authorization.check(call)
        assert call.reason == Reason.AUTHORIZED.label
        assert call.replies[0].status.code == 0

    play(tmp_path, story)


@pytest.mark.parametrize("shadow", [False, True], ids=["enforced", "shadow"])
def test_a_request_above_the_limits_is_refused_in_any_mode(tmp_path: Path, shadow: bool) -> None:
    body = request() + b"\0" * 131072

    async def story(scene: Scene) -> None:
        call = await scene.check(Call(body))
        assert call.reason == Reason.REQUEST_TOO_LARGE.label
        assert call.replies[0].status.code == 8  # RESOURCE_EXHAUSTED
        assert call.replies[0].denied_response.status.code == 431

    play(tmp_path, story, shadow=shadow)


def test_a_token_of_a_key_just_published_waits_for_it_and_passes(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        publish(scene.keys, key_for("ES256"), new := new_key("ES256", "new"))
        call = await scene.check(Call(request(new)))
        assert call.reason == Reason.AUTHORIZED.label

    play(tmp_path, story)


def test_a_token_of_a_key_nobody_publishes_is_refused_after_one_look(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        call = await scene.check(Call(request(new_key("ES256", "forged"))))
        assert call.reason == Reason.UNKNOWN_KEY.label
        assert call.replies[0].denied_response.status.code == 401

    play(tmp_path, story)


def test_when_the_key_cannot_be_looked_for_the_client_is_told_to_come_back(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        call = await scene.check(Call(request(new_key("ES256", "new"))))
        assert call.reason == Reason.KEYS_UNAVAILABLE.label
        assert call.replies[0].denied_response.status.code == 503

    play(tmp_path, story, cooldown=3600.0)


@pytest.mark.parametrize("kid", ["test-ES256", None])
def test_where_there_are_no_keys_a_token_has_them_fetched_and_passes(
    tmp_path: Path, kid: str | None
) -> None:
    async def story(scene: Scene) -> None:
        key = key_for("ES256")
        publish(scene.keys, key)
        call = await scene.check(Call(request(key, kid=kid)))
        assert call.reason == Reason.AUTHORIZED.label

    play(tmp_path, story, published=False)


def test_a_forged_token_is_refused_by_the_first_keys_that_come(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        publish(scene.keys, key_for("ES256"))
        call = await scene.check(Call(request(new_key("ES256", "forged"))))
        assert call.reason == Reason.UNKNOWN_KEY.label

    play(tmp_path, story, published=False)


def test_where_no_keys_come_in_time_the_client_is_told_to_come_back(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        call = await scene.check(Call(request()))
        assert call.reason == Reason.KEYS_UNAVAILABLE.label
        assert call.replies[0].denied_response.status.code == 503

    play(tmp_path, story, published=False, cooldown=3600.0)


@pytest.mark.parametrize("key", [None, new_key("ES256", "unknown")])
def test_a_check_whose_deadline_has_passed_is_dropped_before_the_token_is_read(
    tmp_path: Path, key: SigningKey | None
) -> None:
    async def story(scene: Scene) -> None:
        call = await scene.check(Call(request(key), deadline=999.0))
        assert call.reason == Reason.OVERLOADED.label

    play(tmp_path, story, clock=lambda: 1000.0)


@pytest.mark.parametrize("body", [b"", b"\xff", b"not a check"])
def test_bytes_that_are_no_check_are_denied_by_value(tmp_path: Path, body: bytes) -> None:
    async def story(scene: Scene) -> None:
        call = await scene.check(Call(body))
        assert call.replies[0].status.code != 0
        assert call.replies[0].denied_response.status.code == 500
        assert call.reason == Reason.INTERNAL_ERROR.label

    play(tmp_path, story)


def test_a_bug_in_the_check_is_a_denial_and_not_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Pipeline, "check", broken)

    async def story(scene: Scene) -> None:
        call = await scene.check(Call(request()))
        assert call.replies[0].denied_response.status.code == 500
        assert call.reason == Reason.INTERNAL_ERROR.label

    play(tmp_path, story)
    assert "a bug" in caplog.text


def test_a_bug_after_a_wait_is_a_denial_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    async def story(scene: Scene) -> None:
        publish(scene.keys, key_for("ES256"), new := new_key("ES256", "new"))
        monkeypatch.setattr(IdentityHeaders, "for_token", broken)
        call = await scene.check(Call(request(new)))
        assert call.reason == Reason.INTERNAL_ERROR.label

    play(tmp_path, story)


def test_in_shadow_mode_even_a_check_that_fails_lets_the_request_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError(f"a bug with {arguments}")

    async def story(scene: Scene) -> None:
        monkeypatch.setattr(scene.checks.context.pipeline, "check", broken)
        call = await scene.check(Call(request()))
        assert call.replies[0].status.code == 0
        assert call.replies[0].dynamic_metadata.fields["decision"].string_value == "would_deny"

    play(tmp_path, story, shadow=True)


def test_a_request_that_cannot_be_read_is_refused_in_shadow_mode_too(tmp_path: Path) -> None:
    """It may hold an identity header in any spelling."""

    async def story(scene: Scene) -> None:
        call = await scene.check(Call(b"\xff"))
        assert call.reason == Reason.INTERNAL_ERROR.label
        assert call.replies[0].denied_response.status.code == 500

    play(tmp_path, story, shadow=True)


def test_every_answer_is_reported_once(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.check(Call(request()))
        await scene.check(Call(request(new_key("ES256", "forged"))))
        await scene.check(Call(b"\xff"))

    scene = play(tmp_path, story)
    assert [decision.reason for decision in scene.watcher.decisions] == [
        Reason.AUTHORIZED,
        Reason.UNKNOWN_KEY,
        Reason.INTERNAL_ERROR,
    ]


# Checks that wait on the event loop.

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
