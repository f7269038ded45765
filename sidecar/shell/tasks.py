"""Coroutines that any thread may start on the event loop, held until they are done.

The loop itself holds its tasks only weakly: one that waits for nothing but others of its kind could
be collected in the middle.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """The coroutines that were started on ``loop`` and are not done yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the loop make the coroutine and run it. Raises RuntimeError once it is closed."""
        self._loop.call_soon_threadsafe(self._run, coroutine)

    async def ended(self) -> None:
        """Return when those that run at this moment are done."""
        if self._running:
            await asyncio.wait(self._running.copy())

    def _run(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._loop.create_task(coroutine())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
