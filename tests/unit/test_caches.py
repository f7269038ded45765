import pytest

from sidecar.caches import LruCache, TtlCache


def test_what_was_added_is_remembered_until_it_is_forgotten() -> None:
    recent: LruCache[str, str] = LruCache(2)
    recent.add("1", "a")

    assert recent.get("1") == "a"
    assert recent.get("2") is None
    recent.forget("1")
    recent.forget("1")
    assert recent.get("1") is None


def test_the_entry_not_used_for_longest_makes_room() -> None:
    recent: LruCache[str, str] = LruCache(2)
    recent.add("1", "a")
    recent.add("2", "b")
    recent.get("1")
    recent.add("3", "c")

    assert len(recent) == 2
    assert [recent.get(key) for key in "123"] == ["a", None, "c"]


def test_adding_an_entry_again_uses_it_and_takes_no_more_room() -> None:
    recent: LruCache[str, str] = LruCache(2)
    recent.add("1", "a")
    recent.add("2", "b")
    recent.add("1", "a")
    recent.add("3", "c")

    assert [recent.get(key) for key in "123"] == ["a", None, "c"]


def test_a_limit_of_none_remembers_nothing() -> None:
    recent: LruCache[str, str] = LruCache(0)
    recent.add("1", "a")

    assert recent.get("1") is None


@pytest.mark.parametrize(("now", "expected"), [(9.9, None), (10.0, "a"), (19.9, "a"), (20.0, None)])
def test_an_entry_may_count_for_a_time_alone(now: float, expected: str | None) -> None:
    recent: TtlCache[str, str] = TtlCache(2)
    recent.add("1", "a", since=10.0, until=20.0)

    assert recent.get("1", now) == expected
    assert recent.get("2", now) is None
