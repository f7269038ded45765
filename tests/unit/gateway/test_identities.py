"""What a credential may bring, and under which names."""

from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.gateway.identities import Identities
from sidecar.gateway.settings import Attributes
from sidecar.model import VerifiedToken
from tests.support.minting import credential


def accepted(
    attributes: Attributes | None, claims: Mapping[str, object] = {}, **changes: Any
) -> VerifiedToken:
    identities = Identities({"partner": "partner:"}, {"partner": attributes})
    return identities.of("partner", credential(claims, **changes))


@pytest.mark.parametrize("kind", ["roles", "groups"])
@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), set()),
        (("clerk",), {"clerk"}),
        (("acme-*",), {"acme-a"}),
        (("acme-*", "clerk"), {"acme-a", "clerk"}),
        (("*",), {"clerk", "acme-a", "acme-a/b", "admin"}),
        (("*/*",), {"acme-a/b"}),
    ],
)
def test_of_roles_and_groups_those_that_are_listed_are_brought(
    kind: str, patterns: tuple[str, ...], expected: set[str]
) -> None:
    names = frozenset({"clerk", "acme-a", "acme-a/b", "admin"})
    attributes = Attributes(roles=patterns, groups=patterns)

    token = accepted(attributes, {kind: sorted(names)}, **{kind: names})

    assert getattr(token, kind) == expected
    assert token.claims.get(kind, []) == sorted(expected)


@pytest.mark.parametrize("name", ["acr", "amr", "auth_time", "tenant", "act", "may_act", "cnf"])
def test_a_claim_that_is_not_listed_is_dropped(name: str) -> None:
    assert name not in accepted(Attributes(), {name: "silver"}).claims


def test_a_claim_that_is_listed_is_brought_as_it_is() -> None:
    token = accepted(Attributes(claims=(("acr",), ("tenant",))), {"acr": "silver", "tenant": [7]})

    assert (token.claims["acr"], token.claims["tenant"]) == ("silver", [7])


def test_of_an_object_the_part_that_is_listed_is_brought() -> None:
    profile = {"department": {"name": "toys", "head": "eve"}, "level": 9, "secret": True}
    source: dict[str, object] = {"profile": profile}
    paths = (("profile", "department", "name"), ("profile", "level"), ("profile", "none"))

    token = accepted(Attributes(claims=paths), source)

    assert token.claims["profile"] == {"department": {"name": "toys"}, "level": 9}
    assert source == {"profile": profile}


def test_the_whole_object_takes_the_place_of_its_part() -> None:
    source: dict[str, object] = {"profile": {"department": "toys", "level": 9}}

    token = accepted(Attributes(claims=(("profile", "level"), ("profile",))), source)

    assert token.claims["profile"] == source["profile"]


def test_roles_that_stand_deeper_are_seen_under_their_usual_name_alone() -> None:
    access = {"realm_access": {"roles": ["clerk", "admin"]}}

    token = accepted(Attributes(roles=("clerk",)), access, roles=frozenset({"clerk", "admin"}))

    assert token.claims["roles"] == ["clerk"]
    assert "realm_access" not in token.claims


def test_subjects_and_clients_of_another_issuer_are_told_apart() -> None:
    token = accepted(Attributes(), {"sub": "alice", "client_id": "shop-web", "azp": "shop-web"})

    assert token.subject == "partner:alice"
    assert [token.claims[name] for name in ("sub", "client_id", "azp")] == [
        "partner:alice",
        "partner:shop-web",
        "partner:shop-web",
    ]


@pytest.mark.parametrize("client", [None, "", 7, ["shop-web"]])
def test_a_client_without_a_name_stays_without_one(client: object) -> None:
    assert "client_id" not in accepted(Attributes(), {"client_id": client}).claims


def test_a_session_of_the_gateways_own_has_what_was_brought_when_it_began() -> None:
    session = credential({"tenant": "a", "roles": ["clerk"]}, roles=frozenset({"clerk"}))

    assert Identities({}, {"session": None}).of("session", session) is session


def test_a_credential_of_which_nothing_is_declared_is_a_bug() -> None:
    with pytest.raises(KeyError):
        Identities({}, {}).of("sso", credential())


@pytest.mark.parametrize(
    ("prefix", "filled"),
    [
        ("{tid}:", "t-1:"),
        ("entra {tid}/", "entra t-1/"),
        ("{iss}:", "https://login.test/t-1:"),
    ],
)
def test_a_prefix_may_have_what_was_verified_of_the_issuer_in_it(prefix: str, filled: str) -> None:
    identities = Identities({"partner": prefix}, {"partner": Attributes()})
    token = credential({"iss": "https://login.test/t-1", "tid": "t-1", "azp": "app"})

    identity = identities.of("partner", token)

    assert identity.subject == f"{filled}alice"
    assert identity.claims["sub"] == f"{filled}alice"
    assert identity.claims["azp"] == f"{filled}app"
    assert "tid" not in identity.claims
