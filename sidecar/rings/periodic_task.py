"""What keeps a ring up to date in the background: one step, again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar.errors import Fault, SourceFault

_log = logging.getLogger(__name__)

RETRY_PAUSE: Final = 2.0  # seconds


class Upkeep:
    """Takes ``step`` whenever ``pause`` is over, until it is told to end.

    A step that fails changes nothing but ``problem``, which stands until one succeeds; it is logged
    when it changes, not each time.
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

    async def begin(self, first: Callable[[], Awaitable[None]]) -> None:
        """Take a ``first`` step, and go on in the background of the running event loop.

        Where its source fails, it is taken again and again there, before any other. Whoever awaits
        this may give up, and the step goes on: others may use the ring by then.

        Raises:
            ConfigurationFault: of the first step, which would not help to repeat. Nothing goes on.
        """
        beginning = asyncio.create_task(self._begin(first), name=f"first keys: {self._name}")
        self._tasks.append(beginning)
        await asyncio.shield(beginning)

    async def end(self) -> None:
        """Return once nothing runs any more."""
        # A first step that is ended begins nothing.
        for task in self._tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _begin(self, first: Callable[[], Awaitable[None]]) -> None:
        try:
            await first()
            begun = True
        except SourceFault as fault:
            self._failed(str(fault))
            begun = False
        upkeep = asyncio.create_task(self._run(first, begun), name=f"keys: {self._name}")
        self._tasks.append(upkeep)

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
            # A bug must not end the upkeep: the keys known so far go on being used.
            _log.exception("the upkeep of %s failed unexpectedly", self._name)
            self.problem = "internal error; the log has its stack trace"
        else:
            self.problem = None
        return self.problem is None

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("key ring", extra={"ring": self._name, "problem": problem})
        self.problem = problem
