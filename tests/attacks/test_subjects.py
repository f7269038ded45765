"""Subjects that are made to look like those that are accepted, and subjects from another claim."""

from dataclasses import replace

import pytest

from sidecar.model import Reason
from tests.support.checks import GATEWAY, Service, request, token
from tests.support.tokens import Json

ORGANISATION = replace(GATEWAY, subjects=("repo:acme/**", "project_path:acme/*:ref:main"))
NAMED = replace(GATEWAY, subject_claim=("username",), required_claims=(("username",),))


@pytest.mark.parametrize("subject", ["repo:acme/site:ref:refs/heads/main", "repo:acme/site"])
def test_a_subject_of_the_organisation_passes(subject: str) -> None:
    assert Service(trust=(ORGANISATION,)).reason(request(token(subject=subject))) is (
        Reason.AUTHORIZED
    )


@pytest.mark.parametrize(
    "subject",
    [
        "repo:evil/site:ref:refs/heads/main",
        "repo:acme-evil/site",
        "repo:acme",
        "repo:acme/",
        "repo:acme/:ref",
        "repo:acme//site",
        "repo:ACME/site",
        "repo:acme:site",
        " repo:acme/site",
        "x/repo:acme/site",
        "repo:evil/repo:acme/site",
        "repo:evil/site:ref:refs/heads/repo:acme/site",
        "repo:acme/site/",
        "project_path:acme/site/more:ref:main",
        "project_path:acme/site:ref:main:ref:main",
        "project_path:acme/site:ref:main2",
        "",
        None,
    ],
)
def test_a_subject_beside_the_organisation_is_refused(subject: str | None) -> None:
    assert Service(trust=(ORGANISATION,)).reason(request(token(subject=subject))) is (
        Reason.UNTRUSTED_SUBJECT
    )


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"username": None},
        {"username": ""},
        {"username": ["alice"]},
        {"username": {"sub": "alice"}},
        {"username": 7},
        {"Username": "alice"},
        {"user": {"username": "alice"}},
        {"preferred_username": "alice", "email": "alice@example.org"},
    ],
)
def test_no_other_claim_takes_the_place_of_the_subject(claims: Json) -> None:
    # Each has a sub, alice.
    assert Service(trust=(NAMED,)).reason(request(token(**claims))) is Reason.INVALID_CLAIM


def test_a_username_that_is_somebody_elses_sub_is_only_a_username() -> None:
    allowed = Service(trust=(NAMED,)).allow(request(token(subject="bob", username="alice")))

    assert allowed.token is not None
    assert allowed.token.subject == "alice"


@pytest.mark.parametrize("cnf", [{"jkt": "0ZcOCORZ"}, {"x5t#S256": "bwcK0esc"}, {"jwk": {}}, {}])
@pytest.mark.parametrize("proof", [(), (("dpop", b"eyJhbGciOiJFUzI1NiJ9.e30.AA"),)])
def test_a_bound_token_is_refused_whatever_is_beside_it(
    cnf: Json, proof: tuple[tuple[str, bytes], ...]
) -> None:
    view = request(token(cnf=cnf), headers=proof, principal="spiffe://shop/ns/orders")
    service = Service()

    # The second time, the signature of the first is remembered.
    assert [service.reason(view), service.reason(view)] == [Reason.INVALID_CLAIM] * 2
