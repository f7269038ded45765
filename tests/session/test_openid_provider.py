"""Sessions of a real OpenID provider: of people who log in, log out, or are forgotten."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from sidecar.check.refusal import Refusal
from sidecar.model import KeyQuestion, Pending, Reason, TokenKind, VerifiedToken
from sidecar.session.answers import Verdict
from sidecar.session.introspection import Introspector
from sidecar.session.settings import IntrospectionSettings, SecretAuthentication
from tests.session.conftest import introspection, reached
from tests.support.observers import NullObserver
from tests.support.openid_provider import (
    BASIC,
    CERTIFICATE,
    KEY,
    POST,
    PUBLIC,
    RESOURCE,
    OpenIdProvider,
)
from tests.support.processes import until
from tests.support.tokens import claims, key_for, sign

NEVER_ISSUED = "a-session-that-nobody-was-given"
BRIEF_TIMEOUT = 0.5


class Scene:
    """A gateway whose clock may run ahead of the provider's."""

    def __init__(self, settings: IntrospectionSettings) -> None:
        self.ahead = 0.0
        self.introspector = Introspector(settings, NullObserver(), clock=self.now)

    def now(self) -> float:
        return time.time() + self.ahead

    async def look_up(self, session: str) -> Verdict:
        digest = sha256(session.encode()).digest()
        found = self.introspector.look_up(session, digest, self.now())
        if not isinstance(found, Pending):
            return found
        assert not isinstance(found.question, KeyQuestion)
        verdict = found.resume(await found.question(), self.now())
        assert not isinstance(verdict, Pending)
        return verdict

    async def subject(self, session: str) -> str:
        verdict = await self.look_up(session)
        return verdict.subject if isinstance(verdict, VerifiedToken) else verdict.reason.label


