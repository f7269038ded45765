"""Coroutines that any thread may start on the event loop, referenced until they are done.

The loop itself has only weak references to its tasks, so a task could be garbage collected while
it waits.
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
        """Create and run the coroutine on the loop. Raises RuntimeError if the loop is closed."""
        self._loop.call_soon_threadsafe(self._run, coroutine)

    async def ended(self) -> None:
        """Return when those that run at this moment are done."""
        if self._running:
            await asyncio.wait(self._running.copy())

    def _run(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._loop.create_task(coroutine())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
