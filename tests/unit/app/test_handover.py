import asyncio

from sidecar.app.handover import Handover


class Ring:
    """Something that can be closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


def take(handover: Handover, settings: str) -> tuple[Ring, bool]:
    return handover.take("ring", settings, Ring, Ring.close)


def test_what_has_the_same_settings_goes_on() -> None:
    first = Handover()
    ring, new = take(first, "a")
    second = Handover(first)

    same, again = take(second, "a")
    asyncio.run(first.release())

    assert (same is ring, new, again) == (True, True, False)
    assert ring.closed == 0


def test_it_is_closed_when_nobody_holds_it_any_more() -> None:
    first = Handover()
    ring, _ = take(first, "a")
    second = Handover(first)
    take(second, "a")

    asyncio.run(first.release())
    asyncio.run(second.release())

    assert ring.closed == 1


def test_what_has_other_settings_is_made_anew_and_the_old_closed() -> None:
    first = Handover()
    ring, _ = take(first, "a")
    second = Handover(first)

    other, new = take(second, "b")
    asyncio.run(first.release())

    assert other is not ring
    assert new
    assert (ring.closed, other.closed) == (1, 0)


def test_a_successor_that_never_took_over_leaves_everything_as_it_was() -> None:
    first = Handover()
    ring, _ = take(first, "a")
    second = Handover(first)
    take(second, "a")

    asyncio.run(second.release())

    assert ring.closed == 0
    asyncio.run(first.release())
    assert ring.closed == 1


def test_releasing_twice_closes_once() -> None:
    handover = Handover()
    ring, _ = take(handover, "a")

    asyncio.run(handover.release())
    asyncio.run(handover.release())

    assert ring.closed == 1
