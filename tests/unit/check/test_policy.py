import pytest

from sidecar.check.conditions import Condition
from sidecar.check.policy import Requirement, evaluate
from sidecar.check.refusal import Refusal
from sidecar.model import Reason, TokenKind, VerifiedToken

CALLER = "spiffe://shop/a"


def facts() -> dict[str, object]:
    return {"method": "GET", "host": "", "path": "/", "params": {}, "caller": CALLER}


TOKEN = VerifiedToken(
    trust="gateway",
    kind=TokenKind.REQUEST,
    issuer="https://gateway.shop.test",
    subject="alice",
    claims={"sub": "alice", "level": 3},
    scopes=frozenset({"read", "write"}),
    roles=frozenset({"clerk"}),
    groups=frozenset({"sales"}),
    fingerprint="",
)


@pytest.mark.parametrize(
    "requirement",
    [
        Requirement(),
        Requirement(scopes=("read",)),
        Requirement(scopes=("write", "read")),
        Requirement(any_role=frozenset({"clerk", "manager"})),
        Requirement(any_group=frozenset({"sales"})),
        Requirement(callers=("spiffe://shop/*",)),
        Requirement(when=Condition("claims.level >= 3")),
        Requirement(tokens=frozenset({TokenKind.WORKLOAD, TokenKind.REQUEST})),
        Requirement(trusts=frozenset({"gateway", "partners"})),
    ],
)
def test_what_a_requirement_names_holds(requirement: Requirement) -> None:
    assert evaluate(requirement, TOKEN, CALLER, facts) is None


@pytest.mark.parametrize(
    ("requirement", "refusal"),
    [
        (
            Requirement(tokens=frozenset({TokenKind.WORKLOAD, TokenKind.EXTERNAL})),
            Refusal(
                Reason.TOKEN_KIND_NOT_ACCEPTED,
                "it is a request token; accepted: external, workload",
            ),
        ),
        (
            Requirement(scopes=("read", "ship", "pay")),
            Refusal(Reason.INSUFFICIENT_SCOPE, "missing: ship pay", scopes=("read", "ship", "pay")),
        ),
        (
            Requirement(any_role=frozenset({"manager", "admin"})),
            Refusal(Reason.MISSING_ROLE, "one of: admin, manager"),
        ),
        (
            Requirement(any_group=frozenset({"support"})),
            Refusal(Reason.MISSING_GROUP, "one of: support"),
        ),
        (
            Requirement(callers=("spiffe://shop/ns/*", "spiffe://shop/b")),
            Refusal(Reason.CALLER_NOT_ALLOWED, "accepted are: spiffe://shop/ns/*, spiffe://shop/b"),
        ),
        (
            Requirement(when=Condition("claims.level > 3")),
            Refusal(Reason.CONDITION_NOT_MET, "claims.level > 3"),
        ),
        (
            Requirement(when=Condition("claims.other > 3")),
            Refusal(Reason.CONDITION_FAILED, "claims.other > 3"),
        ),
    ],
    ids=lambda value: value.reason.label if isinstance(value, Refusal) else "",
)
def test_a_requirement_that_does_not_hold_says_what_would(
    requirement: Requirement, refusal: Refusal
) -> None:
    assert evaluate(requirement, TOKEN, CALLER, facts) == refusal


def test_all_of_what_is_named_must_hold() -> None:
    requirement = Requirement(scopes=("read",), any_role=frozenset({"manager"}))

    assert evaluate(requirement, TOKEN, CALLER, facts) is not None


def test_a_token_of_another_issuer_is_refused_where_issuers_are_named() -> None:
    requirement = Requirement(trusts=frozenset({"sso", "partners"}))
    assert evaluate(requirement, TOKEN, CALLER, facts) == Refusal(
        Reason.TOKEN_KIND_NOT_ACCEPTED, "it is from gateway; accepted: partners, sso"
    )


def test_no_caller_is_none_of_those_listed() -> None:
    refusal = evaluate(Requirement(callers=("*",)), TOKEN, "", facts)

    assert refusal is not None
    assert refusal.reason is Reason.CALLER_NOT_ALLOWED


def test_an_anonymous_request_is_held_against_callers_and_condition() -> None:
    # Scopes and roles are a token's; an optional route cannot ask them of nobody.
    assert evaluate(Requirement(optional=True, scopes=("read",)), None, CALLER, facts) is None
    assert (
        evaluate(Requirement(optional=True, callers=("nobody",)), None, CALLER, facts) is not None
    )

    no_claims = Condition("!has(claims.sub)")
    assert evaluate(Requirement(optional=True, when=no_claims), None, CALLER, facts) is None


def test_the_request_is_described_only_where_a_condition_asks() -> None:
    def describe() -> dict[str, object]:
        raise AssertionError

    requirement = Requirement(scopes=("read",), callers=(CALLER,))
    assert evaluate(requirement, TOKEN, CALLER, describe) is None
