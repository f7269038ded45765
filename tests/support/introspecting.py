"""An introspector in simulated time, with an issuer and an observer of the test's."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from sidecar.check.refusal import Refusal
from sidecar.clients.http import Response
from sidecar.errors import SourceFault
from sidecar.model import KeyQuestion, Pending, Reason, VerifiedToken
from sidecar.session.answers import Verdict
from sidecar.session.introspection import Introspector
from sidecar.session.introspection_breaker import TRIPPED_BY
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
