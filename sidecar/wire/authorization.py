"""The shell around the check: bytes from Envoy in, one answer by value out, whatever happens.

A check whose token names an unknown key is put aside here, holding no thread, until the shared
fetch of that issuer's keys has come back; then it is made again.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.check.pipeline import Pipeline
from sidecar.keys.keeper import KeyKeeper
from sidecar.keys.lookups import Outcome
from sidecar.model import Decision, Deny, KeyNeeded, Reason, RequestView
from sidecar.wire.codec import Envelope, UndecodableRequest, decode, encode

_log = logging.getLogger(__name__)

METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"

# Stands in for a request that could not be read: nothing matches it, and everything we own is
# stripped where shadow mode lets it through.
_UNREADABLE: Final = Envelope(RequestView(method="", path="", host="", headers=()), "", grpc=False)


class Call(Protocol):
    """One check to answer: a serialised CheckRequest, and until when (Unix seconds)."""

    body: bytes
    deadline: float

    def reply(self, body: bytes) -> None:
        """Answer with a serialised CheckResponse, once, from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What checks are made with. Replaced whole when the configuration is reloaded.

    ``key_wait`` is how long, in seconds, a check may wait for an unknown key.
    """

    pipeline: Pipeline
    keys: KeyKeeper
    realm: str
    key_wait: float


class DecisionObserver(Protocol):
    """Told about every answer."""

    def decided(self, envelope: Envelope, decision: Decision, duration: float) -> None:
        """A check was answered ``duration`` seconds after it arrived."""
        ...


class Authorization:
    """Answers ``envoy.service.auth.v3.Authorization/Check``."""

    def __init__(
        self,
        policy: Policy,
        observer: DecisionObserver,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self._observer = observer
        self._clock = clock

    def check(self, call: Call) -> None:
        """Answer one call, now or when the key it needs was looked for."""
        _Check(self.policy, self._observer, self._clock, call).run()


class _Check:
    """One call on its way. It sees one policy from its beginning to its end."""

    __slots__ = ("_call", "_clock", "_envelope", "_observer", "_policy", "_started")

    def __init__(
        self,
        policy: Policy,
        observer: DecisionObserver,
        clock: Callable[[], float],
        call: Call,
    ) -> None:
        self._policy = policy
        self._observer = observer
        self._clock = clock
        self._call = call
        self._envelope = _UNREADABLE
        self._started = time.perf_counter()

    def run(self) -> None:
        try:
            self._envelope = decode(self._call.body)
            verdict = self._verdict()
            if isinstance(verdict, KeyNeeded):
                self._wait_for(verdict)
            else:
                self._answer(verdict)
        except UndecodableRequest:
            _log.exception("Envoy's check request could not be read")
            self._refuse(Deny(Reason.INTERNAL_ERROR))
        except Exception:
            self._fail()

    def _verdict(self) -> Decision | KeyNeeded:
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
                self._answer(verdict)
        except Exception:
            self._fail()

    def _fail(self) -> None:
        _log.exception("a check failed", extra={"request_id": self._envelope.request_id})
        self._refuse(Deny(Reason.INTERNAL_ERROR))

    def _refuse(self, deny: Deny) -> None:
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
