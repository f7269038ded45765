"""One check, from its arrival to its answer by value, whatever wire brought it.

A check is in one of three states, and sees one configuration in all of them:

    arrived   Its thread is the wire's. A passed deadline is refused as overloaded, before any
              cryptography; otherwise the pipeline decides. A decision: it is answered. ``Pending``:
              its question is asked, and it waits.
    waiting   It holds no thread. The answer, or ``LATE`` when there is none in time, goes back to
              the pipeline: a decision, or the next question. An answer after the deadline is
              refused as overloaded. A question about a key is answered by a call, on the wire's
              thread where the answer is known at once and otherwise on the event loop's; any other
              makes the check a task of the event loop, which it stays to its end.
    answered  The wire has replied, once, and the observer was told.

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

# How long (seconds) a check may wait whose caller set no deadline, and how much earlier than a
# deadline it is given up: an answer on the very moment would find nobody.
_LONGEST: Final = 30.0
_MARGIN: Final = 0.02
# Longer than any check is made for (seconds) until it is known to have to wait.
_BEGINNING: Final = 0.1

# What request ids are made of: UUIDs, hexadecimal digits, base64, the trace ids of load balancers.
_PLAIN_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=~-]{1,64}")


class Pipeline(Protocol):
    """The checks of one role under one configuration."""

    def check(
        self, request: RequestView, keys: KeySnapshot, now: float
    ) -> Decision | Pending[Decision]:
        """Decide about one request at ``now`` (Unix seconds), or say what there is to wait for."""
        ...

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        """A denial as the configured mode carries it out."""
        ...


class RequestLimits(NamedTuple):
    """Above these a wire does not look at a request: bytes of its description, header lines."""

    request_bytes: int = 131072
    header_lines: int = 512


DEFAULT_LIMITS: Final = RequestLimits()


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What checks are made with. Replaced whole when the configuration is reloaded.

    ``realm`` names the protection space to clients (RFC 9110 §11.5). ``key_wait`` is how long, in
    seconds, a check may wait for an unknown key.
    """

    pipeline: Pipeline
    keys: VerificationKeys
    realm: str
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

    A client may send anything under this name. Of what is longer than 64 characters nothing is
    shown: a piece of it could be a piece of a token.
    """
    return value.decode() if _PLAIN_ID.fullmatch(value) else ""


class Checks:
    """Makes checks with ``context``, the one in use at this moment.

    ``loop`` is where the questions of checks are awaited. A role whose checks have none but about
    keys needs no loop. ``clock`` gives Unix seconds.
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
        """Return when the checks have ended that have begun and wait on the event loop.

        Their deadlines bound that. Until then they need what their context was made of.
        """
        if self.tasks is not None:
            await asyncio.sleep(_BEGINNING)
            await self.tasks.ended()


class Check:
    """One check on its way; made when it arrives, answered by ``decide`` or ``refuse``.

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
        """Decide about a request, now or when what it takes is known.

        Args:
            request: the request.
            request_id: what the request is called in the log; empty for none.
            reply: called once with the decision, from any thread.
        """
        self._request, self._request_id, self._reply = request, request_id, reply
        context = self.context
        try:
            self._arrived = now = self._checks.clock()
            if now >= self._deadline:
                # Its caller has given up on this one: no cryptography for nobody.
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
        """Refuse a request whose headers nobody has looked at; otherwise as ``decide``.

        Shadow mode lets no such request through: they may say who it is from.
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
            # The process ends, or whatever this one waited for together with others was given up.
            if isinstance(verdict, Pending):
                self._answered(verdict, LATE)
            raise
        except Exception:
            self._fail()

    def _resume(self, pending: Pending[Decision], answer: object) -> Decision | Pending[Decision]:
        now = self._checks.clock()
        if answer is not LATE and now >= self._deadline:
            return self.context.pipeline.refuse(self._request, Deny(Reason.OVERLOADED))
        return pending.resume(answer, now)

    @property
    def _waiting(self) -> Waiting:
        return Waiting(self.context.keys, self.context.key_wait, self._checks.clock)

    @property
    def _until(self) -> float:
        """When it is given up, in Unix seconds."""
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
            # The client has its answer; that it could not be written down changes nothing of it.
            _log.exception("a decision could not be written down")
