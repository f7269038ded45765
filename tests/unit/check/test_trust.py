from dataclasses import replace

import pytest

from sidecar.check.jws import JoseHeader, UnverifiedToken
from sidecar.check.refusal import Refusal
from sidecar.check.trust import TrustEntry
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
