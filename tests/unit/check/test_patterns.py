import pytest

from sidecar.check.patterns import matches_any, matching


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("alice", "alice", True),
        ("alice", "alice2", False),
        ("alice", "malice", False),
        ("a.c", "abc", False),
        ("spiffe://shop/ns/orders/*", "spiffe://shop/ns/orders/billing", True),
        ("spiffe://shop/ns/orders/*", "spiffe://shop/ns/orders/billing/admin", False),
        ("spiffe://shop/ns/orders/*", "spiffe://shop/ns/orders/", False),
        ("system:serviceaccount:shop:*", "system:serviceaccount:shop:billing", True),
        ("system:serviceaccount:shop:*", "system:serviceaccount:shop:billing:x", False),
        ("system:serviceaccount:*:billing", "system:serviceaccount:shop:billing", True),
        ("*", "", False),
        ("job-*", "job-7", True),
    ],
)
def test_a_star_stands_for_one_part(pattern: str, text: str, matches: bool) -> None:
    assert matches_any((pattern,), text) is matches


def test_a_star_alone_stands_for_every_role_or_group() -> None:
    names = frozenset({"a", "a/b", "a:b", "a,b"})

    assert matching(("x", "*"), names) == names
    assert matching(("a/*", "x"), names) == {"a/b"}
    assert matching((), names) == frozenset()


def test_one_pattern_of_several_is_enough() -> None:
    assert matches_any(("alice", "bob-*"), "bob-1")
    assert not matches_any(("alice", "bob-*"), "alicebob-1")


@pytest.mark.parametrize("pattern", ["*-*", "*-*-*", "*-*-*-*-*/x"])
def test_a_text_made_to_match_almost_takes_no_longer_than_another(pattern: str) -> None:
    # With backtracking the second of these takes minutes, and the test's time-out ends it.
    assert not matches_any((pattern,), "-" * 8000 + "/")


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*-a", "x-a-a", True),
        ("*-*-*", "a-b-c-d", True),
        ("*-*-*", "a-b", False),
        ("a*b*c", "axbxbxc", True),
        ("a*b*c", "abc", False),
        ("*/b*c", "x/bbc", True),
    ],
)
def test_several_stars_in_one_part_match_like_one_after_the_other(
    pattern: str, text: str, matches: bool
) -> None:
    assert matches_any((pattern,), text) is matches
