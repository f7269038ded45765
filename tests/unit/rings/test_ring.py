"""A ring over time, as a story; and what holds whatever happens to it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import SourceFault
from sidecar.rings.lifecycle import State, Timings
from sidecar.rings.ring import (
    KeyRing,
    RingKey,
    begin,
    next_publication,
    next_step,
    revoked,
    rotated,
)
from sidecar.rings.sealing_key import SealingKey
from tests.support.rings import NamedKey, named_keys

START = 1_000_000.0
ROUNDING = 0.001  # more than what floating point numbers lose
TIMINGS = Timings(
    verifier_refresh=100, token_life=60, leeway=10, propagation=90, period=10_000
)  # 300 s ahead, 80 s kept


def new_ring() -> KeyRing:
    return begin(NamedKey("first"), TIMINGS, START)


def next_key() -> NamedKey:
    return NamedKey("second")


def unexpected() -> NamedKey:
    raise AssertionError("no key was due")


def kids(ring: KeyRing, now: float) -> list[str]:
    return [jwk["kid"] for jwk in ring.jwks(now)["keys"]]


def test_the_first_key_signs_at_once_by_every_clock() -> None:
    assert new_ring().signer(START - TIMINGS.leeway).kid == "first"
    assert kids(new_ring(), START) == ["first"]


def test_a_ring_without_keys_cannot_sign_and_is_asked_again_at_once() -> None:
    empty: KeyRing = KeyRing(TIMINGS, ())

    with pytest.raises(SourceFault, match="no key has been published for long enough"):
        empty.signer(START)
    assert empty.jwks(START) == {"keys": []}
    assert empty.max_age() == 0


def test_a_ring_about_to_be_forgotten_does_not_sign() -> None:
    ring = replace(new_ring(), signs_until=START + 5)

    assert ring.signer(START + 4.9).kid == "first"
    with pytest.raises(SourceFault, match="about to expire"):
        ring.signer(START + 5)


def test_a_document_may_be_reused_for_as_long_as_verifiers_do() -> None:
    assert new_ring().max_age() == 100


def test_a_rotation_from_beginning_to_end() -> None:
    ring = new_ring()
    assert rotated(ring, unexpected, START + 9_000) == ring

    published = next_publication(ring)
    assert published == pytest.approx(START - 10 + 10_000 - 300)
    ring = rotated(ring, next_key, published)
    assert ring.states(published) == (State.ACTIVE, State.PUBLISHED)
    assert kids(ring, published) == ["first", "second"]
    assert ring.signer(published + 299).kid == "first"

    active = published + 300
    assert ring.signer(active).kid == "second"
    assert ring.states(active) == (State.RETIRED, State.ACTIVE)
    assert kids(ring, active + 79) == ["first", "second"]

    gone = active + 80
    assert next_step(ring) == pytest.approx(gone)
    assert ring.states(gone) == (State.GONE, State.ACTIVE)
    assert kids(ring, gone) == ["second"]
    ring = rotated(ring, unexpected, gone)
    assert [key.key.kid for key in ring.keys] == ["second"]
    assert next_step(ring) == next_publication(ring)


def test_a_key_is_found_by_its_name_until_it_is_gone() -> None:
    published = next_publication(new_ring())
    ring = rotated(new_ring(), next_key, published)
    active = published + 300
    moments = {"published": published, "retired": active + 79, "gone": active + 80}

    found = {name: ring.find("second", now) for name, now in moments.items()}
    assert found == dict.fromkeys(moments, NamedKey("second"))
    assert ring.find("first", moments["retired"]) == NamedKey("first")
    assert ring.find("first", moments["gone"]) is None
    assert ring.find("third", published) is None


def test_keys_that_seal_cannot_be_published() -> None:
    ring = begin(SealingKey.generate(), TIMINGS, START)

    with pytest.raises(TypeError, match="its keys are secret"):
        ring.jwks(START)


def test_keys_that_seal_do_not_sign() -> None:
    with pytest.raises(TypeError, match="this ring seals"):
        begin(SealingKey.generate(), TIMINGS, START).signer(START)


def test_keys_that_sign_do_not_seal() -> None:
    with pytest.raises(TypeError, match="this ring signs"):
        new_ring().sealer(START)


def test_a_rotation_that_is_late_still_publishes_before_it_signs() -> None:
    late = START + 50_000
    ring = rotated(new_ring(), next_key, late)

    assert ring.signer(late + 299).kid == "first"
    assert ring.signer(late + 300).kid == "second"


def test_an_early_rotation_happens_once() -> None:
    ring = rotated(new_ring(), next_key, START + 1, early=True)

    assert ring.states(START + 1) == (State.ACTIVE, State.PUBLISHED)
    assert rotated(ring, unexpected, START + 2, early=True) == ring


def test_revoking_the_active_key_promotes_the_published_one() -> None:
    ring = rotated(new_ring(), next_key, START + 1, early=True)
    ring = revoked(ring, "first", unexpected, START + 2)

    assert kids(ring, START + 2) == ["second"]
    assert ring.signer(START + 2).kid == "second"
    assert ring.keys[0].published == START + 1


def test_revoking_the_only_key_makes_another() -> None:
    ring = revoked(new_ring(), "first", next_key, START + 2)

    assert ring.signer(START + 2).kid == "second"
    assert kids(ring, START + 2) == ["second"]


def test_revoking_the_active_key_does_not_bring_back_a_retired_one() -> None:
    ring = rotated(new_ring(), next_key, START + 1, early=True)
    just_active = START + 1 + 300
    ring = revoked(ring, "second", lambda: NamedKey("third"), just_active + 5)

    assert ring.states(just_active + 5) == (State.RETIRED, State.ACTIVE)
    assert ring.signer(just_active + 5).kid == "third"
    assert kids(ring, just_active + TIMINGS.kept - 1) == ["first", "third"]


@pytest.mark.parametrize("revoked_kid", ["first", "third"])
def test_revoking_a_key_that_does_not_sign_changes_nothing_else(revoked_kid: str) -> None:
    ring = rotated(new_ring(), next_key, START + 1, early=True)
    now = START + 1 + 300
    ring = rotated(ring, lambda: NamedKey("third"), now, early=True)
    after = revoked(ring, revoked_kid, unexpected, now)

    assert after.keys == tuple(key for key in ring.keys if key.key.kid != revoked_kid)
    assert after.signer(now).kid == "second"


def test_a_key_that_is_gone_does_not_come_back_by_a_revocation() -> None:
    ring = rotated(new_ring(), next_key, START + 1, early=True)
    ring = revoked(ring, "second", lambda: NamedKey("third"), START + 1000)

    assert [key.key.kid for key in ring.keys] == ["third"]


@given(
    st.lists(st.floats(0, 1000), min_size=1, max_size=5, unique=True).map(sorted),
    st.floats(-100, 2000),
)
def test_the_key_that_signs_is_the_one_that_is_active(dates: list[float], now: float) -> None:
    keys = tuple(RingKey(NamedKey(str(date)), date - 100, date) for date in dates)
    ring = KeyRing(TIMINGS, keys)
    active = [
        key.key for key, state in zip(keys, ring.states(now), strict=True) if state is State.ACTIVE
    ]

    if active:
        assert active == [ring.signer(now)]
        assert active[0].kid in kids(ring, now)
    else:
        with pytest.raises(SourceFault):
            ring.signer(now)


@st.composite
def safe_timings(draw: st.DrawFn) -> Timings:
    base = {
        "verifier_refresh": draw(st.floats(1, 600)),
        "token_life": draw(st.floats(1, 3600)),
        "leeway": draw(st.floats(0, 30)),
        "propagation": draw(st.floats(0, 300)),
    }
    loose = Timings(**base, period=1e9)
    return Timings(**base, period=loose.ahead + loose.kept + draw(st.floats(1, 10_000)))


class World:
    """A ring managed by cron, replicas that sign and publish, and verifiers that fetch.

    Time is true time; every clock shows that and an error of at most half the leeway, so that no
    two are further apart than the leeway.
    """

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.timings = data.draw(safe_timings())
        make = named_keys()
        now = START
        ring = begin(make(), self.timings, now + self.error())
        self.written = [(now, ring)]
        for gap in data.draw(st.lists(st.floats(0, 2), min_size=1, max_size=8)):
            now += gap * self.timings.period
            ring = rotated(ring, make, now + self.error(), early=data.draw(st.booleans()))
            self.written.append((now, ring))
        self.end = now + self.timings.period

    def between(self, low: float, high: float) -> float:
        """One end or the other: dates are sums, so what holds at the ends holds in between."""
        return self.data.draw(st.sampled_from([low, max(low, high)]))

    def error(self) -> float:
        """How much one clock is fast."""
        return self.between(-self.timings.leeway / 2, self.timings.leeway / 2)

    def replica(self, now: float) -> KeyRing:
        """The ring as one replica has it: up to ``propagation`` old."""
        seen = max(START, now - self.between(0, self.timings.propagation))
        return next(ring for written, ring in reversed(self.written) if written <= seen)

    def moment_of_signing(self) -> float:
        """A time on the signer's clock, most often one at which keys change over."""
        changes = [key.activates for _, ring in self.written for key in ring.keys[1:]]
        last = self.written[-1][0] + self.timings.period
        anytime = st.floats(START, last)
        if not changes:
            return self.data.draw(anytime)
        change = self.data.draw(st.sampled_from(changes))
        return self.data.draw(st.sampled_from([change, change - ROUNDING]) | anytime)


@settings(max_examples=300, deadline=None)  # a busy machine is not a fault
@given(st.data())
def test_no_verifier_ever_misses_the_key_of_a_token_that_has_not_expired(
    data: st.DataObject,
) -> None:
    world = World(data)
    timings = world.timings
    issued = world.moment_of_signing()
    signed_at = issued - world.error()
    kid = world.replica(signed_at).signer(issued).kid

    # The last moment at which the verifier still accepts the token, by its own clock.
    expires = issued + timings.token_life + timings.leeway - world.error()
    verified_at = world.between(signed_at, expires - ROUNDING)
    # Its keys were fetched an interval ago, from a cache that was as old.
    oldest = verified_at - 2 * timings.verifier_refresh + ROUNDING
    fetched_at = max(START, world.between(oldest, verified_at))

    document = world.replica(fetched_at).jwks(fetched_at + world.error())
    assert kid in {jwk["kid"] for jwk in document["keys"]}
