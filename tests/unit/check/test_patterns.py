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


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("repo:acme/site", True),
        ("repo:acme/site:ref:refs/heads/main", True),
        ("repo:acme/site:ref:refs/heads/main:", False),
        ("repo:acme/site//main", False),
        ("repo:acme/:main", False),
        ("repo:acme/", False),
        ("repo:acme", False),
        ("repo:acme-evil/site", False),
        ("repo:acme:site", False),
        ("xrepo:acme/site", False),
        ("repo:evil/repo:acme/site", False),
    ],
)
def test_two_stars_at_the_end_stand_for_one_or_more_parts(text: str, matches: bool) -> None:
    assert matches_any(("repo:acme/**",), text) is matches


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("repo:*/site:**", "repo:acme/site:ref:refs/heads/main", True),
        ("repo:*/site:**", "repo:acme/other/site:ref", False),
        ("repo:*-*/**", "repo:a-b-c/x", True),
        ("repo:*-b*c/**", "repo:x-bbc/y", True),
        ("a/**", "a/b\nc", True),
    ],
)
def test_stars_for_one_part_may_come_before_two_at_the_end(
    pattern: str, text: str, matches: bool
) -> None:
    assert matches_any((pattern,), text) is matches


@pytest.mark.parametrize("pattern", ["*-*", "*-*-*", "*-*-*-*-*/x", "*-*-*/**"])
@pytest.mark.parametrize("text", ["-" * 8000 + "/", "-/-" * 3000 + "//", "a:" * 4000])
def test_a_text_made_to_match_almost_takes_no_longer_than_another(pattern: str, text: str) -> None:
    # With backtracking some of these take minutes, and the test's time-out ends them.
    assert not matches_any((pattern,), text)


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
