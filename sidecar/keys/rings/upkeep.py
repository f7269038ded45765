"""What keeps a ring up to date in the background: one step, again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sidecar.errors import Fault

_log = logging.getLogger(__name__)


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
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Go on in the background of the running event loop."""
        self._task = asyncio.create_task(self._run(), name=f"signing keys: {self._name}")

    async def end(self) -> None:
        """Return once nothing runs any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._pause()
            try:
                await self._step()
            except Fault as fault:
                self._failed(str(fault))
            except Exception:
                # A bug must not end the upkeep: the keys known so far go on being used.
                _log.exception("the upkeep of %s failed unexpectedly", self._name)
                self.problem = "internal error; the log has its stack trace"
            else:
                self.problem = None

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("signing keys", extra={"ring": self._name, "problem": problem})
        self.problem = problem
