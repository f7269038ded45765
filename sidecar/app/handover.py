"""What the role of one configuration hands to that of the next, where its settings stay the same.

A ring that is read again, or sessions that are asked about again, would cost somebody something.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Shared(Generic[T]):
    """Something that several roles may hold. It is closed when none does any more."""

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
    """What one role holds: taken over from the role ``before``, or made."""

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
        """The thing of this name, and whether it is new: only equal settings make it the same."""
        shared = self._earlier.get(name)
        new = shared is None or shared.settings != settings
        if shared is None or new:
            shared = _Shared(settings, make(), close)
        shared.holders += 1
        self._held[name] = shared
        return shared.thing, new

    async def release(self) -> None:
        """Hold nothing any more."""
        held, self._held = self._held, {}
        for shared in held.values():
            await shared.release()
