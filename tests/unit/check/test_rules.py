"""What a route asks for, rule by rule."""

import pytest

from sidecar.check.conditions import Condition
from sidecar.check.refusal import Refusal
from sidecar.check.routes import Routed
from sidecar.check.rules import (
    Acr,
    AnyGroup,
    AnyRole,
    AnyScope,
    Callers,
    Credentials,
    MaxAge,
    NamedTokens,
    Rule,
    Scopes,
    Subject,
    TokenKinds,
    When,
)
from sidecar.config.condition_fields import compiled
from sidecar.model import Reason, TokenKind, VerifiedToken
from tests.support.checks import NOW, request, route

CALLER = "spiffe://shop/a"


def facts() -> dict[str, object]:
    return {"method": "GET", "host": "", "path": "/", "params": {}, "caller": CALLER}


TOKEN = VerifiedToken(
    trust="gateway",
    kind=TokenKind.REQUEST,
    issuer="https://gateway.shop.test",
    subject="alice",
    claims={"sub": "alice", "level": 3, "auth_time": NOW - 300, "acr": "gold"},
    scopes=frozenset({"read", "write"}),
    roles=frozenset({"clerk"}),
    groups=frozenset({"sales"}),
    fingerprint="",
    credential="mobile",
)
ALICE = Subject(TOKEN, CALLER, NOW, facts)
NOBODY = Subject(None, CALLER, NOW, facts)


def refusal(
    *rules: Rule, token: VerifiedToken | None = TOKEN, caller: str = CALLER
) -> Refusal | None:
    """What a route with these rules has against a request."""
    view = request(principal=caller)
    return Routed(view, route("a", "/a", *rules), "/a").refusal(token, NOW)


@pytest.mark.parametrize(
    "rule",
    [
        Scopes(("read",)),
        Scopes(("write", "read")),
        AnyScope(("admin", "read")),
        AnyRole(frozenset({"clerk", "manager"})),
        AnyGroup(frozenset({"sales"})),
        MaxAge(300.0),
        Acr(("silver", "gold")),
        Callers(("spiffe://shop/*",)),
        When(Condition("claims.level >= 3")),
        TokenKinds(frozenset({TokenKind.WORKLOAD, TokenKind.REQUEST})),
        TokenKinds(frozenset(), frozenset({NamedTokens(TokenKind.REQUEST, "gateway")})),
        TokenKinds(
            frozenset({TokenKind.REQUEST}), frozenset({NamedTokens(TokenKind.EXTERNAL, "idp")})
        ),
        Credentials(frozenset({"mobile", "partners"})),
    ],
)
def test_what_a_rule_names_holds(rule: Rule) -> None:
    assert rule.refusal(ALICE) is None


@pytest.mark.parametrize(
    ("rule", "refused", "described"),
    [
        (
            TokenKinds(frozenset({TokenKind.WORKLOAD, TokenKind.EXTERNAL})),
            Refusal(
                Reason.TOKEN_KIND_NOT_ACCEPTED,
                "it is of kind request; accepted: external, workload",
            ),
            "tokens: external, workload",
        ),
        (
            TokenKinds(
                frozenset({TokenKind.WORKLOAD}),
                frozenset({NamedTokens(TokenKind.EXTERNAL, "gateway")}),
            ),
            Refusal(
                Reason.TOKEN_KIND_NOT_ACCEPTED,
                "it is of request:gateway; accepted: external:gateway, workload",
            ),
            "tokens: external:gateway, workload",
        ),
        (
            Credentials(frozenset({"sso", "partners"})),
            Refusal(Reason.TOKEN_KIND_NOT_ACCEPTED, "it is of mobile; accepted: partners, sso"),
            "credentials: partners, sso",
        ),
        (
            Scopes(("read", "ship", "pay")),
            Refusal(
                Reason.INSUFFICIENT_SCOPE,
                "missing: ship pay",
                challenge=(("scope", "read ship pay"),),
            ),
            "scopes: pay, read, ship",
        ),
        (
            AnyScope(("ship", "admin")),
            Refusal(
                Reason.INSUFFICIENT_SCOPE, "one of: ship, admin", challenge=(("scope", "ship"),)
            ),
            "any_scope: admin, ship",
        ),
        (
            AnyScope(("ship", "admin"), ("read", "write")),
            Refusal(
                Reason.INSUFFICIENT_SCOPE,
                "one of: ship, admin",
                challenge=(("scope", "read write ship"),),
            ),
            "any_scope: admin, ship",
        ),
        (
            AnyRole(frozenset({"manager", "admin"})),
            Refusal(Reason.MISSING_ROLE, "one of: admin, manager"),
            "any_role: admin, manager",
        ),
        (
            AnyGroup(frozenset({"support"})),
            Refusal(Reason.MISSING_GROUP, "one of: support"),
            "any_group: support",
        ),
        (
            MaxAge(299.0),
            Refusal(
                Reason.INSUFFICIENT_USER_AUTHENTICATION,
                "the user was not authenticated within the last 299 s",
                challenge=(("max_age", "299"),),
            ),
            "max_age: 299s",
        ),
        (
            Acr(("urn:a:1", "urn:a:2")),
            Refusal(
                Reason.INSUFFICIENT_USER_AUTHENTICATION,
                "acr is none of: urn:a:1, urn:a:2",
                challenge=(("acr_values", "urn:a:1 urn:a:2"),),
            ),
            "acr: urn:a:1, urn:a:2",
        ),
        (
            Callers(("spiffe://shop/ns/*", "spiffe://shop/b")),
            Refusal(Reason.CALLER_NOT_ALLOWED, "accepted are: spiffe://shop/ns/*, spiffe://shop/b"),
            "callers: spiffe://shop/b, spiffe://shop/ns/*",
        ),
        (
            When(Condition("claims.level > 3")),
            Refusal(Reason.CONDITION_NOT_MET, "claims.level > 3"),
            "when: claims.level > 3",
        ),
        (
            When(Condition("claims.level / 0 > 3")),
            Refusal(Reason.CONDITION_FAILED, "claims.level / 0 > 3"),
            "when: claims.level / 0 > 3",
        ),
        (
            When(compiled("claims.other > 3")),
            Refusal(Reason.CONDITION_FAILED, "claims.other is missing: claims.other > 3"),
            "when: claims.other > 3",
        ),
    ],
)
def test_a_rule_that_does_not_hold_says_what_would(
    rule: Rule, refused: Refusal, described: str
) -> None:
    assert rule.refusal(ALICE) == refused
    assert refused.reason in rule.reasons
    assert rule.describe() == described


