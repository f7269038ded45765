"""Many issuers with one key set, and an issuer whose tokens have no kid, through a real Envoy."""

from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from tests.e2e.keys_pod import KeysPod, keys_pod
from tests.e2e.shop import AUDIENCE
from tests.support.key_server import KeyServer
from tests.support.pod import Exchange
from tests.support.tokens import Json, new_key, sign
from tests.support.tokens import claims as token_claims
from tests.support.upstream import Upstream

TENANTS = [f"tenant-{number}" for number in range(1000)]
LOGIN = "https://login.shop.internal/{tid}/v2.0"
NAMELESS = "https://nameless.shop.internal"
KEY, OTHER, NEXT = (new_key("ES256", name) for name in ("one", "other", "next"))
COOLDOWN = 1.0


def trust(server: KeyServer, name: str, path: str, **entry: object) -> Json:
    source = {
        "url": server.url + path,
        "ca_file": str(server.ca_file),
        "refresh": "1h",
        "cooldown": f"{COOLDOWN:g}s",
        "max_stale": "2h",
    }
    usual = {"kind": "external", "audiences": [AUDIENCE], "algorithms": ["ES256"], "types": ["jwt"]}
    return {"name": name, **usual, "keys": {"jwks": source}, **entry}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    with KeyServer(tmp_path_factory.mktemp("keys")) as server:
        tenants = "https://login.shop.internal/{tenantid}/v2.0"
        one = LOGIN.replace("{tid}", TENANTS[7])
        server.documents["/tenants"] = {
            "keys": [KEY.jwk(issuer=tenants), OTHER.jwk(issuer=one)],
        }
        server.documents["/nameless"] = {"keys": [KEY.jwk()]}
        yield server


@pytest.fixture(scope="module")
def pod(
    envoy_version: str,
    upstream: Upstream,
    server: KeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KeysPod]:
    pattern = {"pattern": LOGIN, "values": TENANTS}
    entries = [
        trust(server, "tenants", "/tenants", issuer_pattern=pattern),
        trust(server, "nameless", "/nameless", issuer=NAMELESS, without_kid=True),
    ]
    with keys_pod(
        envoy_version,
        upstream,
        tmp_path_factory.mktemp("pod"),
        trust=entries,
        identity={"headers": {"x-user-id": "sub", "x-tenant": "tid"}},
        routes=[
            {"name": "orders", "match": {"path": "/orders/**"}, "allow": {"tokens": ["external"]}}
        ],
        limits={"key_wait": "5s"},
    ) as pod:
        yield pod


def token(tenant: str, key: Any = KEY, **changes: Any) -> str:
    usual = {"issuer": LOGIN.replace("{tid}", tenant), "tid": tenant}
    claims = token_claims(**{**usual, "audience": AUDIENCE, "subject": "alice", **changes})
    return sign(claims, key, typ="JWT")


def reached(pod: KeysPod, text: str) -> Exchange:
    answer = pod.pod.request(target="/orders/1", token=text)
    assert answer.response.status == 200, pod.status_page()["recent_denials"][:1]
    return answer


def denial(pod: KeysPod, text: str) -> tuple[str, str]:
    """The reason that the client is told, and the detail that the operator sees besides."""
    response = pod.ask(text)
    latest = pod.status_page()["recent_denials"][0]
    assert latest["detail"].encode() not in response.body
    return response.json()["reason"], latest["detail"]


def test_a_thousand_tenants_have_their_keys_fetched_once(pod: KeysPod, server: KeyServer) -> None:
    for tenant in TENANTS[::111]:
        received = reached(pod, token(tenant)).received
        assert received.values("x-user-id") == [b"alice"]
        assert received.values("x-tenant") == [tenant.encode()]

    assert [path for path, _ in server.requests].count("/tenants") == 1
    assert set(pod.status_page()["issuers"]) == {"tenants", "nameless"}


def test_a_client_is_not_told_what_the_operator_is(pod: KeysPod) -> None:
    with_slash = token("tenant-7", issuer=LOGIN.replace("{tid}", "tenant-7") + "/")

    assert denial(pod, with_slash) == (
        "untrusted_issuer",
        f"it differs from {LOGIN.replace('{tid}', 'tenant-7')} in slashes or the case of letters "
        f"alone; trusted: {LOGIN}, {NAMELESS}",
    )
    assert denial(pod, token("tenant-7", issuer="https://else.test")) == (
        "untrusted_issuer",
        f"trusted: {LOGIN}, {NAMELESS}",
    )


def test_a_key_that_is_published_for_one_tenant_signs_for_no_other(pod: KeysPod) -> None:
    reached(pod, token("tenant-7", OTHER))

    assert denial(pod, token("tenant-8", OTHER)) == (
        "unknown_key",
        "the key is in the set of tenants, for another issuer alone",
    )


def nameless(key: Any) -> str:
    claims = token_claims(issuer=NAMELESS, audience=AUDIENCE, subject="alice", lifetime=600)
    return sign(claims, key, typ="JWT", kid=None)


def test_a_new_key_of_tokens_without_a_kid_is_fetched_once_for_all_who_wait(
    pod: KeysPod, server: KeyServer
) -> None:
    reached(pod, nameless(KEY))
    server.documents["/nameless"] = {"keys": [KEY.jwk(), NEXT.jwk()]}
    before = fetches(server)

    reached(pod, nameless(NEXT))
    reached(pod, nameless(NEXT))

    assert fetches(server) == before + 1


def test_forged_tokens_without_a_kid_cause_one_fetch_per_cooldown(
    pod: KeysPod, server: KeyServer
) -> None:
    forged = nameless(new_key("ES256", "forged"))
    assert denial(pod, forged) == ("unknown_key", "no key of nameless has signed it")
    before, began = fetches(server), monotonic()

    reasons = {pod.ask(forged).json()["reason"] for _ in range(20)}

    assert reasons == {"unknown_key"}
    assert fetches(server) - before <= (monotonic() - began) / COOLDOWN + 1
    reached(pod, nameless(KEY))


def fetches(server: KeyServer) -> int:
    return [path for path, _ in server.requests].count("/nameless")
