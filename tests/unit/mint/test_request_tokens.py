import re
from dataclasses import replace
from typing import Any

import pytest

from sidecar.mint.request_tokens import actor, claims
from sidecar.mint.settings import Grant
from tests.support.checks import NOW
from tests.support.login_page import PAGE
from tests.support.minting import GRANT, ISSUER, SETTINGS, credential

BFF = "spiffe://shop/ns/web/sa/bff"
ACTORS = replace(SETTINGS, actors=("spiffe://shop/ns/*/sa/*",))


def minted(source: dict[str, object] | None = None, **changes: Any) -> dict[str, object]:
    document, ends = claims(SETTINGS, GRANT, credential(source or {}, **changes), "", NOW)
    assert document["exp"] == ends
    return document


def test_a_token_says_what_rfc_9068_demands() -> None:
    document = minted()

    assert document["iss"] == ISSUER
    assert document["sub"] == "alice"
    assert document["aud"] == ["orders", "payments"]
    assert document["client_id"] == "shop-web"
    assert document["iat"] == int(NOW)
    assert document["exp"] == int(NOW) + 60
    assert document["jti"]


def test_the_scope_is_what_both_the_route_and_the_credential_have() -> None:
    assert minted()["scope"] == "orders:read"


def test_scopes_are_in_order_so_that_equal_grants_look_alike() -> None:
    assert minted(scopes=frozenset({"payments:pay", "orders:read"}))["scope"] == (
        "orders:read payments:pay"
    )


@pytest.mark.parametrize("scopes", [frozenset[str](), frozenset({"reviews:write"})])
def test_without_a_common_scope_there_is_none(scopes: frozenset[str]) -> None:
    assert "scope" not in minted(scopes=scopes)


def test_a_route_without_scopes_grants_none() -> None:
    document, _ = claims(SETTINGS, Grant(("orders",), frozenset()), credential(), "", NOW)

    assert "scope" not in document


@pytest.mark.parametrize("ends", [NOW + 12, NOW + 12.9])
def test_a_token_does_not_outlive_the_credential(ends: float) -> None:
    assert minted({"exp": ends})["exp"] == int(NOW) + 12


def test_a_credential_without_an_end_gives_a_token_of_the_usual_life() -> None:
    document, _ = claims(SETTINGS, GRANT, credential()._replace(claims={}), "", NOW)

    assert document["exp"] == int(NOW) + 60


def test_dates_are_whole_seconds() -> None:
    document, _ = claims(SETTINGS, GRANT, credential(), "", NOW + 0.75)

    assert (document["iat"], document["exp"]) == (int(NOW), int(NOW) + 60)


def test_groups_and_roles_are_those_the_credential_was_read_to_have() -> None:
    document = minted(groups=frozenset({"gold", "eu"}), roles=frozenset({"customer"}))

    assert document["groups"] == ["eu", "gold"]
    assert document["roles"] == ["customer"]


NAMES = frozenset({"sales", "team-a", "team-b", "team-a:lead", "team-a,admins", "*", "team-*"})


@pytest.mark.parametrize("kind", ["groups", "roles"])
@pytest.mark.parametrize(
    ("patterns", "carried"),
    [
        (("*",), sorted(NAMES)),
        (("sales",), ["sales"]),
        (("sales", "nobody"), ["sales"]),
        (("team-*",), ["team-*", "team-a", "team-a,admins", "team-b"]),
        (("team-*:lead", "sales"), ["sales", "team-a:lead"]),
        (("admins",), None),
        (("sale", "Sales", "sales "), None),
    ],
)
def test_a_token_carries_the_groups_and_roles_of_its_route(
    kind: str, patterns: tuple[str, ...], carried: list[str] | None
) -> None:
    grant = Grant(("orders",), frozenset(), **{kind: patterns})

    who = credential(groups=NAMES, roles=NAMES)

    document, _ = claims(SETTINGS, grant, who, "", NOW)

    assert document.get(kind) == carried


def test_without_groups_and_roles_nothing_is_said_of_them() -> None:
    assert minted().keys().isdisjoint({"groups", "roles"})