def test_all_of_what_is_named_must_hold() -> None:
    assert refusal(Scopes(("read",))) is None
    assert refusal(Scopes(("read",)), AnyRole(frozenset({"manager"}))) is not None


@pytest.mark.parametrize(
    "moment", [None, True, "1800000000", NOW - 61, NOW + 61, 10**400, [NOW], float("inf")]
)
def test_a_user_who_was_not_authenticated_just_now_is_refused(moment: object) -> None:
    told = TOKEN._replace(claims={} if moment is None else {"auth_time": moment})

    refused = refusal(MaxAge(60.0), token=told)
    assert refused is not None
    assert refused.reason is Reason.INSUFFICIENT_USER_AUTHENTICATION


def test_a_claim_about_the_login_that_is_missing_is_called_missing() -> None:
    told = TOKEN._replace(claims={})
    refused = [refusal(MaxAge(60.0), token=told), refusal(Acr(("gold", "silver")), token=told)]

    assert [each and each.detail for each in refused] == [
        "auth_time is missing",
        "acr is missing; accepted: gold, silver",
    ]
    odd = refusal(MaxAge(60.0), token=TOKEN._replace(claims={"auth_time": "now"}))
    assert odd is not None
    assert odd.detail == "auth_time is not a date"


@pytest.mark.parametrize("moment", [NOW, NOW - 60, NOW + 1, int(NOW), NOW - 0.5])
def test_a_user_who_was_authenticated_just_now_is_not(moment: float) -> None:
    assert refusal(MaxAge(60.0), token=TOKEN._replace(claims={"auth_time": moment})) is None


@pytest.mark.parametrize("acr", [None, "", "gold ", "Gold", ["gold"], 1, True])
def test_another_authentication_class_is_refused(acr: object) -> None:
    told = TOKEN._replace(claims={} if acr is None else {"acr": acr})

    assert refusal(Acr(("gold",)), token=told) is not None


def test_rules_of_two_kinds_are_never_equal() -> None:
    names = frozenset({"staff"})
    assert len({AnyRole(names), AnyGroup(names)}) == 2
    assert len({Scopes(("read",)), AnyScope(("read",))}) == 2


@pytest.mark.parametrize("scope", ["read write", "rea", "READ", "*", "read,write"])
def test_another_scope_is_not_one_of_several(scope: str) -> None:
    token = TOKEN._replace(scopes=frozenset({scope}))

    assert refusal(AnyScope(("read", "write")), token=token) is not None


def test_no_caller_is_none_of_those_listed() -> None:
    refused = refusal(Callers(("*",)), caller="")

    assert refused is not None
    assert refused.reason is Reason.CALLER_NOT_ALLOWED


def test_an_anonymous_request_is_held_against_callers_and_condition() -> None:
    # Scopes and roles are a token's; an optional route cannot ask them of nobody.
    assert refusal(Scopes(("read",)), token=None) is None
    assert refusal(Callers(("nobody",)), token=None) is not None
    assert refusal(When(Condition("!has(claims.sub)")), token=None) is None


@pytest.mark.parametrize(
    "rule",
    [
        TokenKinds(frozenset({TokenKind.REQUEST})),
        Credentials(frozenset({"sso"})),
        Scopes(("read",)),
        AnyScope(("read",)),
        AnyRole(frozenset({"clerk"})),
        AnyGroup(frozenset({"sales"})),
        MaxAge(60.0),
        Acr(("gold",)),
    ],
)
def test_a_rule_about_tokens_never_holds_for_a_request_without_one(rule: Rule) -> None:
    assert rule.needs_token
    with pytest.raises(ValueError, match="asked about an anonymous request"):
        rule.refusal(NOBODY)


def test_the_request_is_described_only_where_a_condition_asks() -> None:
    def describe() -> dict[str, object]:
        raise AssertionError

    subject = Subject(TOKEN, CALLER, NOW, describe)
    assert Scopes(("read",)).refusal(subject) is None
    assert Callers((CALLER,)).refusal(subject) is None
