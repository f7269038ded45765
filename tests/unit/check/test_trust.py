from dataclasses import replace
from typing import Any

import pytest

from sidecar.check.jws import JoseHeader, UnverifiedToken
from sidecar.check.refusal import Refusal
from sidecar.check.trust import RequiredValue, TrustEntry
from sidecar.check.verifier import TrustTable
from sidecar.model import Reason
from tests.support.checks import CLUSTER, CLUSTER_ISSUER, GATEWAY, ISSUER

TABLE = TrustTable([GATEWAY, CLUSTER])


def unverified(type_: str | None, claims: dict[str, object]) -> UnverifiedToken:
    return UnverifiedToken(JoseHeader("ES256", None, type_), claims, b"", b"", b"")


def select(issuer: object, type_: str | None) -> TrustEntry | Refusal:
    claims: dict[str, object] = {"iss": issuer} if issuer is not None else {}
    return TABLE.select(unverified(type_, claims))


def test_issuer_and_type_choose_the_entry() -> None:
    assert select(ISSUER, "at+jwt") is GATEWAY
    assert select(CLUSTER_ISSUER, None) is CLUSTER


@pytest.mark.parametrize(
    "issuer",
    [f"{ISSUER}/", ISSUER.upper(), f" {ISSUER}", "", None, 7, [ISSUER], {ISSUER: 1}],
)
def test_the_issuer_is_compared_exactly(issuer: object) -> None:
    assert select(issuer, "at+jwt") == Refusal(Reason.UNTRUSTED_ISSUER)


@pytest.mark.parametrize("type_", ["jwt", "workflow+jwt", "", None])
def test_a_trusted_issuer_is_trusted_for_its_types_only(type_: str | None) -> None:
    assert select(ISSUER, type_) == Refusal(
        Reason.WRONG_TOKEN_TYPE, "this issuer's tokens may have the typ: at+jwt"
    )


def test_a_token_with_a_type_is_none_of_an_issuer_that_sets_none() -> None:
    assert select(CLUSTER_ISSUER, "at+jwt") == Refusal(
        Reason.WRONG_TOKEN_TYPE, "this issuer's tokens may have the typ: none"
    )


def test_one_issuer_may_have_entries_for_several_types() -> None:
    workflow = replace(GATEWAY, name="workflow", types=frozenset({"workflow+jwt"}))
    token = unverified("workflow+jwt", {"iss": ISSUER})

    assert TrustTable([GATEWAY, workflow]).select(token) is workflow


def test_two_entries_for_the_same_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="gateway and copy accept the same tokens"):
        TrustTable([GATEWAY, replace(GATEWAY, name="copy")])


def required(**values: str | int | list[str | int]) -> tuple[RequiredValue, ...]:
    return tuple(
        RequiredValue.of((name,), value if isinstance(value, list) else [value])
        for name, value in values.items()
    )


ACCESS = replace(GATEWAY, name="access", claim_values=required(token_use="access"))
IDENTITY = replace(GATEWAY, name="identity", claim_values=required(token_use=["id", "userinfo"]))


@pytest.mark.parametrize(
    ("claims", "chosen"),
    [({"token_use": "access"}, ACCESS), ({"token_use": "userinfo", "sub": "x"}, IDENTITY)],
)
def test_a_required_value_tells_entries_of_one_issuer_and_type_apart(
    claims: dict[str, object], chosen: TrustEntry
) -> None:
    token = unverified("at+jwt", {"iss": ISSUER, **claims})

    assert TrustTable([ACCESS, IDENTITY]).select(token) is chosen


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({}, "token_use is missing"),
        ({"token_use": None}, "token_use is missing"),
        ({"token_use": "refresh"}, "token_use differs"),
        ({"token_use": ["access"]}, "token_use differs"),
        ({"token_use": {"access": "access"}}, "token_use differs"),
        ({"token_use": "Access"}, "token_use differs"),
    ],
)
def test_a_token_with_the_required_values_of_no_entry_is_of_the_wrong_type(
    claims: dict[str, object], problem: str
) -> None:
    token = unverified("at+jwt", {"iss": ISSUER, **claims})

    assert TrustTable([ACCESS, IDENTITY]).select(token) == Refusal(
        Reason.WRONG_TOKEN_TYPE, f"it has the claim_values of none of access, identity: {problem}"
    )


def test_values_are_compared_by_their_json_type() -> None:
    (number,), (boolean,) = required(level=1), required(level=True)

    assert number.accepts(1)
    assert not any(map(number.accepts, (True, 1.0, "1", None)))
    assert boolean.accepts(True)
    assert not any(map(boolean.accepts, (1, "true", False, [True])))
    assert replace(GATEWAY, claim_values=(number,)).differs_from(
        replace(GATEWAY, claim_values=(boolean,))
    )


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"use": "id"},
        {"token_use": ["id", "access"]},
        {"token_use": "access", "email_verified": True},
    ],
)
def test_entries_that_could_accept_one_token_are_refused(other: dict[str, Any]) -> None:
    copy = replace(ACCESS, name="copy", claim_values=required(**other))

    with pytest.raises(ValueError, match="access and copy accept the same tokens"):
        TrustTable([ACCESS, copy])
