"""Where a claim is read, and where others of its name are."""

from typing import Any

import pytest

from sidecar.cli.claim_places import describe, format_claim, problem_of


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("roles",), "roles"),
        (("realm_access", "roles"), "[realm_access, roles]"),
        (("a\nb",), "a\\nb"),
    ],
)
def test_a_claim_is_named_as_a_configuration_names_it(path: tuple[str, ...], text: str) -> None:
    assert format_claim(path) == text


@pytest.mark.parametrize(
    ("claims", "path", "problem"),
    [
        ({"roles": ["a"]}, ("roles",), ""),
        ({"roles": []}, ("roles",), ""),
        ({}, ("roles",), "as roles is missing"),
        ({"roles": None}, ("roles",), "as roles is missing"),
        ({"a": {"roles": 1}}, ("roles",), "as roles is missing; there is [a, roles]"),
        ({"a": {"roles": 1}}, ("a.roles",), "as a.roles is missing; there is [a, roles]"),
        ({"roles": 1}, ("a", "roles"), "as [a, roles] is missing; there is roles"),
        ({"a": {"b": {"roles": 1}}, "roles": 2}, ("x", "roles"), "; there is roles, [a, b, roles]"),
        ({"a": {"roles": {}}}, ("roles",), "as roles is missing"),
        ({"roles": {"roles": ["a"]}}, ("roles",), "as roles is an object; there is [roles, roles]"),
        ({"https://a.b/roles": 1}, ("roles",), "as roles is missing; there is https://a.b/roles"),
        ({"cognito:groups": 1}, ("groups",), "as groups is missing; there is cognito:groups"),
        ({"scp": "a"}, ("scope",), "as scope is missing; there is scp"),
        ({"scope": "a"}, ("scp",), "as scp is missing; there is scope"),
        ({"role": 1, "xroles": 2}, ("roles",), "as roles is missing"),
    ],
)
def test_a_claim_that_is_missing_is_found_under_other_names(
    claims: dict[str, Any], path: tuple[str, ...], problem: str
) -> None:
    found = problem_of(claims, path)

    assert found.endswith(problem)
    assert bool(found) == bool(problem)
    assert describe({**claims, "x": 1}, ("x",)) == "1, in x"


def test_a_token_made_to_fill_the_screen_does_not() -> None:
    claims = {f"claim{number}": {"roles": "a"} for number in range(100)}

    assert problem_of(claims, ("roles",)).count("[") == 5
