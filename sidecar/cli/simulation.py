"""Checks without a server: from a request, as Envoy would describe it, to the decision."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol

from sidecar.check.extract import CookieSource, TokenSource, WebSocketProtocolSource
from sidecar.check.pipeline import CheckSettings, Pipeline
from sidecar.check.trace import Trace
from sidecar.check.websocket_protocols import HEADER as PROTOCOLS
from sidecar.model import (
    GATEWAY_STEPS,
    LATE,
    Decision,
    KeyQuestion,
    Pending,
    RequestView,
    Step,
)
from sidecar.snapshots.keys import KeySnapshot


class Simulation(Protocol):
    """The checks of one role at one moment."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps it takes, in their order."""
        ...

    def decide(
        self, request: RequestView, keys: KeySnapshot, trace: Trace | None = None
    ) -> Decision:
        """The decision with the keys of the snapshot; none are fetched.

        ``trace`` is told what is found at each step.
        """
        ...


class SidecarSimulation:
    """A sidecar's checks (``Simulation``) at ``now``, in Unix seconds.

    Denials are decided as if enforced, also when the configuration is in shadow mode.
    """

    steps: Final = tuple(step for step in Step if step not in GATEWAY_STEPS)

    def __init__(self, settings: CheckSettings, now: float) -> None:
        self._now = now
        self._pipeline = Pipeline(replace(settings, shadow=False), NullObserver())

    def decide(
        self, request: RequestView, keys: KeySnapshot, trace: Trace | None = None
    ) -> Decision:
        """A sidecar's decision (``Simulation.decide``)."""
        verdict = self._pipeline.check(request, keys, self._now, trace)
        return finished(verdict, keys, self._now)


class NullObserver:
    """Ignores every event (the observer of tokens and of sessions)."""

    def verified(self, trust: str, result: str) -> None:
        """Nothing is counted."""

    def remembered(self, *, hit: bool) -> None:
        """Nothing is counted."""

    def minted(self, kind: str, result: str, duration: float) -> None:
        """Nothing is counted."""

    def introspected(self, credential: str, result: str, duration: float) -> None:
        """Nothing is counted."""

    def remembered_session(self, credential: str, *, hit: bool) -> None:
        """Nothing is counted."""


def finished(verdict: Decision | Pending[Decision], keys: KeySnapshot, now: float) -> Decision:
    """The decision, after what it waits for. A question for keys gets no further keys."""
    while isinstance(verdict, Pending):
        question = verdict.question
        if isinstance(question, KeyQuestion):
            answer: object = LATE if keys.usable(question.trust, now) is None else None
        else:
            answer = asyncio.run(_awaited(question))
        verdict = verdict.resume(answer, now)
    return verdict


async def _awaited(question: Callable[[], Awaitable[object]]) -> object:
    return await question()


def with_token(request: RequestView, source: TokenSource, token: str) -> RequestView:
    """The request with a token added at its source."""
    if isinstance(source, CookieSource):
        line = ("cookie", f"{source.name}={token}")
    elif isinstance(source, WebSocketProtocolSource):
        line = (PROTOCOLS, f"{source.prefix}{token}")
    else:
        line = (source.name, f"{source.scheme} {token}" if source.scheme else token)
    return request._replace(headers=(*request.headers, (line[0], line[1].encode("latin-1"))))
