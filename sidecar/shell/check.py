"""One check, from its arrival to its answer, independent of the wire.

A check is in one of three states, and sees one configuration in all of them:

    arrived   It runs on the wire's thread. If the deadline has passed, it is refused as overloaded,
              before any cryptography. Otherwise the pipeline decides: it is answered with a
              decision, or it waits for the answer to the question of a ``Pending``.
    waiting   It holds no thread. The answer, or ``LATE`` if there is none in time, goes back to the
              pipeline, which returns a decision or the next question. After the deadline, the check
              is refused as overloaded. The answer about a key comes in a call: on the wire's thread
              if it is known at once, otherwise on the event loop's. For any other question the
              check becomes a task of the event loop until it is answered.
    answered  The wire has replied, once, and the observer has been told.

An exception in any state is a bug: it is logged, and the check answered with internal_error.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import LATE, Decision, Deny, KeyQuestion, Pending, Reason, RequestView
from sidecar.shell.tasks import Tasks
from sidecar.shell.waiting import Waiting
from sidecar.snapshots.keys import KeySnapshot

_log = logging.getLogger(__name__)

# How long (seconds) a check without a deadline may wait, and how long before a deadline the waiting
# ends, so that the answer still arrives in time.
_LONGEST: Final = 30.0
_MARGIN: Final = 0.02
# Longer (seconds) than any check runs before it waits.
_BEGINNING: Final = 0.1

# What request ids are made of: UUIDs, hexadecimal digits, base64, the trace ids of load balancers.
_PLAIN_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=~-]{1,64}")


class Pipeline(Protocol):
    """The checks of one role under one configuration."""

    def check(
        self, request: RequestView, keys: KeySnapshot, now: float
    ) -> Decision | Pending[Decision]:
        """Decide about one request at ``now`` (Unix seconds), or return what it waits for."""
        ...

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        """A denial as the configured mode enforces it."""
        ...


class RequestLimits(NamedTuple):
    """The largest request that is checked: bytes of its description, and header lines."""

    request_bytes: int = 131072
    header_lines: int = 512


DEFAULT_LIMITS: Final = RequestLimits()


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What checks need of the configuration. It is replaced whole by a reload.

    ``challenge`` has the parameters of every challenge, by name (``wire.denials``). ``key_wait`` is
    how long, in seconds, a check may wait for an unknown key.
    """

    pipeline: Pipeline
    keys: VerificationKeys
    challenge: tuple[tuple[str, str], ...]
    key_wait: float
    limits: RequestLimits = DEFAULT_LIMITS


class DecisionObserver(Protocol):
    """Told about every answer."""

    def decided(
        self, request: RequestView, request_id: str, decision: Decision, duration: float
    ) -> None:
        """A check was answered ``duration`` seconds after it arrived."""
        ...


def printable_id(value: bytes) -> str:
    """An ``x-request-id`` as it may be repeated and logged; empty for one that is not plain.

    A client may send anything in this header. An id of more than 64 characters is dropped, not cut,
    because a part of it could be a part of a token.
    """
    return value.decode() if _PLAIN_ID.fullmatch(value) else ""