def test_how_the_subject_was_authenticated_is_kept() -> None:
    source = {"auth_time": NOW - 60, "acr": "urn:mace:silver", "amr": ["pwd", "otp"]}

    assert minted(source).items() >= source.items()


@pytest.mark.parametrize(
    "source",
    [
        {"auth_time": "yesterday"},
        {"auth_time": True},
        {"acr": 2},
        {"amr": "pwd"},
        {"amr": ["pwd", 7]},
    ],
)
def test_what_is_not_well_formed_is_left_out(source: dict[str, object]) -> None:
    assert minted(source).keys().isdisjoint(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"client_id": "web", "azp": "other"}, "web"),
        ({"client_id": None, "azp": "app"}, "app"),
        ({"client_id": "", "azp": 7}, "sso"),
        ({"client_id": ["web"]}, "sso"),
    ],
)
def test_the_client_is_named_by_client_id_then_azp_then_the_credential(
    source: dict[str, object], expected: str
) -> None:
    assert minted(source)["client_id"] == expected


def test_the_page_about_sessions_has_every_claim_there_is() -> None:
    source = credential(
        {"auth_time": NOW, "acr": "gold", "amr": ["pwd"]},
        roles=frozenset({"clerk"}),
        groups=frozenset({"gold"}),
    )
    document, _ = claims(SETTINGS, GRANT, source, BFF, NOW)
    section = PAGE.read_text().partition("## What the services get")[2].partition("\n## ")[0]

    told = {
        name
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }

    assert told == document.keys()


def test_further_claims_are_copied_under_the_names_the_configuration_gives() -> None:
    settings = replace(SETTINGS, claims=(("department", ("profile", "dept")), ("vip", ("vip",))))
    source = credential({"profile": {"dept": "toys"}, "secret": "not named"})

    document, _ = claims(settings, GRANT, source, "", NOW)

    assert document["department"] == "toys"
    assert document.keys().isdisjoint({"vip", "secret", "profile"})


def test_a_copied_claim_never_replaces_one_of_ours() -> None:
    settings = replace(SETTINGS, claims=(("sub", ("other",)), ("aud", ("other",))))

    document, _ = claims(settings, GRANT, credential({"other": "root"}), "", NOW)

    assert (document["sub"], document["aud"]) == ("alice", ["orders", "payments"])


def test_the_transaction_is_never_the_one_a_client_names() -> None:
    first, second = minted({"txn": "mine", "jti": "mine"}), minted({"txn": "mine", "jti": "mine"})

    assert len({first["txn"], second["txn"], first["jti"], second["jti"], "mine"}) == 5


def test_a_million_tokens_have_a_million_ids() -> None:
    source = credential()
    seen = {claims(SETTINGS, GRANT, source, "", NOW)[0]["jti"] for _ in range(1_000_000)}

    assert len(seen) == 1_000_000


def test_a_workload_that_calls_for_somebody_is_the_actor() -> None:
    found = actor(ACTORS, credential(), BFF)
    document, _ = claims(ACTORS, GRANT, credential(), found, NOW)

    assert document["sub"] == "alice"
    assert document["act"] == {"sub": BFF}


@pytest.mark.parametrize("actor", ["", BFF])
@pytest.mark.parametrize("act", [{"sub": "app"}, {"sub": BFF, "act": {"sub": "app"}}, "app", None])
def test_nobody_but_who_was_authenticated_here_is_an_actor(act: object, actor: str) -> None:
    document, _ = claims(ACTORS, GRANT, credential({"act": act}), actor, NOW)

    assert document.get("act") == ({"sub": BFF} if actor else None)


@pytest.mark.parametrize(
    ("principal", "subject"),
    [
        ("", "alice"),
        ("spiffe://elsewhere/ns/web/sa/bff", "alice"),
        ("spiffe://shop/ns/web/sa/bff/deeper", "alice"),
        (BFF, BFF),
    ],
)
def test_nobody_acts_whom_the_configuration_does_not_list(principal: str, subject: str) -> None:
    assert actor(ACTORS, credential(subject=subject), principal) == ""


def test_without_actors_in_the_configuration_nobody_acts() -> None:
    assert actor(SETTINGS, credential(), BFF) == ""
