"""Sessions of an SSO: opaque to us, so their issuer is asked about them (RFC 7662).

Two threads meet here. ``look_up`` is called by the thread that makes the checks and touches
nothing but the remembered answers, which have a lock. What it asks is asked on the event loop,
to which everything else belongs: the look-ups under way, the connections, the breaker.
"""

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from sidecar.caches import LruCache, TtlCache
from sidecar.check.refusal import Refusal
from sidecar.clients.http import Response
from sidecar.errors import SourceFault
from sidecar.model import Pending, Reason, VerifiedToken, ask
from sidecar.session.answers import UnusableAnswer, Verdict, read
from sidecar.session.introspection_breaker import CircuitBreaker
from sidecar.session.introspection_client import IntrospectionClient
from sidecar.session.introspection_log import FailureLog
from sidecar.session.settings import IntrospectionSettings

# Seconds. A failed look-up may be this one session's fault; whoever repeats it waits a little.
FAILURE_REMEMBERED: Final = 0.5

# One in so many look-ups, and places to wait for them, is kept for sessions that were active when
# last asked about: whoever makes sessions up keeps nobody out who is logged in.
_KEPT: Final = 4

# What a cookie may hold (RFC 6265 §4.1.1), and with it every bearer token (RFC 6750 §2.1).
_SESSION: Final = re.compile(r"[!\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")


_LATE: Final = Refusal(
    Reason.INTROSPECTION_UNAVAILABLE, "there was no answer in the time Envoy gives a check"
)


class IntrospectionObserver(Protocol):
    """Told about look-ups and what spares them; from the event loop, and from the check thread."""

    def introspected(self, credential: str, result: str, duration: float) -> None:
        """A look-up ended after ``duration`` seconds: active, inactive or unavailable."""
        ...

    def remembered_session(self, credential: str, *, hit: bool) -> None:
        """A session was looked for among the answers that are still believed."""
        ...


