"""Checks outside of a server: a request as Envoy would describe it, and the decision."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from sidecar.check.extract import CookieSource, TokenSource
from sidecar.check.pipeline import CheckSettings, Pipeline
from sidecar.cli.explain import Findings, explain
from sidecar.cli.key_sets import KnownKeys
from sidecar.model import (
    GATEWAY_STEPS,
    Decision,
    Deny,
    KeyNeeded,
    RequestView,
    Step,
    Unfinished,
)
from sidecar.snapshots.keys import KeySnapshot

T = TypeVar("T")


class Simulation(Protocol):
    """The checks of one role at one moment."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps it takes, in their order."""
        ...

    def decide(self, request: RequestView, keys: KeySnapshot) -> Decision:
        """The decision when no more keys can be had than are in the snapshot."""
        ...

    def explain(self, request: RequestView, known: KnownKeys, decision: Decision) -> Findings:
        """What was found at each step on the way to ``decision``."""
        ...


class SidecarSimulation:
    """A sidecar's checks (``Simulation``) at ``now``, in Unix seconds.

    They are made as if enforced: what shadow mode lets through is what somebody wants to know.
    """

    steps: Final = tuple(step for step in Step if step not in GATEWAY_STEPS)

    def __init__(self, settings: CheckSettings, now: float) -> None:
        self._settings, self._now = replace(settings, shadow=False), now
        self._pipeline = Pipeline(self._settings, Nobody())

    def decide(self, request: RequestView, keys: KeySnapshot) -> Decision:
        """A sidecar's decision (``Simulation.decide``)."""
        return finished(self._pipeline, request, keys, self._now)

    def explain(self, request: RequestView, known: KnownKeys, decision: Decision) -> Findings:
        """What was found (``Simulation.explain``)."""
        del decision  # everything can be looked at again
        return explain(self._settings, request, known, self._now)


class Nobody:
    """Is told about tokens and tells no one (``VerificationObserver``)."""

    def verified(self, trust: str, result: str) -> None:
        """Nothing is counted here."""

    def remembered(self, *, hit: bool) -> None:
        """Nothing is counted here."""


class Checks(Protocol):
    """The pipeline of a role."""

    def check(
        self, request: RequestView, keys: KeySnapshot, now: float
    ) -> Decision | KeyNeeded | Unfinished:
        """Decide about one request."""
        ...

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        """A denial as it is carried out."""
        ...


def finished(checks: Checks, request: RequestView, keys: KeySnapshot, now: float) -> Decision:
    """The decision, after whatever it waits for."""
    verdict = checks.check(request, keys, now)
    if isinstance(verdict, KeyNeeded):
        there = keys.usable(verdict.trust, now) is not None
        return checks.refuse(request, verdict.unknown if there else verdict.unavailable)
    while isinstance(verdict, Unfinished):
        verdict = asyncio.run(_awaited(verdict.finish(lambda: now)))
    return verdict


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer


def with_token(request: RequestView, source: TokenSource, token: str) -> RequestView:
    """The request with a token where the source says."""
    if isinstance(source, CookieSource):
        line = ("cookie", f"{source.name}={token}")
    else:
        line = (source.name, f"{source.scheme} {token}" if source.scheme else token)
    return request._replace(headers=(*request.headers, (line[0], line[1].encode("latin-1"))))
