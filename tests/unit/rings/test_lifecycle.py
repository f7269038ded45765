"""The timings of a ring: what follows from them, and which are refused."""

import math

import pytest

from sidecar.errors import ConfigurationFault
from sidecar.rings.lifecycle import KeyDates, State, Timings

TIMINGS = Timings(verifier_refresh=300, token_life=60, leeway=10, propagation=120, period=86400)


def test_a_key_is_published_until_every_verifier_has_it() -> None:
    assert TIMINGS.convergence == 120 + 2 * 300
    assert TIMINGS.ahead == TIMINGS.convergence + 10


def test_a_key_is_kept_until_its_last_token_is_refused_everywhere() -> None:
    assert TIMINGS.kept == 60 + 2 * 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"verifier_refresh": 0},
            "verifier_refresh of a key ring must be more than 0 s and finite",
        ),
        ({"token_life": -1}, "token_life of a key ring must be more than 0 s and finite"),
        ({"period": math.inf}, "period of a key ring must be more than 0 s and finite"),
        ({"token_life": math.nan}, "token_life of a key ring must be more than 0 s and finite"),
        ({"leeway": -1}, "leeway of a key ring must be finite and not negative"),
        ({"propagation": math.nan}, "propagation of a key ring must be finite and not negative"),
        ({"period": 809}, "cannot be replaced every 809 s: it is published 730 s before its use"),
        ({"token_life": 86400}, "make the period at least 87150 s"),
    ],
)
def test_timings_that_cannot_be_safe_are_refused(change: dict[str, float], words: str) -> None:
    values = {"verifier_refresh": 300.0, "token_life": 60.0, "period": 86400.0, **change}

    with pytest.raises(ConfigurationFault) as caught:
        Timings(**values)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        ({"verifier_refresh": 600}, "publishes a key 730 s before its use, and 1330 s are needed"),
        (
            {"verifier_refresh": 300, "propagation": 121},
            "publishes a key 730 s before its use, and 731 s are needed",
        ),
        ({"token_life": 300}, "keeps a key for 80 s after its last use, and the tokens it signed"),
    ],
)
def test_a_ring_made_for_less_than_is_needed_says_so(needed: dict[str, float], words: str) -> None:
    shortfall = TIMINGS.shortfall(Timings(**needed))

    assert shortfall is not None
    assert words in shortfall


def test_a_ring_made_for_as_much_or_more_is_safe() -> None:
    assert TIMINGS.shortfall(Timings(verifier_refresh=60, token_life=30, period=3600)) is None
    assert TIMINGS.shortfall(TIMINGS) is None


def test_the_states_follow_one_another_at_the_dates() -> None:
    life = KeyDates(published=0, active=10, retired=20, gone=30)
    states = [life.state(now) for now in (0, 9.9, 10, 19.9, 20, 29.9, 30, 1e12)]

    assert states == [
        *(State.PUBLISHED, State.PUBLISHED),
        *(State.ACTIVE, State.ACTIVE),
        *(State.RETIRED, State.RETIRED),
        *(State.GONE, State.GONE),
    ]


def test_a_key_without_a_successor_is_active_for_ever() -> None:
    assert KeyDates(published=0, active=10, retired=None, gone=None).state(1e12) is State.ACTIVE
