"""Routes that keep encoded slashes, behind an Envoy that lets them through: what reaches whom."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy

import pytest

from tests.e2e import shop
from tests.e2e.conftest import StartSidecar
from tests.e2e.gateway import Edge, bearer, running_edge, running_edge_alone
from tests.e2e.gateway_shop import (
    HOSTS,
    gateway_configuration,
    partner_token,
    service_configuration,
)
from tests.support import envoy, http2
from tests.support.envoy import Json
from tests.support.gateway_process import GatewayProcess
from tests.support.http1 import HOST
from tests.support.openid_provider import OpenIdProvider
from tests.support.pod import Pod, running_pod
from tests.support.pod_fixtures import StartPod
from tests.support.ports import socket_directory
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream

pytestmark = pytest.mark.every_envoy

PROJECT: Json = {"methods": ["GET"], "path": "/projects/{id}", "encoded_slashes": "keep"}
ROUTES: list[Json] = [
    {
        "name": "project",
        "match": PROJECT,
        "allow": {"when": "claims.project == request.params.id"},
    },
    {
        "name": "package",
        "match": {"path": "/npm/{package}", "encoded_slashes": "keep"},
        "allow": {"public": True},
    },
    {
        "name": "verb",
        "match": {"path": "/v1/{name}:cancel", "encoded_slashes": "keep"},
        "allow": {"public": True},
    },
    {"name": "admin", "match": {"path": "/admin/**"}, "allow": {"any_role": ["admin"]}},
    # Whatever no other route takes: it must never take an encoded slash.
    {"name": "site", "match": {"path": "/**"}, "allow": {"public": True}},
]
# Each under a prefix that belongs to a route which keeps encoded slashes.
ATTACKS = [
    *("a%2F..%2Fadmin", "a%2f..%2fadmin", "..%2Fadmin", "..%2F..%2Fadmin", "a%2F..", "a%2F."),
    *(".%2Fa", "a%2F.%2Fb", "a%2F%2e%2e%2Fb", "%2e%2e%2Fadmin", "x/%2e%2e%2Fadmin"),
    *("%2Fadmin", "a%2F", "a%2f%2fb", "a%2F%2Fb", "a%2F/b", "a/%2Fb", "a%2F;b", "a%2F..;%2Fadmin"),
    *("a%2Fb%252Fc", "a%2F%252e%252e%2Fadmin", "a%252F..%2Fb", "a%2Fb%5Cc", "a%2F%5c..%5cadmin"),
    *("a%2Fb%00", "a%2Fb%0d%0a", "a%2Fb%FF", "a%2Fb%zz", "a%2F\\b"),
]


def letting_slashes_through(configuration: Json) -> Json:
    manager = envoy.http_connection_manager(configuration)
    manager["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"
    return configuration


@pytest.fixture(scope="module")
def keeping_pod(start_sidecar: StartSidecar, start_pod: StartPod) -> Pod:
    configuration = letting_slashes_through(envoy.load(envoy.PLAIN))
    envoy.routes(configuration).insert(
        0,
        {
            "match": {"prefix": "/named/"},
            "route": {"cluster": "application"},
            "typed_per_filter_config": envoy.checked_as("package"),
        },
    )
    return start_pod(start_sidecar(routes=ROUTES), configuration)


@pytest.mark.parametrize(
    "target",
    ["/npm/@babel%2fcore", "/npm/@babel%2Fcore", "/npm/a%2Fb%2fc[1]", "/v1/a%2Fb:cancel"],
)
def test_service_gets_the_path_as_it_was_sent(keeping_pod: Pod, target: str) -> None:
    exchange = keeping_pod.request(target=target)

    assert exchange.response.status == 200
    assert exchange.received.path == target


@pytest.mark.parametrize("target", ["/projects/group%2Fproject", "/projects/gr%6fup%2fproject"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_condition_sees_the_canonical_text_with_nothing_decoded(
    keeping_pod: Pod, target: str, method: str
) -> None:
    def status(project: str) -> int:
        token = shop.token(project=project)
        return keeping_pod.request(method, target, token=token).response.status

    assert status("group%2Fproject") == 200
    assert status("group/project") == 403
    assert status("group%252Fproject") == 403


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("prefix", ["/projects/", "/npm/", "/v1/", "/named/", "/admin/", "/"])
def test_encoded_slash_that_may_lead_elsewhere_is_refused(
    keeping_pod: Pod, prefix: str, attack: str
) -> None:
    token = shop.token(roles=["admin"])
    exchange = keeping_pod.request(target=prefix + attack, token=token)

    assert exchange.response.status == 400
    assert exchange.response.json()["reason"] == "unsafe_path"
    assert not exchange.reached_the_application


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/projects/group%2Fproject"),
        ("GET", "/admin/a%2Fb"),
        ("GET", "/other/a%2Fb"),
        ("GET", "/npm%2Fa"),
        ("GET", "/npm/a%2Fb/c"),
        ("GET", "/v1/a%2F:cancel"),
        ("GET", "/named/a%2Fb"),
    ],
)
def test_encoded_slash_is_not_left_to_a_route_that_does_not_keep_it(
    keeping_pod: Pod, method: str, target: str
) -> None:
    token = shop.token(project="group%2Fproject", roles=["admin"])
    exchange = keeping_pod.request(method, target, token=token)

    assert exchange.response.status == 400
    assert exchange.access_log["reason"] == "unsafe_path"
    assert not exchange.reached_the_application


def test_encoded_slash_passes_over_http_2_as_well(keeping_pod: Pod) -> None:
    def answer(path: str) -> tuple[bytes, list[str]]:
        request_id = uuid.uuid4().hex
        fields = http2.fields("GET", path, HOST, [("x-request-id", request_id)])
        body = http2.request(keeping_pod.envoy.address, fields)
        return body, [each.path for each in keeping_pod.upstream.received(request_id)]

    assert answer("/npm/a%2fb")[1] == ["/npm/a%2fb"]
    body, arrived = answer("/npm/a%2f..%2fb")
    assert (json.loads(body)["reason"], arrived) == ("unsafe_path", [])


def test_envoy_as_shipped_lets_none_through(
    start_sidecar: StartSidecar, start_pod: StartPod
) -> None:
    exchange = start_pod(start_sidecar(routes=ROUTES)).request(target="/npm/a%2Fb")

    assert exchange.response.status == 400
    assert exchange.access_log["response_details"] == "path_normalization_failed"


# At the edge.


@pytest.fixture(scope="module")
def keeping_edge(
    envoy_version: str,
    openid_provider: OpenIdProvider,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    _, *others = deepcopy(ROUTES)
    routes: list[Json] = [
        {"name": "project", "match": PROJECT, "allow": {"authenticated": True}},
        *others,
    ]
    for each in routes:
        if "public" not in each["allow"]:
            each["token"] = {"audiences": ["orders"]}
    directory = tmp_path_factory.mktemp("gateway")
    configuration = gateway_configuration(directory, openid_provider, routes=routes)
    keeping = letting_slashes_through(envoy.load(envoy.GATEWAY))
    with running_edge_alone(envoy_version, directory, configuration, upstream, keeping) as edge:
        yield edge


@pytest.mark.parametrize("target", ["/projects/group%2Fproject", "/projects/group%2fproject"])
def test_gateway_mints_a_token_for_a_path_with_an_encoded_slash(
    keeping_edge: Edge, target: str
) -> None:
    passage = keeping_edge.request(bearer(partner_token()), target=target)

    assert passage.response.status == 200
    assert passage.received.path == target
    assert passage.token


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("prefix", ["/projects/", "/npm/", "/"])
def test_gateway_refuses_an_encoded_slash_that_may_lead_elsewhere(
    keeping_edge: Edge, prefix: str, attack: str
) -> None:
    passage = keeping_edge.request(bearer(partner_token()), target=prefix + attack)

    assert (passage.response.status, passage.reason) == (400, "unsafe_path")


def test_gateway_leaves_no_encoded_slash_to_another_route(keeping_edge: Edge) -> None:
    for method, target in (("POST", "/projects/a%2Fb"), ("GET", "/other/a%2Fb")):
        passage = keeping_edge.request(bearer(partner_token()), method=method, target=target)
        assert (passage.response.status, passage.reason) == (400, "unsafe_path")


# The edge and a pod behind it.


@pytest.fixture(scope="module")
def keeping_pair(
    envoy_version: str,
    openid_provider: OpenIdProvider,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Edge, Pod]]:
    """An edge and a pod behind it, which keep encoded slashes on the same routes."""
    directories = [tmp_path_factory.mktemp(name) for name in ("gateway", "sidecar", "pod", "edge")]
    routes: list[Json] = [
        {
            "name": "project",
            "match": PROJECT,
            "allow": {"when": "request.params.id in token.groups"},
        },
        *ROUTES[1:],
    ]
    at_the_edge = [
        each if "public" in each["allow"] else {**each, "token": {"audiences": ["orders"]}}
        for each in routes
    ]
    with ExitStack() as stack:
        gateway = stack.enter_context(
            GatewayProcess(
                gateway_configuration(directories[0], openid_provider, routes=at_the_edge),
                directories[0],
                stack.enter_context(socket_directory()),
            )
        )
        sidecar = stack.enter_context(
            SidecarProcess(
                {**service_configuration("orders", gateway), "routes": routes},
                directories[1],
                stack.enter_context(socket_directory()),
            )
        )
        pod = stack.enter_context(
            running_pod(
                envoy_version,
                directories[2],
                authz=sidecar.socket,
                upstream=upstream,
                configuration=letting_slashes_through(envoy.load(envoy.PLAIN)),
            )
        )
        edge = running_edge(
            envoy_version,
            directories[3],
            gateway,
            dict.fromkeys(HOSTS, pod.envoy.address),
            dict.fromkeys(HOSTS, upstream),
            configuration=letting_slashes_through(envoy.load(envoy.GATEWAY)),
        )
        yield stack.enter_context(edge), pod


@pytest.mark.parametrize(
    ("target", "group"),
    [
        ("/projects/group-a%2Fb", "group-a%2Fb"),
        ("/projects/group-a%2fb%20c", "group-a%2Fb%20c"),
        ("/projects/group-a%20b", "group-a%20b"),
    ],
)
def test_edge_and_pod_decide_about_the_path_that_the_service_gets(
    keeping_pair: tuple[Edge, Pod], target: str, group: str
) -> None:
    edge, pod = keeping_pair

    passage = edge.request(bearer(partner_token(groups=[group])), target=target)
    refused = edge.request(bearer(partner_token(groups=["group-a/b"])), target=target)

    assert passage.response.status == 200
    assert passage.received.path == target
    routes = passage.access_log["route"], pod.envoy.access_log(passage.request_id)["route"]
    assert routes == ("project", "project")
    assert refused.reason == "condition_not_met"


@pytest.mark.parametrize("prefix", ["/projects/group-", "/npm/", "/v1/", "/other/"])
def test_pod_takes_the_route_of_the_edge_for_whatever_passes_it(
    keeping_pair: tuple[Edge, Pod], prefix: str
) -> None:
    edge, pod = keeping_pair
    token = bearer(partner_token(groups=["group-a%2Fb", "group-a%20b"]))
    refused = pod.envoy.stats()["http.ingress.downstream_rq_4xx"]
    answers = [
        edge.request(token, target=prefix + rest)
        for rest in (*ATTACKS, "a%2Fb", "a%2fb", "a%2Fb:cancel", "a/b", "a%20b", "a/../b")
    ]

    passed = [each for each in answers if each.response.status == 200]
    assert passed
    for passage in passed:
        behind = pod.envoy.access_log(passage.request_id)
        assert behind["route"] == passage.access_log["route"]
        assert passage.received.path == behind["path"]
    assert pod.envoy.stats()["http.ingress.downstream_rq_4xx"] == refused
