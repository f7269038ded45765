"""The shell around the check: bytes from Envoy in, one answer by value out, whatever happens.

A check whose token names an unknown key is put aside here, holding no thread, until the shared
fetch of that issuer's keys has come back; then it is made again. One that has to ask others is
finished on the event loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.check.refusal import deny
from sidecar.keys.lookups import Outcome
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import Decision, Deny, KeyNeeded, Reason, RequestView, Unfinished
from sidecar.snapshots.keys import KeySnapshot
from sidecar.wire.grpc.codec import (
    DEFAULT_LIMITS,
    UNREAD,
    Envelope,
    RequestLimits,
    UndecodableRequest,
    decode,
    encode,
)
from sidecar.wire.tasks import Tasks

_log = logging.getLogger(__name__)

METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"

# How long (seconds) an unfinished check may take whose caller set no deadline, and how much earlier
# than a deadline it is given up: an answer on the very moment would find nobody.
_LONGEST: Final = 30.0
_MARGIN: Final = 0.02
# Longer than any check is made for (seconds) until it is known to be unfinished.
_BEGINNING: Final = 0.1


class Call(Protocol):
    """One check to answer: a serialised CheckRequest, and until when (Unix seconds)."""

    body: bytes
    deadline: float

    def reply(self, body: bytes) -> None:
        """Answer with a serialised CheckResponse, once, from any thread."""
        ...


class Checks(Protocol):
    """The checks of one role under one configuration."""

    def check(
        self, request: RequestView, keys: KeySnapshot, now: float
    ) -> Decision | KeyNeeded | Unfinished:
        """Decide about one request at ``now`` (Unix seconds), or say what is missing."""
        ...

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        """A denial as the configured mode carries it out."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What checks are made with. Replaced whole when the configuration is reloaded.

    ``key_wait`` is how long, in seconds, a check may wait for an unknown key.
    """

    pipeline: Checks
    keys: VerificationKeys
    realm: str
    key_wait: float
    limits: RequestLimits = DEFAULT_LIMITS


class DecisionObserver(Protocol):
    """Told about every answer."""

    def decided(self, envelope: Envelope, decision: Decision, duration: float) -> None:
        """A check was answered ``duration`` seconds after it arrived."""
        ...


class Authorization:
    """Answers ``envoy.service.auth.v3.Authorization/Check``.

    ``loop`` is where checks are finished that are ``Unfinished``, within the deadlines of their
    calls. A role that has none needs no loop.
    """

    def __init__(
        self,
        policy: Policy,
        observer: DecisionObserver,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self._observer = observer
        self._tasks = Tasks(loop) if loop else None
        self._clock = clock

    async def ended(self) -> None:
        """Return when the checks have ended that have begun and wait for others.

        Their deadlines bound that. Until then they need what their policy was made of.
        """
        if self._tasks is not None:
            await asyncio.sleep(_BEGINNING)
            await self._tasks.ended()

    def check(self, call: Call) -> None:
        """Answer one call, now or when what it needs was looked for."""
        _Check(self.policy, self._observer, self._tasks, self._clock, call).run()


class _Check:
    """One call on its way. It sees one policy from its beginning to its end."""

    __slots__ = ("_call", "_clock", "_envelope", "_observer", "_policy", "_started", "_tasks")

    def __init__(
        self,
        policy: Policy,
        observer: DecisionObserver,
        tasks: Tasks | None,
        clock: Callable[[], float],
        call: Call,
    ) -> None:
        self._policy = policy
        self._observer = observer
        self._tasks = tasks
        self._clock = clock
        self._call = call
        self._envelope = UNREAD
        self._started = time.perf_counter()

    def run(self) -> None:
        try:
            self._envelope = decode(self._call.body, self._policy.limits)
            verdict = self._verdict()
            if isinstance(verdict, KeyNeeded):
                self._wait_for(verdict)
            else:
                self._settle(verdict)
        except UndecodableRequest:
            _log.exception("Envoy's check request could not be read")
            self._refuse(Deny(Reason.INTERNAL_ERROR))
        except Exception:
            self._fail()

    def _verdict(self) -> Decision | KeyNeeded | Unfinished:
        if self._envelope.refusal is not None:
            return self._policy.pipeline.refuse(self._envelope.view, deny(self._envelope.refusal))
        now = self._clock()
        if now >= self._call.deadline:
            # Envoy has given up on this one: no cryptography for nobody.
            return self._policy.pipeline.refuse(self._envelope.view, Deny(Reason.OVERLOADED))
        return self._policy.pipeline.check(self._envelope.view, self._policy.keys.snapshot, now)

    def _wait_for(self, needed: KeyNeeded) -> None:
        patience = min(self._policy.key_wait, self._call.deadline - self._clock())
        self._policy.keys.lookup(
            needed.trust, needed.kid, patience, lambda outcome: self._resume(needed, outcome)
        )

    def _resume(self, needed: KeyNeeded, outcome: Outcome) -> None:
        try:
            if outcome is Outcome.UNAVAILABLE:
                self._refuse(needed.unavailable)
                return
            verdict = self._verdict() if outcome is Outcome.FOUND else needed
            if isinstance(verdict, KeyNeeded):
                self._refuse(needed.unknown)
            else:
                self._settle(verdict)
        except Exception:
            self._fail()

    def _settle(self, verdict: Decision | Unfinished) -> None:
        if not isinstance(verdict, Unfinished):
            self._answer(verdict)
        elif self._tasks is None:
            raise RuntimeError("an unfinished check, and no event loop to finish it on")
        else:
            self._tasks.start(lambda: self._finish(verdict))

    async def _finish(self, unfinished: Unfinished) -> None:
        patience = min(_LONGEST, self._call.deadline - self._clock() - _MARGIN)
        limit = asyncio.timeout(patience)
        try:
            async with limit:
                verdict: Decision | Unfinished = unfinished
                while isinstance(verdict, Unfinished):
                    unfinished = verdict
                    verdict = await unfinished.finish(self._clock)
            self._answer(verdict)
        except asyncio.CancelledError:
            # The process ends, or whatever this one waited for together with others was given up.
            self._refuse(unfinished.late)
            raise
        except Exception:
            if limit.expired():
                self._refuse(unfinished.late)
            else:
                self._fail()

    def _fail(self) -> None:
        _log.exception("a check failed", extra={"request_id": self._envelope.request_id})
        self._refuse(Deny(Reason.INTERNAL_ERROR))

    def _refuse(self, deny: Deny) -> None:
        if self._envelope is UNREAD:
            # Shadow mode lets nothing through whose headers nobody has looked at.
            self._answer(deny)
        else:
            self._answer(self._policy.pipeline.refuse(self._envelope.view, deny))

    def _answer(self, decision: Decision) -> None:
        envelope = self._envelope
        body = encode(
            decision,
            realm=self._policy.realm,
            request_id=envelope.request_id,
            grpc=envelope.grpc,
        )
        self._call.reply(body)
        try:
            self._observer.decided(envelope, decision, time.perf_counter() - self._started)
        except Exception:
            # The client has its answer; that it could not be written down changes nothing of it.
            _log.exception("a decision could not be written down")
