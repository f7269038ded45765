"""Sessions of a real SSO, through the edge: alive, ended, and while the SSO cannot be asked."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.gateway import (
    SLACK,
    Edge,
    bearer,
    refused_for_now,
    running_edge_alone,
    session,
    sso,
)
from tests.e2e.gateway_shop import CACHE, SSO_TIMEOUT, gateway_configuration, partner_token
from tests.support.openid_provider import BRIEF_LIFETIME, OpenIdProvider
from tests.support.processes import eventually
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """The SSO, to be stopped at will."""
    with OpenIdProvider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def edge(
    envoy_version: str,
    provider: OpenIdProvider,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """The edge whose gateway asks this SSO."""
    directory = tmp_path_factory.mktemp("gateway")
    configuration = gateway_configuration(directory, provider)
    with running_edge_alone(envoy_version, directory, configuration, upstream) as running:
        yield running


@pytest.fixture
def paused(provider: OpenIdProvider) -> Iterator[OpenIdProvider]:
    """The SSO; a test may pause it."""
    try:
        yield provider
    finally:
        provider.resume()


def outcome(edge: Edge, held: str) -> int:
    """How a request with a session of the SSO is answered."""
    return edge.status(sso(held))


# Alive, and ended.


def test_a_session_is_good_while_it_is_alive(edge: Edge, provider: OpenIdProvider) -> None:
    assert edge.request(sso(provider.login("alice"))).reached_the_service

    refused = edge.request(sso("never-issued"))
    assert refused.reason == "inactive_session"
    assert not refused.reached_the_service


def test_the_request_after_a_session_has_ended_is_refused(
    edge: Edge, provider: OpenIdProvider
) -> None:
    held = provider.login("alice")
    assert outcome(edge, held) == 200

    provider.end(held)
    ended = time.monotonic()
    eventually(lambda: outcome(edge, held) == 401)

    assert time.monotonic() - ended < CACHE + SLACK
    assert edge.request(sso(held)).reason == "inactive_session"


def test_a_session_that_expires_in_the_middle_is_refused_from_then_on(
    edge: Edge, provider: OpenIdProvider
) -> None:
    held = provider.login("alice", brief=True)
    began = time.monotonic()
    assert outcome(edge, held) == 200

    eventually(lambda: outcome(edge, held) == 401)

    # No answer is believed for longer than its session lives.
    assert time.monotonic() - began < BRIEF_LIFETIME + SLACK


def test_all_requests_of_a_new_session_cost_one_question(
    edge: Edge, paused: OpenIdProvider
) -> None:
    held = paused.login("alice")
    before = paused.introspections
    paused.pause()

    with ThreadPoolExecutor(16) as clients:
        waiting = [clients.submit(outcome, edge, held) for _ in range(16)]
        # All of them are waiting for it.
        eventually(lambda: edge.envoy.stats()["cluster.gateway.upstream_rq_active"] == 16)
        paused.resume()
        statuses = [each.result() for each in waiting]

    assert statuses == [200] * 16
    assert paused.introspections == before + 1


# While nobody can be asked.


def test_a_slow_provider_costs_its_sessions_a_bounded_time_and_nobody_else_anything(
    edge: Edge, paused: OpenIdProvider
) -> None:
    held = paused.login("alice")
    own = edge.begin_session(sso(held))
    new = paused.login("bob")
    paused.pause()

    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(edge.request, sso(new))
        others = [edge.request(each) for each in (bearer(partner_token()), session(own))]
        passage = waiting.result()

    refused_for_now(passage, within=SSO_TIMEOUT + SLACK)
    # Whatever had to wait for the provider would have been refused.
    assert all(other.reached_the_service for other in others)

    paused.resume()
    eventually(lambda: outcome(edge, new) == 200)


def test_what_was_answered_before_an_outage_serves_until_its_time_is_over(
    edge: Edge, paused: OpenIdProvider
) -> None:
    held = paused.login("alice")
    asked = time.monotonic()
    assert outcome(edge, held) == 200
    paused.pause()

    assert outcome(edge, held) == 200
    statuses: list[int] = []

    def over() -> bool:
        statuses.append(outcome(edge, held))
        return statuses[-1] != 200

    eventually(over)

    assert statuses[-1] == 503
    assert CACHE <= time.monotonic() - asked < CACHE + SSO_TIMEOUT + SLACK
    paused.resume()
    eventually(lambda: outcome(edge, held) == 200)


def test_a_provider_that_is_down_takes_no_other_credential_with_it(
    edge: Edge, provider: OpenIdProvider
) -> None:
    own = edge.begin_session(sso(provider.login("alice")))
    provider.stop()
    try:
        refused_for_now(edge.request(sso("of-whomever")), within=SLACK)
        for credential in (bearer(partner_token()), session(own)):
            assert edge.request(credential).reached_the_service
        refused = edge.gateway.internal("POST", "/session", [sso("of-somebody-else")])
        assert refused.status == 503
        assert refused.values("set-cookie") == []
    finally:
        provider.start()

    held = provider.login("alice")
    eventually(lambda: outcome(edge, held) == 200)
