"""Somebody with two hundred groups passes a gateway whose services need five of them."""

from collections.abc import Iterator

import pytest

from tests.e2e.gateway import Edge, bearer, running_edge_alone, session
from tests.e2e.gateway_shop import gateway_configuration, partner_token
from tests.e2e.test_gateway_requests import claims_of
from tests.support.envoy import Json
from tests.support.openid_provider import OpenIdProvider
from tests.support.upstream import Upstream

pytestmark = pytest.mark.every_envoy

# As long as the identifiers that directories give to groups.
GROUPS = [f"group-{number:08}-0000-4000-8000-000000000000" for number in range(200)]
NEEDED, ASKED = GROUPS[:5], GROUPS[150]


@pytest.fixture(scope="module")
def edge(
    envoy_version: str,
    openid_provider: OpenIdProvider,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    directory = tmp_path_factory.mktemp("gateway")
    routes: list[Json] = [
        {
            "name": "limited",
            "match": {"path": "/limited"},
            "allow": {"any_group": [ASKED]},
            "token": {"audiences": ["orders"], "groups": [*NEEDED]},
        },
        {
            "name": "pattern",
            "match": {"path": "/pattern"},
            "allow": {"when": f"{ASKED!r} in token.groups && token.groups.size() == 200"},
            "token": {"audiences": ["orders"], "groups": ["group-0000000*-0000-4000-8000-*"]},
        },
        {
            "name": "all",
            "match": {"path": "/all"},
            "allow": {"authenticated": True},
            "token": {"audiences": ["orders"]},
        },
        {
            "name": "kept",
            "match": {"path": "/kept"},
            "allow": {"any_group": [*NEEDED]},
            "token": {"audiences": ["orders"]},
        },
    ]
    configuration = gateway_configuration(
        directory, openid_provider, routes=routes, limits={"token_bytes": 16384}
    )
    (kept,) = [each for each in configuration["credentials"] if "session" in each]
    kept["session"]["groups"] = [*NEEDED]
    with running_edge_alone(envoy_version, directory, configuration, upstream) as running:
        yield running


def test_a_rule_sees_all_groups_and_the_token_carries_what_its_route_names(edge: Edge) -> None:
    who = bearer(partner_token(groups=GROUPS))

    limited = edge.request(who, target="/limited")
    matched = edge.request(who, target="/pattern")

    assert claims_of(limited.token)["groups"] == NEEDED
    assert claims_of(matched.token)["groups"] == GROUPS[:10]


def test_a_token_that_would_be_too_large_says_what_limits_it(edge: Edge) -> None:
    passage = edge.request(bearer(partner_token(groups=GROUPS)), target="/all")

    assert (passage.response.status, passage.reason) == (403, "identity_too_large")
    assert not passage.reached_the_service


def test_a_session_keeps_the_groups_that_it_names(edge: Edge) -> None:
    held = session(edge.begin_session(bearer(partner_token(groups=GROUPS))))

    assert claims_of(edge.request(held, target="/kept").token)["groups"] == NEEDED
    assert edge.request(held, target="/limited").reason == "missing_group"


def test_a_group_that_is_not_declared_is_seen_by_no_rule_and_carried_by_no_token(
    edge: Edge,
) -> None:
    dressed = [f"staff,{ASKED}", f"{ASKED},staff", f"{ASKED}/x", f" {ASKED}", "*", "group-*"]
    carried = [*dressed, *NEEDED]

    assert edge.request(bearer(partner_token(groups=dressed)), target="/limited").reason == (
        "missing_group"
    )
    passage = edge.request(bearer(partner_token(groups=carried)), target="/kept")
    assert claims_of(passage.token)["groups"] == sorted(["group-*", f"{ASKED},staff", *NEEDED])
