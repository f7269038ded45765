"""Keys at a gateway: one of its own that is revoked, and those of a partner that is away."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from time import time

import pytest
from jwt import PyJWK

from sidecar.clients.http import HttpClient, HttpSettings
from sidecar.clients.http import Response as HttpAnswer
from tests.e2e.gateway import Edge, bearer, running_edge_alone
from tests.e2e.gateway_deployment import running_shop
from tests.e2e.gateway_replicas import running_replica
from tests.e2e.gateway_rings import Directory
from tests.e2e.gateway_shop import gateway_configuration, partner_token
from tests.e2e.keys_authorities import TIMES
from tests.e2e.keys_pod import Note
from tests.e2e.shop import AUDIENCE
from tests.support.gateway_process import ISSUER, keys
from tests.support.key_server import KeyServer, close_at_once
from tests.support.openid_provider import OpenIdProvider
from tests.support.processes import eventually
from tests.support.tokens import Json, SigningKey, claims, key_for, sign
from tests.support.upstream import Upstream


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeyServer]:
    """Where a partner publishes its keys."""
    (tmp_path / "partner").mkdir()
    with KeyServer(tmp_path / "partner") as running:
        running.publish(key_for("ES256"))
        yield running


def stolen_from(ring: Path) -> SigningKey:
    """The private key in a ring of one key."""
    (key,) = json.loads((ring / "ring.json").read_bytes())["keys"]
    jwk = key["jwk"]
    return SigningKey(jwk["kid"], jwk["alg"], PyJWK(jwk).key)


def test_revoked_key_is_let_go_of_everywhere_by_the_time_that_the_command_prints(
    envoy_version: str, tmp_path: Path, record_property: Note
) -> None:
    place = Directory(tmp_path / "ring")
    with running_shop(envoy_version, tmp_path, place) as shop:
        stolen = stolen_from(place.path)
        admin = {"sub": "mallory", "realm_access": {"roles": ["admin"]}}
        document = claims(issuer=ISSUER, audience=AUDIENCE, subject="bob", lifetime=3600)
        forged = sign({**document, **admin}, stolen)
        assert shop.statuses(forged) == {200}

        printed = keys(place.path, "rotate", "--revoke", stolen.kid, "--force")
        line = next(line for line in printed.splitlines() if "accepted nowhere after" in line)
        until = datetime.fromisoformat(line.split()[5]).timestamp()
        # No request is sent meanwhile: the pods are idle.
        eventually(lambda: not shop.knows(stolen.kid))
        record_property("revoked", f"{until - time():.2f} s before the printed time")
        assert shop.statuses(forged) == {401}
        assert shop.ask().status == 200


def test_gateway_sends_its_keys_once_to_a_verifier_that_asks_again_and_again(
    tmp_path: Path,
) -> None:
    place = Directory(tmp_path / "ring")

    async def ask_twice(url: str) -> tuple[HttpAnswer, HttpAnswer]:
        client = HttpClient(HttpSettings(allow_http=True))
        first = await client.get(url)
        second = await client.get(url, known=first)
        await client.close()
        return first, second

    (tmp_path / "gateway").mkdir()
    with running_replica(tmp_path / "gateway", place) as gateway:
        first, second = asyncio.run(ask_twice(gateway.jwks_url))
        assert second.body is first.body, "it was not transferred"
        # As long as verifiers keep it anyway: no cache on the way makes it older than that.
        assert second.headers["Cache-Control"] == "public, max-age=1"

        keys(place.path, "rotate", "--early")
        eventually(lambda: len(gateway.published_kids()) == 2)
        _, changed = asyncio.run(ask_twice(gateway.jwks_url))
        assert changed.body != first.body


@pytest.fixture
def edge(
    envoy_version: str,
    upstream: Upstream,
    openid_provider: OpenIdProvider,
    server: KeyServer,
    tmp_path: Path,
) -> Iterator[Edge]:
    """Its gateway starts while the partner is away."""
    server.misbehave(close_at_once)
    directory = tmp_path / "gateway"
    directory.mkdir()
    configuration = gateway_configuration(
        directory, openid_provider, start_timeout="0s", limits={"key_wait": "150ms"}
    )
    source = {"url": server.jwks_url, "ca_file": str(server.ca_file)}
    slow = {**TIMES, "refresh": "1h", "max_stale": "2h"}
    configuration["trust"][0]["keys"] = {"jwks": {**source, **slow}}
    with running_edge_alone(envoy_version, directory, configuration, upstream) as running:
        yield running


@pytest.mark.parametrize("first", ["request", "login"])
def test_partner_that_is_back_is_asked_again_by_the_first_who_has_a_token_of_it(
    edge: Edge, server: KeyServer, first: str
) -> None:
    token = bearer(partner_token())

    def failures() -> float:
        return edge.gateway.metric(
            "sidecar_key_refreshes_total", issuer="partner", result="failure"
        )

    # By now the next attempt comes after more than 7 seconds, if nobody asks.
    eventually(lambda: failures() >= 4)
    refused = edge.request(token)
    assert (refused.response.status, refused.reason) == (503, "keys_unavailable")
    login = edge.gateway.internal("POST", "/session", [token])
    assert (login.status, login.json()["reason"]) == (503, "keys_unavailable")

    due = partner(edge)["next_refresh"]
    server.behave()
    if first == "request":
        eventually(lambda: edge.status(token) == 200)
    else:
        eventually(lambda: edge.gateway.internal("POST", "/session", [token]).status == 204)
    assert partner(edge)["last_success"] < due


def partner(edge: Edge) -> Json:
    """What the gateway's status page says about the partner's keys."""
    status: Json = edge.gateway.status_page()["issuers"]["partner"]
    return status
