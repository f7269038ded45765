"""What the role of one configuration passes to the next: objects whose settings are unchanged.

A reload then neither reads rings again nor introspects known sessions again.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Shared(Generic[T]):
    """An object that several roles may hold. The last one to release it closes it."""

    def __init__(self, settings: object, thing: T, close: Callable[[T], Awaitable[None]]) -> None:
        self.settings = settings
        self.thing = thing
        self.holders = 0
        self._close = close

    async def release(self) -> None:
        self.holders -= 1
        if not self.holders:
            await self._close(self.thing)


class Handover:
    """The shared objects that one role holds: taken over from the role ``before``, or created."""

    def __init__(self, before: "Handover | None" = None) -> None:
        self._earlier = before._held if before else {}
        self._held: dict[str, _Shared[Any]] = {}

    def take(
        self,
        name: str,
        settings: object,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
    ) -> tuple[T, bool]:
        """The object of this name, and whether it is new; reused if the settings are equal."""
        shared = self._earlier.get(name)
        new = shared is None or shared.settings != settings
        if shared is None or new:
            shared = _Shared(settings, make(), close)
        shared.holders += 1
        self._held[name] = shared
        return shared.thing, new

    async def release(self) -> None:
        """Release every object that is held."""
        held, self._held = self._held, {}
        for shared in held.values():
            await shared.release()