def play(settings: IntrospectionSettings, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def stage() -> None:
        scene = Scene(settings)
        try:
            await story(scene)
        finally:
            await scene.introspector.close()

    asyncio.run(stage())


@pytest.mark.parametrize("client", [BASIC, POST, KEY, CERTIFICATE, PUBLIC])
def test_a_session_is_looked_up_by_every_client_authentication(
    openid_provider: OpenIdProvider, tmp_path: Path, client: str
) -> None:
    session = openid_provider.login("alice")

    async def story(scene: Scene) -> None:
        assert await scene.subject(session) == "alice"
        assert await scene.subject(NEVER_ISSUED) == "inactive_session"

    play(introspection(openid_provider, tmp_path, client), story)


def test_a_jwt_is_no_session_and_no_outage_either(settings: IntrospectionSettings) -> None:
    jwt = sign(claims(issuer="a", audience="b", subject="c"), key_for("ES256"))

    async def story(scene: Scene) -> None:
        assert await scene.subject(jwt) == "inactive_session"

    play(settings, story)


def test_a_session_tells_who_logged_in_how_and_what_they_may_do(
    openid_provider: OpenIdProvider, settings: IntrospectionSettings
) -> None:
    before = int(time.time())
    session = openid_provider.login("alice", scopes=("orders:read",))

    async def story(scene: Scene) -> None:
        token = await scene.look_up(session)
        assert isinstance(token, VerifiedToken), token
        assert token == VerifiedToken(
            trust="sso",
            kind=TokenKind.EXTERNAL,
            issuer=openid_provider.issuer,
            subject="alice",
            claims=token.claims,
            scopes=frozenset({"orders:read"}),
            roles=frozenset({"customer"}),
            groups=frozenset({"staff", "berlin"}),
            fingerprint=sha256(session.encode()).hexdigest()[:16],
        )
        assert token.claims["acr"] == "urn:shop:strong"
        assert token.claims["amr"] == ["pwd", "otp"]
        assert token.claims["auth_time"] in range(before, int(time.time()) + 1)

    play(settings, story)


def test_a_session_for_somebody_else_is_refused(
    openid_provider: OpenIdProvider, settings: IntrospectionSettings
) -> None:
    session = openid_provider.login("alice")

    async def story(scene: Scene) -> None:
        refused = await scene.look_up(session)
        expected = "sso accepts: https://bank.example"
        held = (("aud", RESOURCE), ("issuer", "sso"), ("sub", "alice"))
        assert refused == Refusal(Reason.WRONG_AUDIENCE, expected, held=held)

    assert RESOURCE in settings.audiences
    play(replace(settings, audiences=frozenset({"https://bank.example"})), story)


def test_all_who_wait_for_one_session_cost_the_provider_one_question(
    openid_provider: OpenIdProvider, settings: IntrospectionSettings
) -> None:
    session = openid_provider.login("bob")
    before = openid_provider.introspections

    async def story(scene: Scene) -> None:
        subjects = await asyncio.gather(*(scene.subject(session) for _ in range(50)))
        assert set(subjects) == {"bob"}
        assert openid_provider.introspections == before + 1

    play(settings, story)


def test_a_session_that_was_ended_is_refused_once_the_cache_is_over(
    openid_provider: OpenIdProvider, settings: IntrospectionSettings
) -> None:
    session = openid_provider.login("alice")

    async def story(scene: Scene) -> None:
        assert await scene.subject(session) == "alice"
        openid_provider.end(session)
        assert await scene.subject(session) == "alice"
        scene.ahead = settings.cache
        assert await scene.subject(session) == "inactive_session"

    play(settings, story)


def test_a_session_that_expires_while_it_is_remembered_is_refused_at_once(
    openid_provider: OpenIdProvider, settings: IntrospectionSettings
) -> None:
    session = openid_provider.login("alice", brief=True)
    before = openid_provider.introspections

    async def story(scene: Scene) -> None:
        async def refused() -> bool:
            return await scene.subject(session) == "inactive_session"

        token = await scene.look_up(session)
        assert isinstance(token, VerifiedToken), token
        await until(refused)
        expires = token.claims["exp"]
        assert isinstance(expires, int)
        assert expires <= time.time()
        # Once in the beginning, and once when it could no longer be believed.
        assert openid_provider.introspections == before + 2

    play(settings, story)


def test_a_wrong_client_secret_is_nobodys_session_and_counts_once_it_is_right(
    openid_provider: OpenIdProvider, settings: IntrospectionSettings
) -> None:
    session = openid_provider.login("alice")
    assert isinstance(settings.authentication, SecretAuthentication)
    file = settings.authentication.secret_file
    file.write_text("wrong")

    async def story(scene: Scene) -> None:
        refused = await scene.look_up(session)
        assert refused == Refusal(
            Reason.INTROSPECTION_UNAVAILABLE,
            f"{settings.url} does not accept us as the client {BASIC}: "
            "it knows another secret or key",
        )
        file.write_text(openid_provider.secret)
        scene.ahead = 1.0
        assert await scene.subject(session) == "alice"

    play(settings, story)


@pytest.mark.parametrize("certificate", ["stranger", None])
def test_a_client_with_another_certificate_or_none_is_not_accepted(
    openid_provider: OpenIdProvider, tmp_path: Path, certificate: str | None
) -> None:
    settings = introspection(openid_provider, tmp_path, CERTIFICATE)
    session = openid_provider.login("alice")

    async def story(scene: Scene) -> None:
        assert await scene.look_up(session) == Refusal(
            Reason.INTROSPECTION_UNAVAILABLE,
            f"{settings.url} does not accept us as the client {CERTIFICATE}: it knows another "
            "certificate, or is not shown ours",
        )

    play(replace(settings, http=reached(openid_provider, certificate)), story)


def test_a_provider_that_hangs_costs_no_more_than_the_timeout(
    openid_provider_to_stop: OpenIdProvider, tmp_path: Path
) -> None:
    provider = openid_provider_to_stop
    known, unknown = provider.login("alice"), provider.login("bob")

    async def story(scene: Scene) -> None:
        async def back() -> bool:
            return await scene.subject(unknown) == "bob"

        assert await scene.subject(known) == "alice"
        provider.pause()
        began = time.monotonic()
        refused = await scene.look_up(unknown)
        assert time.monotonic() - began < 10 * BRIEF_TIMEOUT
        expected = f"{provider.introspection_url} gave no answer within 0.5 s"
        assert refused == Refusal(Reason.INTROSPECTION_UNAVAILABLE, expected)
        assert await scene.subject(known) == "alice"
        provider.resume()
        await until(back)

    play(replace(introspection(provider, tmp_path), timeout=BRIEF_TIMEOUT), story)


def test_a_provider_that_is_gone_lets_nobody_in_and_is_asked_again_when_it_is_back(
    openid_provider_to_stop: OpenIdProvider, tmp_path: Path
) -> None:
    provider = openid_provider_to_stop
    session = provider.login("alice")

    async def story(scene: Scene) -> None:
        provider.stop()
        refused = await scene.look_up(session)
        assert refused == Refusal(
            Reason.INTROSPECTION_UNAVAILABLE,
            f"{provider.introspection_url} cannot be reached: Connection refused",
        )
        provider.start()
        another = provider.login("bob")
        assert await scene.subject(another) == "bob"
        # It has forgotten the sessions of its earlier life.
        scene.ahead = 1.0
        assert await scene.subject(session) == "inactive_session"

    play(introspection(provider, tmp_path), story)