class Checks:
    """What all checks share. ``context`` is the one in use at this moment.

    Questions other than those about keys are awaited on ``loop``. A role without such questions
    needs no loop. ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        context: CheckContext,
        observer: DecisionObserver,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.context = context
        self.observer = observer
        self.tasks = Tasks(loop) if loop else None
        self.clock = clock

    async def ended(self) -> None:
        """Return when the checks that have begun and wait on the event loop have ended.

        Their deadlines limit the time. Until then they use the parts of their context.
        """
        if self.tasks is not None:
            await asyncio.sleep(_BEGINNING)
            await self.tasks.ended()


class Check:
    """One check; created when it arrives, answered by ``decide`` or ``refuse``.

    ``deadline`` is in Unix seconds, infinite for none.
    """

    __slots__ = (
        "_arrived",
        "_checks",
        "_deadline",
        "_reply",
        "_request",
        "_request_id",
        "_started",
        "context",
    )

    def __init__(self, checks: Checks, deadline: float) -> None:
        self._started = time.perf_counter()
        self._checks = checks
        self._deadline = deadline
        self.context = checks.context

    def decide(
        self, request: RequestView, request_id: str, reply: Callable[[Decision], None]
    ) -> None:
        """Decide about a request, at once or when the answers to its questions are known.

        Args:
            request: the request.
            request_id: the request's id for the log; empty for none.
            reply: called once with the decision, from any thread.
        """
        self._request, self._request_id, self._reply = request, request_id, reply
        context = self.context
        try:
            self._arrived = now = self._checks.clock()
            if now >= self._deadline:
                # The caller has given up: save the cryptography.
                self._refuse(Deny(Reason.OVERLOADED))
                return
            verdict = context.pipeline.check(request, context.keys.snapshot, now)
            if isinstance(verdict, Pending):
                self._wait(verdict)
            else:
                self._answer(verdict)
        except Exception:
            self._fail()

    def refuse(
        self,
        request: RequestView,
        request_id: str,
        reply: Callable[[Decision], None],
        denial: Deny,
    ) -> None:
        """Refuse a request whose headers were not read; otherwise as ``decide``.

        It is refused in shadow mode too: its headers may contain forged identity headers.
        """
        self._request, self._request_id, self._reply = request, request_id, reply
        try:
            self._answer(denial)
        except Exception:
            self._fail()

    def _wait(self, pending: Pending[Decision]) -> None:
        question, tasks = pending.question, self._checks.tasks
        if isinstance(question, KeyQuestion):
            self._waiting.look_up(question, self._until, partial(self._answered, pending))
        elif tasks is None:
            raise RuntimeError("a check has to wait, and there is no event loop to wait on")
        else:
            tasks.start(partial(self._finish, pending))

    def _answered(self, pending: Pending[Decision], answer: object) -> None:
        try:
            verdict = self._resume(pending, answer)
            if isinstance(verdict, Pending):
                self._wait(verdict)
            else:
                self._answer(verdict)
        except Exception:
            self._fail()

    async def _finish(self, verdict: Decision | Pending[Decision]) -> None:
        try:
            while isinstance(verdict, Pending):
                answer = await self._waiting.answer(verdict.question, self._until)
                verdict = self._resume(verdict, answer)
            self._answer(verdict)
        except asyncio.CancelledError:
            # The process ends, or a task that this check shares with others was cancelled.
            if isinstance(verdict, Pending):
                self._answered(verdict, LATE)
            raise
        except Exception:
            self._fail()

    def _resume(self, pending: Pending[Decision], answer: object) -> Decision | Pending[Decision]:
        now = self._checks.clock()
        if answer is not LATE and now >= self._deadline:
            return self.context.pipeline.refuse(self._request, Deny(Reason.OVERLOADED))
        verdict = pending.resume(answer, now)
        if answer is LATE and isinstance(verdict, Pending):
            raise RuntimeError("a check asked another question after one was late")
        return verdict

    @property
    def _waiting(self) -> Waiting:
        return Waiting(self.context.keys, self.context.key_wait, self._checks.clock)

    @property
    def _until(self) -> float:
        """When the waiting ends, in Unix seconds."""
        return min(self._deadline - _MARGIN, self._arrived + _LONGEST)

    def _fail(self) -> None:
        _log.exception("a check failed", extra={"request_id": self._request_id})
        self._refuse(Deny(Reason.INTERNAL_ERROR))

    def _refuse(self, denial: Deny) -> None:
        self._answer(self.context.pipeline.refuse(self._request, denial))

    def _answer(self, decision: Decision) -> None:
        self._reply(decision)
        try:
            self._checks.observer.decided(
                self._request, self._request_id, decision, time.perf_counter() - self._started
            )
        except Exception:
            # The client has its answer already.
            _log.exception("a decision could not be logged")
