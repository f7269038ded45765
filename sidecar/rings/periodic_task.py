"""A background task that keeps a ring up to date by repeating a step.

States, and what moves the task from one to the next::

    NEW      ──start()──────────────────────────────────▶ STARTING
    STARTING ──the first step succeeds──────────────────▶ WAITING
             ──its source fails─────────────────────────▶ RETRYING
             ──any other error, which start() raises────▶ ENDED
    RETRYING ──the first step succeeds, tried every 2 s─▶ WAITING
    WAITING  ──the pause is over────────────────────────▶ STEPPING
    STEPPING ──the step succeeds or fails───────────────▶ WAITING
    any      ──stop()───────────────────────────────────▶ ENDED
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar.errors import Fault, SourceFault

_log = logging.getLogger(__name__)

RETRY_PAUSE: Final = 2.0  # seconds


class PeriodicTask:
    """Runs ``step`` each time that ``pause`` returns, until it is stopped.

    A failure sets ``problem``, which is cleared by the next success. A problem is logged only when
    it changes.
    """

    def __init__(
        self,
        name: str,
        pause: Callable[[], Awaitable[None]],
        step: Callable[[], Awaitable[None]],
    ) -> None:
        self.problem: str | None = None
        self._name = name
        self._pause = pause
        self._step = step
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, first: Callable[[], Awaitable[None]]) -> None:
        """Run a ``first`` step, then start the background task on the running event loop.

        Returns when the first step has succeeded or its source has failed; in the second case it
        is repeated in the background. A caller that is cancelled while it waits does not cancel the
        step: others may use the ring by then.

        Raises:
            ConfigurationFault: of the first step; it is not repeated, and no task is running.
        """
        beginning = asyncio.create_task(self._start(first), name=f"first keys: {self._name}")
        self._tasks.append(beginning)
        await asyncio.shield(beginning)

    async def stop(self) -> None:
        """Cancel what runs, and return when it has ended."""
        # In this order: a first step that is cancelled starts no background task.
        for task in self._tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _start(self, first: Callable[[], Awaitable[None]]) -> None:
        try:
            await first()
            begun = True
        except SourceFault as fault:
            self._failed(str(fault))
            begun = False
        background = asyncio.create_task(self._run(first, begun), name=f"keys: {self._name}")
        self._tasks.append(background)

    async def _run(self, first: Callable[[], Awaitable[None]], begun: bool) -> None:
        while not begun:
            await asyncio.sleep(RETRY_PAUSE)
            begun = await self._succeeds(first)
        while True:
            await self._pause()
            await self._succeeds(self._step)

    async def _succeeds(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except Fault as fault:
            self._failed(str(fault))
        except Exception:
            # A bug must not end the task: the keys known so far stay in use.
            _log.exception("refreshing %s failed unexpectedly", self._name)
            self.problem = "internal error; the log has its stack trace"
        else:
            self.problem = None
        return self.problem is None

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("key ring", extra={"ring": self._name, "problem": problem})
        self.problem = problem
