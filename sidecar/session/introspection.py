"""Looks up opaque sessions of an SSO at their issuer (RFC 7662).

Two threads use this module. ``look_up`` is called on the check thread and uses only the cached
answers, which have a lock. Look-ups run on the event loop, to which everything else belongs: the
look-ups in progress, the connections, the circuit breaker.
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

# Seconds for which a failed look-up is not repeated for the same session, which may be its cause.
FAILURE_REMEMBERED: Final = 0.5

# One in so many look-ups, and places to wait for them, is reserved for sessions that were active at
# their last look-up, so that a flood of made-up sessions does not block users who are logged in.
_RESERVED: Final = 4

# The characters of a cookie value (RFC 6265 §4.1.1), which include those of a bearer token
# (RFC 6750 §2.1).
_SESSION: Final = re.compile(r"[!\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")


_LATE: Final = Refusal(
    Reason.INTROSPECTION_UNAVAILABLE, "there was no answer in the time Envoy gives a check"
)


class IntrospectionObserver(Protocol):
    """Told about look-ups, on the event loop, and about uses of the cache, on the check thread."""

    def introspected(self, credential: str, result: str, duration: float) -> None:
        """A look-up ended after ``duration`` seconds: active, inactive or unavailable."""
        ...

    def remembered_session(self, credential: str, *, hit: bool) -> None:
        """A session was looked up in the cache of answers."""
        ...


class Issuer(Protocol):
    """Answers introspection requests (``IntrospectionClient``)."""

    async def ask(self, session: str) -> Response:
        """The answer about a session. Raises SourceFault if there is none in time."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class Introspector:
    """Looks up the sessions of one credential. Concurrent look-ups are shared, answers are cached.

    ``clock`` gives Unix seconds. It may be created on any thread.
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
        # Cached for a short time, which limits how late the end of a session is noticed (RFC 7662
        # §4).
        self._answers: TtlCache[bytes, Verdict] = TtlCache(settings.remembered_sessions)
        # The sessions that were active at their last look-up. A made-up session is never added.
        self._active: LruCache[bytes, bool] = LruCache(settings.remembered_sessions)
        self._breaker = CircuitBreaker()
        self._failures = FailureLog(settings.name)
        self._under_way: dict[bytes, asyncio.Task[Verdict]] = {}
        self._waiting: Counter[bytes] = Counter()  # by session
        self._closed = False

    def look_up(self, text: str, digest: bytes, now: float) -> Verdict | Pending[Verdict]:
        """A session as its issuer describes it, or why it is refused.

        Args:
            text: what the client sent; any text.
            digest: the SHA-256 of its bytes.
            now: Unix seconds.

        Returns:
            A cached answer; otherwise a question. A check that stops waiting does not cancel the
            look-up for the others.
        """
        verdict = self._answers.get(digest, now)
        self._observer.remembered_session(self._settings.name, hit=verdict is not None)
        if verdict is None:
            verdict = _unfit(text, self._settings.token_bytes)
        # Not a partial, whose repr would contain the session.
        return verdict or ask(lambda: self._answer(text, digest), late=_LATE)

    async def close(self) -> None:
        """Wait for the look-ups in progress, whose time is limited, and close connections."""
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
        """Why no further check of a session can wait now, even for a look-up in progress."""
        limit, waiting = self._settings.max_waiters, self._waiting.total()
        if waiting >= _share(limit, new=new):
            return f"{waiting} checks wait for look-ups, as many as may{_for(new=new)}"
        # At most half of the places, so that one session cannot occupy all of them.
        same = self._waiting[digest]
        if same >= limit - limit // 2:
            return f"{same} checks wait for the look-up of this session, as many as may"
        return None

    def _problem(self, *, new: bool) -> str | None:
        """Why no look-up can begin at this moment."""
        under_way = len(self._under_way)
        if self._closed:
            return "no look-up is made: this configuration is no longer used"
        if under_way >= _share(self._settings.max_lookups, new=new):
            return f"{under_way} look-ups are under way, as many as may be{_for(new=new)}"
        if not self._breaker.admits(_now(), under_way=under_way):
            return "the last look-ups got no answer; the next one begins in a moment"
        return None

    async def _look_up(self, text: str, digest: bytes) -> Verdict:
        # An answer is valid from the time of its request, because it may have been slow.
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
            until = self._cached_until(verdict, asked)
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
        # An unusable answer may be caused by this session, which the client chose. A client must
        # not be able to open the circuit breaker.
        if isinstance(fault, UnusableAnswer):
            self._breaker.succeeded()
        else:
            self._breaker.failed(now)
        return Refusal(Reason.INTROSPECTION_UNAVAILABLE, problem)

    def _cached_until(self, verdict: Verdict, asked: float) -> float:
        if isinstance(verdict, Refusal):
            return asked + self._settings.negative_cache
        # RFC 7662 §4: not beyond its ``exp``, without leeway: after that it is looked up again.
        expires = verdict.claims.get("exp")
        end = expires if isinstance(expires, int | float) else math.inf
        return min(asked + self._settings.cache, end)


def _unfit(text: str, token_bytes: int) -> Refusal | None:
    """Why a text is not sent to the issuer; None if it is."""
    if len(text) > token_bytes:
        return Refusal(Reason.TOKEN_TOO_LARGE, f"more than {token_bytes} bytes")
    if not _SESSION.fullmatch(text):
        # Not MALFORMED_TOKEN, which is about JWTs: only the issuer knows the format of a session,
        # and no issuer would issue this one.
        return Refusal(Reason.INACTIVE_SESSION, "empty, or with characters that no session has")
    return None


def _share(limit: int, *, new: bool) -> int:
    """The part of a limit that a session may use."""
    return limit - limit // _RESERVED if new else limit


def _for(*, new: bool) -> str:
    return " for new sessions" if new else ""


def _result(verdict: Verdict) -> str:
    if isinstance(verdict, VerifiedToken):
        return "active"
    unavailable = verdict.reason is Reason.INTROSPECTION_UNAVAILABLE
    return "unavailable" if unavailable else "inactive"


def _now() -> float:
    """Seconds of the event loop's monotonic clock."""
    return asyncio.get_running_loop().time()