class Issuer(Protocol):
    """Answers questions about sessions (``IntrospectionClient``)."""

    async def ask(self, session: str) -> Response:
        """Its answer, in time. Raises SourceFault where there is none."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Introspector:
    """Looks up the sessions of one credential: once for all who ask, and not again for a while.

    ``clock`` gives Unix seconds. May be made anywhere.
    """

    def __init__(
        self,
        settings: IntrospectionSettings,
        observer: IntrospectionObserver,
        *,
        clock: Callable[[], float] = time.time,
        issuer: Issuer | None = None,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._clock = clock
        self._issuer = issuer or IntrospectionClient(settings, clock)
        # A short memory bounds how late the end of a session is noticed (RFC 7662 §4).
        self._answers: TtlCache[bytes, Verdict] = TtlCache(settings.remembered_sessions)
        # The sessions that were active when last asked about. What is made up displaces none.
        self._active: LruCache[bytes, bool] = LruCache(settings.remembered_sessions)
        self._breaker = CircuitBreaker()
        self._failures = FailureLog(settings.name)
        self._under_way: dict[bytes, asyncio.Task[Verdict]] = {}
        self._waiting: Counter[bytes] = Counter()  # by session
        self._closed = False

    def look_up(self, text: str, digest: bytes, now: float) -> Verdict | Pending[Verdict]:
        """A session as its issuer describes it, or why it is no good.

        Args:
            text: what the client sent; any text.
            digest: the SHA-256 of its bytes.
            now: Unix seconds.

        Returns:
            An answer that is still believed; otherwise a question. Whoever gives up waiting for
            the answer takes it from nobody else.
        """
        verdict = self._answers.get(digest, now)
        self._observer.remembered_session(self._settings.name, hit=verdict is not None)
        if verdict is None:
            verdict = _unfit(text, self._settings.token_bytes)
        # Not a partial, whose repr would show the session.
        return verdict or ask(lambda: self._answer(text, digest), late=_LATE)

    async def close(self) -> None:
        """Let the look-ups under way come to their end, which their time-out bounds, and close."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()))
        await self._issuer.close()

    async def _answer(self, text: str, digest: bytes) -> Verdict:
        verdict = self._answers.get(digest, self._clock())
        if verdict is not None:
            return verdict
        task = self._under_way.get(digest)
        new = not self._active.get(digest)
        problem = self._crowd(digest, new=new) or (self._problem(new=new) if task is None else None)
        if problem is not None:
            return Refusal(Reason.INTROSPECTION_UNAVAILABLE, problem)
        if task is None:
            task = asyncio.create_task(self._look_up(text, digest), name="introspection")
            self._under_way[digest] = task
        self._waiting[digest] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[digest] -= 1
            if not self._waiting[digest]:
                del self._waiting[digest]

    def _crowd(self, digest: bytes, *, new: bool) -> str | None:
        """Why no other check of a session can wait now, be it for a look-up under way."""
        limit, waiting = self._settings.max_waiters, self._waiting.total()
        if waiting >= _share(limit, new=new):
            return f"{waiting} checks wait for look-ups, as many as may{_for(new=new)}"
        # Half of the places, or whoever has one session could take those of everybody else.
        alike = self._waiting[digest]
        if alike >= limit - limit // 2:
            return f"{alike} checks wait for the look-up of this session, as many as may"
        return None

    def _problem(self, *, new: bool) -> str | None:
        """Why no look-up can begin at this moment."""
        under_way = len(self._under_way)
        if self._closed:
            return "nobody is asked any more: this configuration is no longer used"
        if under_way >= _share(self._settings.max_lookups, new=new):
            return f"{under_way} look-ups are under way, as many as may be{_for(new=new)}"
        if not self._breaker.admits(_now(), under_way=under_way):
            return "the last look-ups got no answer; the next one begins in a moment"
        return None

    async def _look_up(self, text: str, digest: bytes) -> Verdict:
        # An answer counts from before it was asked for: it may have taken its time.
        asked, began = self._clock(), _now()
        try:
            response = await self._issuer.ask(text)
            verdict = read(response, self._settings, digest[:8].hex(), self._clock())
        except SourceFault as fault:
            verdict = self._failed(fault)
            until = self._clock() + FAILURE_REMEMBERED
        else:
            self._breaker.succeeded()
            self._failures.succeeded()
            self._note(digest, active=isinstance(verdict, VerifiedToken))
            until = self._believed_until(verdict, asked)
        finally:
            del self._under_way[digest]
        if until > asked:
            self._answers.add(digest, verdict, asked, until)
        self._observer.introspected(self._settings.name, _result(verdict), _now() - began)
        return verdict

    def _note(self, digest: bytes, *, active: bool) -> None:
        if active:
            self._active.add(digest, True)
        else:
            self._active.forget(digest)

    def _failed(self, fault: SourceFault) -> Refusal:
        problem, now = str(fault), _now()
        self._failures.failed(problem, now)
        # An answer that is of no use may be about this one session, which its bearer chose. What
        # anybody can bring about must not keep everybody else out.
        if isinstance(fault, UnusableAnswer):
            self._breaker.succeeded()
        else:
            self._breaker.failed(now)
        return Refusal(Reason.INTROSPECTION_UNAVAILABLE, problem)

    def _believed_until(self, verdict: Verdict, asked: float) -> float:
        if isinstance(verdict, Refusal):
            return asked + self._settings.negative_cache
        # RFC 7662 §4: not beyond its end, the leeway not included: from then on it is asked again.
        expires = verdict.claims.get("exp")
        end = expires if isinstance(expires, int | float) else math.inf
        return min(asked + self._settings.cache, end)


def _unfit(text: str, token_bytes: int) -> Refusal | None:
    """Why a text is not sent anywhere."""
    if len(text) > token_bytes:
        return Refusal(Reason.TOKEN_TOO_LARGE, f"more than {token_bytes} bytes")
    if not _SESSION.fullmatch(text):
        # Not a malformed token, of which the reason speaks: of what form a session is, its issuer
        # alone knows, and none would have given out this one.
        return Refusal(Reason.INACTIVE_SESSION, "empty, or with characters that no session has")
    return None


def _share(limit: int, *, new: bool) -> int:
    """What a session may use of a limit."""
    return limit - limit // _KEPT if new else limit


def _for(*, new: bool) -> str:
    return " for new sessions" if new else ""


def _result(verdict: Verdict) -> str:
    if isinstance(verdict, VerifiedToken):
        return "active"
    unavailable = verdict.reason is Reason.INTROSPECTION_UNAVAILABLE
    return "unavailable" if unavailable else "inactive"


def _now() -> float:
    """Seconds, by a clock that nobody sets back."""
    return asyncio.get_running_loop().time()
