from dataclasses import replace
from typing import Any

import pytest

from sidecar.check.jws import JoseHeader, UnverifiedToken
from sidecar.check.refusal import Refusal
from sidecar.check.trust import RequiredValue, TrustEntry
from sidecar.check.verifier import TrustTable
from sidecar.jose.issuers import IssuerTemplate
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


TRUSTED = f"trusted: {ISSUER}, {CLUSTER_ISSUER}"
NEARLY = f"it differs from {ISSUER} in slashes or the case of letters alone"


@pytest.mark.parametrize(
    ("issuer", "detail"),
    [
        (f" {ISSUER}", TRUSTED),
        (f"{ISSUER}:443", TRUSTED),
        ("", TRUSTED),
        (None, f"iss is missing; {TRUSTED}"),
        (7, f"iss is not a string; {TRUSTED}"),
        ([ISSUER], f"iss is not a string; {TRUSTED}"),
        ({ISSUER: 1}, f"iss is not a string; {TRUSTED}"),
        (f"{ISSUER}/", f"{NEARLY}; {TRUSTED}"),
        (ISSUER.upper(), f"{NEARLY}; {TRUSTED}"),
    ],
)
def test_the_issuer_is_compared_exactly(issuer: object, detail: str) -> None:
    assert select(issuer, "at+jwt") == Refusal(Reason.UNTRUSTED_ISSUER, detail)


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


def test_an_entry_without_another_like_it_is_chosen_whatever_the_values() -> None:
    """The values are checked with the other claims, once the signature is known to be valid."""
    alone = replace(GATEWAY, claim_values=required(token_use="access"))

    assert TrustTable((alone,)).select(unverified("at+jwt", {"iss": ISSUER})) is alone


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


def test_a_value_of_another_json_type_is_told_whichever_entry_would_accept_it() -> None:
    entries = [
        replace(GATEWAY, name=name, claim_values=required(protected=[protected], level=[1]))
        for name, protected in (("branch", "false"), ("main", True), ("tag", 2))
    ]
    token = unverified("at+jwt", {"iss": ISSUER, "protected": "true", "level": 1})

    assert TrustTable(entries).select(token) == Refusal(
        Reason.WRONG_TOKEN_TYPE,
        "it has the claim_values of none of branch, main, tag: protected differs in its JSON type "
        'alone: it is text, so write "true" in quotes',
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


PATTERN = IssuerTemplate("https://login.test/", "tid", "/v2.0")
ANY = replace(GATEWAY, issuers=frozenset(), pattern=PATTERN)
LISTED = replace(ANY, issuers=frozenset({PATTERN.filled("a")}))


def of_tenant(issuer: str, **claims: object) -> UnverifiedToken:
    return unverified("at+jwt", {"iss": issuer, **claims})


def refused(table: TrustTable, token: UnverifiedToken) -> str:
    refusal = table.select(token)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNTRUSTED_ISSUER
    return refusal.detail


def test_one_entry_may_have_many_issuers() -> None:
    many = replace(GATEWAY, issuers=frozenset({"https://a.test", "https://b.test"}))
    table = TrustTable([many, CLUSTER])

    assert table.select(of_tenant("https://a.test")) is many
    assert table.select(of_tenant("https://b.test")) is many
    assert "trusted: https://a.test, https://b.test, " in refused(
        table, of_tenant("https://c.test")
    )


def test_of_a_thousand_issuers_a_few_are_told_and_the_one_that_was_meant() -> None:
    issuers = frozenset(f"https://issuer.test/{number:04}" for number in range(1000))
    table = TrustTable([replace(GATEWAY, issuers=issuers)])

    assert refused(table, of_tenant("https://other.test")) == (
        "trusted: https://issuer.test/0000, https://issuer.test/0001, https://issuer.test/0002, "
        "https://issuer.test/0003, https://issuer.test/0004 and 995 more"
    )
    assert refused(table, of_tenant("https://Issuer.test/0777/")).startswith(
        "it differs from https://issuer.test/0777 in slashes or the case of letters alone; "
    )


@pytest.mark.parametrize("entry", [ANY, LISTED])
def test_the_claim_stands_in_the_issuer(entry: TrustEntry) -> None:
    table = TrustTable([CLUSTER, entry])
    accepts = "; gateway accepts https://login.test/{tid}/v2.0 with the claim tid in this place"

    assert table.select(of_tenant(PATTERN.filled("a"), tid="a")) is entry
    assert refused(table, of_tenant(PATTERN.filled("a"))) == f"tid is missing{accepts}"
    assert refused(table, of_tenant(PATTERN.filled("a"), tid="b")) == (
        f"tid is not what stands in iss{accepts}"
    )


def test_a_value_that_is_not_listed_is_told_as_such() -> None:
    table = TrustTable([LISTED])

    assert refused(table, of_tenant(PATTERN.filled("b"), tid="b")) == (
        "gateway does not list this value of tid"
    )
    assert refused(table, of_tenant("https://else.test")) == (
        "trusted: https://login.test/{tid}/v2.0"
    )


@pytest.mark.parametrize("entry", [ANY, LISTED])
@pytest.mark.parametrize("issuer", ["https://LOGIN.test/b/v2.0", "https://login.test/b/V2.0/"])
def test_an_issuer_that_is_nearly_one_of_a_pattern_is_told(entry: TrustEntry, issuer: str) -> None:
    assert refused(TrustTable([CLUSTER, entry]), of_tenant(issuer, tid="b")).startswith(
        "it differs from https://login.test/{tid}/v2.0 in slashes or the case of letters alone; "
    )


def test_entries_of_one_pattern_are_for_different_types() -> None:
    other = replace(ANY, name="other", types=frozenset({"jwt"}))
    table = TrustTable([ANY, other])
    token = unverified("jwt", {"iss": PATTERN.filled("a"), "tid": "a"})

    assert table.select(token) is other
    with pytest.raises(ValueError, match="gateway and copy accept the same tokens"):
        TrustTable([ANY, replace(ANY, name="copy")])
