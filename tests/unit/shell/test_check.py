"""The shell around the check: one answer by value, whatever happens."""

from pathlib import Path

import pytest

from sidecar.check.identity import IdentityHeaders
from sidecar.check.pipeline import Pipeline
from sidecar.model import Reason
from tests.support.check_calls import Call, Scene, play, publish, request
from tests.support.tokens import SigningKey, key_for, new_key


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
