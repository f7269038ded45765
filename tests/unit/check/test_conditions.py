import pytest

from sidecar.check.conditions import Condition, ConditionError
from sidecar.config.condition_fields import compiled
from tests.support.minting import credential

REQUEST = {"method": "GET", "host": "h", "path": "/a", "params": {"id": "7"}, "caller": ""}


def holds(expression: str, claims: dict[str, object]) -> bool | str:
    """The answer of a condition that was loaded from a configuration."""
    return compiled(expression).holds(credential()._replace(claims=claims), REQUEST)


@pytest.mark.parametrize(
    ("expression", "claims", "answer"),
    [
        ("claims.sub == request.params.id", {"sub": "7"}, True),
        ("claims.sub == request.params.id", {"sub": "8"}, False),
        ("'admin' in claims.roles", {"roles": ["admin"]}, True),
        ("request.method == 'GET' && request.caller == ''", {}, True),
        ("claims['https://shop.test/tier'] == 'gold'", {"https://shop.test/tier": "gold"}, True),
    ],
)
def test_a_condition_is_a_question_about_claims_and_request(
    expression: str, claims: dict[str, object], answer: bool
) -> None:
    assert holds(expression, claims) is answer


@pytest.mark.parametrize(
    "expression",
    [
        "token.scopes == ['read', 'write'] && token.roles == ['a', 'b'] && token.groups == ['x,y']",
        "token.scopes.exists(scope, scope.startsWith('wri')) && !('read write' in token.scopes)",
        "token . scopes[0] == 'read'",
    ],
)
def test_scopes_roles_and_groups_are_sorted_lists_whatever_their_claims(expression: str) -> None:
    token = credential()._replace(
        claims={"scp": "write read"},
        scopes=frozenset({"write", "read"}),
        roles=frozenset({"b", "a"}),
        groups=frozenset({"x,y"}),
    )

    assert Condition(expression).holds(token, REQUEST) is True


def test_an_anonymous_request_has_no_claims_and_empty_lists() -> None:
    expression = "token.scopes == [] && token.roles == [] && token.groups == [] && claims == {}"

    assert Condition(expression).holds(None, REQUEST) is True


@pytest.mark.parametrize(
    ("expression", "claims", "cause"),
    [
        ("claims.missing == 'x'", {}, "claims.missing is missing"),
        ("claims.tenants[0] == claims.sub", {"sub": "a"}, "claims.tenants is missing"),
        ("request.params.id in claims.tenants", {}, "claims.tenants is missing"),
        ("claims['https://a/b'] == 'x'", {}, 'claims["https://a/b"] is missing'),
        ("claims.a.b.c == 1", {"a": {}}, "claims.a.b is missing"),
        ("has(claims.a.b)", {}, "claims.a is missing"),
        ("claims.a.b.c == 1", {"a": 1}, "claims.a is not an object"),
        ("has(claims.x.t) || claims.y.t == 1", {"x": {}, "y": {}}, "claims.y.t is missing"),
        ("'t' in claims.x || claims.y.t == 1", {"x": {}, "y": {}}, "claims.y.t is missing"),
        ("claims.a.x == 1 && claims.b.y == 1", {"a": {"x": 1}, "b": {}}, "claims.b.y is missing"),
        ("claims.y == 1 || claims.x.y == 1", {"x": {}, "y": 2}, "claims.x.y is missing"),
        (
            "claims.n > 3",
            {"n": "three"},
            "no operator or function takes values of these types: _>_(string, int64)",
        ),
        ("claims.admin", {"admin": "yes"}, "no operator or function takes values of these types"),
        ("claims.n > 3", {"n": 10**400}, ""),
        ("claims.n == 'a'", {"n": "\ud800"}, ""),
        ("claims.list.all(each, each.x == 1)", {"list": [{}]}, "x is missing"),
        ("claims[claims.sub] == 1", {"sub": "nobody"}, ""),
        ("claims.n / 0 == 1 || claims.a.b == 1", {"n": 1, "a": 1}, ""),
    ],
)
def test_a_condition_that_cannot_be_evaluated_names_what_it_lacks(
    expression: str, claims: dict[str, object], cause: str
) -> None:
    answer = holds(f"{expression} && true", claims)

    assert isinstance(answer, str)
    assert answer.startswith(cause)
    assert bool(answer) == bool(cause)


@pytest.mark.parametrize(
    ("expression", "claims"),
    [
        ("claims[claims.sub] == 1", {"sub": "s3cret"}),
        ("claims.n.matches(claims.sub)", {"n": "a", "sub": "(s3cret"}),
        ("int(claims.sub) == 1", {"sub": "s3cret"}),
        ("claims.list['s' + claims.sub] == 1", {"sub": "s3cret", "list": {}}),
        ("request.params[claims.sub] == ''", {"sub": "s3cret"}),
    ],
)
def test_the_cause_has_no_value_of_a_token(expression: str, claims: dict[str, object]) -> None:
    assert holds(expression, claims) == ""


@pytest.mark.parametrize("expression", ["claims.sub ==", "nobody.sub == 'a'", "'text'", "claims.a"])
def test_an_expression_that_is_no_condition_is_refused(expression: str) -> None:
    with pytest.raises(ConditionError):
        Condition(expression)
