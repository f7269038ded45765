import pytest

from sidecar.check.conditions import ConditionError
from sidecar.config.condition_fields import compiled


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("claims.sub ==", r"at 1:1\d: "),
        (
            "nobody.sub == 'a'",
            'at 1:7: the variable "nobody.sub" is unknown; accepted: claims, req',
        ),
        ("claim.sub == 'a'", 'the variable "claim.sub" is unknown; did you mean "claims.sub"[?] '),
        ("requests.path == ''", 'did you mean "request.path"[?] accepted: claims, request, token'),
        ("token.scope == []", 'did you mean "token.scopes"[?] '),
        ("token.role == []", 'did you mean "token.roles"[?] '),
        ("token.sub == 'a'", 'did you mean "claims.sub"[?] '),
        ("'a' in scopes", 'did you mean "token.scopes"[?] '),
        (
            'request.headers.x-scope-orgid == "a"',
            r'a name with a hyphen is written in brackets: request.headers\["x-scope-orgid"\]',
        ),
        (
            '!("a" in claims.realm-access.roles)',
            r'a name with a hyphen is written in brackets: claims\["realm-access"\]',
        ),
        ("claims.a - nobody == 1", 'the variable "nobody" is unknown'),
        ("claims.a -nobody == 1", 'the variable "nobody" is unknown'),
        ("token['scopes'] == []", 'at 1:1: the variable "token" is unknown; '),
        (
            "claims.x.startWith('a')",
            'the function "startWith" is unknown; did you mean "startsWith"',
        ),
        (
            "true &&\n claims.l.exist(x, x == 1)",
            'at 2:16: the function "exist" is unknown; did you',
        ),
        ("now() > 1", 'at 1:4: the function "now" is unknown; accepted: all, exists'),
        (
            "'a' in claims.scope.split(' ')",
            "no function split; scopes are a list already, in token",
        ),
        ("token.scopes == 'x'", "no matching overload"),
        ("1 + 'a' == 2", "no matching overload"),
        ("'text'", "it must be true or false"),
        ("claims.admin", "it must be true or false"),
        ("(" * 100 + "true" + ")" * 100, "recursion limit exceeded"),
    ],
)
def test_a_condition_that_cannot_be_used_says_where_and_why(expression: str, problem: str) -> None:
    with pytest.raises(ConditionError, match=problem):
        compiled(expression)
