import pytest

from sidecar.check.conditions import Condition, ConditionError

REQUEST = {"method": "GET", "host": "h", "path": "/a", "params": {"id": "7"}, "caller": ""}


@pytest.mark.parametrize(
    ("expression", "claims", "holds"),
    [
        ("claims.sub == request.params.id", {"sub": "7"}, True),
        ("claims.sub == request.params.id", {"sub": "8"}, False),
        ("'admin' in claims.roles", {"roles": ["admin"]}, True),
        ("request.method == 'GET' && request.caller == ''", {}, True),
        ("claims['https://shop.test/tier'] == 'gold'", {"https://shop.test/tier": "gold"}, True),
    ],
)
def test_a_condition_is_a_question_about_claims_and_request(
    expression: str, claims: dict[str, object], holds: bool
) -> None:
    assert Condition(expression).holds(claims, REQUEST) is holds


@pytest.mark.parametrize(
    ("expression", "claims"),
    [
        ("claims.missing == 'x'", {}),
        ("claims.n > 3", {"n": "three"}),
        ("claims.n > 3", {"n": 10**400}),
        ("claims.admin", {"admin": "yes"}),
        ("claims.a.b.c == 1", {"a": 1}),
        ("claims.n == 'a'", {"n": "\ud800"}),
    ],
    ids=[
        "missing claim",
        "other type",
        "beyond 64 bits",
        "not a boolean",
        "no such level",
        "half of a surrogate pair",
    ],
)
def test_a_condition_that_cannot_be_evaluated_has_no_answer(
    expression: str, claims: dict[str, object]
) -> None:
    assert Condition(f"{expression} && true").holds(claims, REQUEST) is None


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("claims.sub ==", r"at 1:1\d: "),
        ("nobody.sub == 'a'", "undeclared reference to 'nobody.sub'"),
        ("1 + 'a' == 2", "no matching overload"),
        ("'text'", "it must be true or false"),
        ("claims.admin", "it must be true or false"),
        ("(" * 100 + "true" + ")" * 100, "recursion limit exceeded"),
    ],
)
def test_a_condition_that_cannot_be_used_says_where_and_why(expression: str, problem: str) -> None:
    with pytest.raises(ConditionError, match=problem):
        Condition(expression)
