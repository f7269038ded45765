"""Odd requests: Envoy, the rules and the application read the same one, or nobody does."""

import json
import uuid

import pytest

from tests.e2e import shop
from tests.support import envoy, http2
from tests.support.http1 import HOST, Connection, Field
from tests.support.pod import Pod
from tests.support.pod_fixtures import StartPod
from tests.support.processes import eventually
from tests.support.sidecar_process import SidecarProcess

pytestmark = pytest.mark.every_envoy


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/orders/1", "/orders/1"),
        ("/orders/1?next=/../admin//x", "/orders/1"),
        ("/orders/%31", "/orders/1"),
        ("/orders/./1", "/orders/1"),
        ("/admin/../orders/1", "/orders/1"),
        ("/admin/%2e%2E/orders/1", "/orders/1"),
        ("/orders/caf%C3%A9", "/orders/caf%C3%A9"),
        ("/orders/a%20b", "/orders/a%20b"),
        # What browsers send without encoding: Envoy encodes all but the brackets.
        ("/orders/a[1]", "/orders/a[1]"),
        ("/orders/a|b^c", "/orders/a%7Cb%5Ec"),
        ('/orders/"{a}`<b>', "/orders/%22%7Ba%7D%60%3Cb%3E"),
        ("/orders\\1", "/orders/1"),
        (f"http://{HOST}/orders/1", "/orders/1"),
    ],
)
def test_application_sees_the_path_that_was_allowed(pod: Pod, target: str, path: str) -> None:
    exchange = pod.request(target=target, token=shop.token())

    assert exchange.response.status == 200
    assert exchange.received.path == path


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/orders/../admin", 403),
        ("/orders/%2e%2e/admin", 403),
        ("/orders/.%2E/admin", 403),
        ("/orders/..\\admin", 403),
        ("/../../orders", 403),
        ("/Orders/1", 403),
        ("/orders/..%2Fadmin", 400),
        ("/orders/..%5cadmin", 400),
        ("/orders%2F1", 400),
        ("/orders/%252e%252e/admin", 200),
        ("//orders/1", 400),
        ("/orders//1", 400),
        ("/orders/1;v=2", 400),
        ("/orders/%3Badmin", 400),
        ("/orders/%00", 400),
        ("/orders/%0d%0a", 400),
        ("/orders/%FF", 400),
        ("/orders/%zz", 400),
        ("/orders/1#/../admin", 400),
        (b"/orders/caf\xe9", 400),
        ("*", 400),
        (b"/orders/a\xff", 400),
    ],
)
def test_path_that_can_be_read_in_two_ways_is_refused(
    pod: Pod, target: str | bytes, status: int
) -> None:
    exchange = pod.request(target=target, token=shop.token())

    assert exchange.response.status == status
    assert exchange.reached_the_application == (status == 200)


@pytest.mark.parametrize("host", [HOST, HOST.upper(), f"{HOST}:8080", f"{HOST}.", f"{HOST}.:80"])
def test_rule_for_a_host_holds_in_every_spelling_of_it(pod: Pod, host: str) -> None:
    exchange = pod.request(target="/by-host", headers=[("host", host)])

    assert exchange.response.status == 200


@pytest.mark.parametrize("host", ["", "evil.example", f"{HOST}.evil.example", f"evil@{HOST}"])
def test_rule_for_a_host_does_not_hold_for_another(pod: Pod, host: str) -> None:
    exchange = pod.request(target="/by-host", headers=[("host", host)])

    assert exchange.response.status in {400, 403}
    assert not exchange.reached_the_application


@pytest.mark.parametrize(
    "host",
    [
        "admin.shop.internal",
        "ADMIN.shop.internal",
        "Admin.Shop.Internal.",
        "aDMIN.shop.internal:80",
    ],
)
def test_condition_about_a_host_holds_in_every_spelling_of_it(pod: Pod, host: str) -> None:
    exchange = pod.request(target="/not-admin", headers=[("host", host)], token=shop.token())

    assert exchange.response.status == 403
    assert exchange.access_log["reason"] == "condition_not_met"


@pytest.mark.parametrize("method", ["get", "Get", "GET1", "G_ET", "GE.T", "gEt", "get-"])
@pytest.mark.parametrize("path", ["/healthz", "/orders/1"])
def test_method_that_is_not_capitals_and_hyphens_is_refused(
    pod: Pod, method: str, path: str
) -> None:
    request_id = uuid.uuid4().hex
    headers = [("x-request-id", request_id), ("authorization", f"Bearer {shop.token()}")]
    body = http2.request(pod.envoy.address, http2.fields(method, path, HOST, headers))

    answer = json.loads(body)
    assert (answer["status"], answer["reason"]) == (400, "invalid_method")
    assert pod.upstream.received(request_id) == []


@pytest.mark.parametrize("method", ["get", "Get", "GET1", "G_ET"])
def test_method_is_refused_over_http_1_as_well(pod: Pod, method: str) -> None:
    """By Envoy, or by the sidecar where Envoy lets it through."""
    with Connection(pod.envoy.address) as connection:
        assert connection.request(method, "/healthz").status == 400


@pytest.mark.parametrize("method", ["OPTIONS", "DELETE", "PROPFIND", "VERSION-CONTROL"])
def test_method_of_capitals_and_hyphens_passes_a_route_for_all(pod: Pod, method: str) -> None:
    request_id = uuid.uuid4().hex
    headers = [("x-request-id", request_id)]
    http2.request(pod.envoy.address, http2.fields(method, "/healthz", HOST, headers))

    (received,) = pod.upstream.received(request_id)
    assert received.method == method


@pytest.mark.parametrize("hosts", [[HOST, "evil.example"], ["evil.example", HOST], [HOST, HOST]])
def test_two_hosts_are_the_host_of_no_rule(pod: Pod, hosts: list[str]) -> None:
    exchange = pod.request(target="/by-host", headers=[("host", host) for host in hosts])

    assert exchange.response.status == 403
    assert not exchange.reached_the_application


# What Envoy sets, obeys or reads (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http).
ENVOYS_OWN = [
    *("x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries"),
    *("x-envoy-retriable-status-codes", "x-envoy-retriable-header-names"),
    *(
        "x-envoy-upstream-alt-stat-name",
        "x-envoy-upstream-canary",
        "x-envoy-upstream-stream-duration",
    ),
    *("x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms"),
    *("x-envoy-upstream-rq-timeout-alt-response", "x-envoy-upstream-service-time"),
    *(
        "x-envoy-expected-rq-timeout-ms",
        "x-envoy-attempt-count",
        "x-envoy-hedge-on-per-try-timeout",
    ),
    *("x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node"),
    *(
        "x-envoy-internal",
        "x-envoy-external-address",
        "x-envoy-force-trace",
        "x-envoy-peer-metadata",
    ),
    *("x-envoy-original-path", "x-envoy-original-host", "x-envoy-original-dst-host"),
    *("x-envoy-original-method", "x-envoy-original-url", "x-envoy-ip-tags", "x-envoy-ratelimited"),
    *(
        "x-envoy-decorator-operation",
        "x-envoy-auth-partial-body",
        "x-envoy-immediate-health-check-fail",
    ),
    *("x-envoy-auth-failure-mode-allowed", "x-envoy-is-timeout-retry", "x-envoy-degraded"),
    *(
        "x-envoy-anything",
        "X-Envoy-Original-Path",
        "x.envoy.original.path",
        "x~envoy-original-path",
    ),
]


@pytest.mark.parametrize("said_to_be_from", ["198.51.100.1", "10.0.0.1", "127.0.0.1"])
def test_client_cannot_send_what_is_envoys_own(pod: Pod, said_to_be_from: str) -> None:
    exchange = pod.request(
        target="/healthz",
        headers=[("x-forwarded-for", said_to_be_from), *((name, "1") for name in ENVOYS_OWN)],
    )

    assert exchange.response.status == 200
    assert [name for name in exchange.received.names if "envoy" in name] == []


def test_client_cannot_send_a_certificate(pod: Pod) -> None:
    names = ("x-forwarded-client-cert", "x.forwarded.client.cert", "X-Forwarded~Client-Cert")

    exchange = pod.request(target="/healthz", headers=[(name, "URI=spiffe://a") for name in names])

    assert exchange.response.status == 200
    assert [name for name in exchange.received.names if name.endswith("cert")] == []


@pytest.mark.parametrize(
    "value",
    [b"Bearer \xff\xfe.\x80.\x81", b"\xffBearer a.b.c", b"Bearer\xc2\xa0a.b.c"],
)
def test_credential_that_is_no_text_is_refused(pod: Pod, value: bytes) -> None:
    exchange = pod.request(target="/orders/1", headers=[("authorization", value)])

    assert exchange.response.status == 401
    assert exchange.access_log["reason"] == "malformed_token"


@pytest.mark.parametrize(
    "lines",
    [
        ["Bearer {token}", "Bearer {token}"],
        ["Bearer {token}, Bearer {token}"],
        ["Bearer {token},"],
        ["Basic YTpi", "Bearer {token}"],
    ],
)
def test_more_than_one_credential_is_refused(pod: Pod, lines: list[str]) -> None:
    token = shop.token()
    headers: list[Field] = [("authorization", line.format(token=token)) for line in lines]

    exchange = pod.request(target="/orders/1", headers=headers)

    assert exchange.response.status == 400
    assert exchange.access_log["reason"] == "ambiguous_request"


def test_empty_line_beside_the_credential_is_gone_when_it_is_forwarded(pod: Pod) -> None:
    token = shop.token()

    exchange = pod.request(target="/orders/1", headers=[("authorization", "")], token=token)

    assert exchange.received.values("authorization") == [f"Bearer {token}".encode()]


def test_large_headers_are_checked_like_small_ones(pod: Pod) -> None:
    headers: list[Field] = [(f"x-large-{number}", "x" * 8000) for number in range(7)]

    exchange = pod.request(target="/orders/1", headers=headers, token=shop.token())

    assert exchange.response.status == 200
    assert exchange.received.values("x-user-id") == [b"alice"]


def test_headers_over_the_limit_are_refused_by_envoy(pod: Pod) -> None:
    headers: list[Field] = [(f"x-large-{number}", "x" * 8000) for number in range(8)]

    exchange = pod.request(target="/orders/1", headers=headers, token=shop.token())

    assert exchange.response.status == 431
    assert not exchange.reached_the_application


def test_more_headers_than_the_limit_are_refused_by_envoy(pod: Pod) -> None:
    headers: list[Field] = [(f"x-many-{number}", "x") for number in range(257)]

    exchange = pod.request(target="/orders/1", headers=headers, token=shop.token())

    assert exchange.response.status == 431
    assert not exchange.reached_the_application


def test_identity_that_does_not_fit_beside_the_other_headers_is_an_error(pod: Pod) -> None:
    headers: list[Field] = [(f"x-large-{number}", "x" * 8700) for number in range(6)]
    token = shop.token(groups=["g" * 50] * 80)

    exchange = pod.request(target="/orders/1", headers=headers, token=token)
    assert exchange.response.status == 500
    assert exchange.access_log["response_details"] == "ext_authz_invalid"
    assert not exchange.reached_the_application


@pytest.mark.parametrize("rest", ["x" * 300, "x" * 33, " b,c", '"><script>'])
def test_odd_request_id_passes_and_nothing_of_it_is_shown(
    pod: Pod, sidecar: SidecarProcess, rest: str
) -> None:
    mark, path = uuid.uuid4().hex, f"/orders/{uuid.uuid4()}"
    with Connection(pod.envoy.address) as connection:
        response = connection.request(target=path, headers=[("x-request-id", mark + rest)])

    assert response.status == 401
    assert response.json()["request_id"] == ""
    (entry,) = eventually(
        lambda: [
            line for line in map(json.loads, pod.envoy.process.stdout()) if line["path"] == path
        ]
    )
    assert entry["request_id"] == ""
    assert mark[:8] not in json.dumps([entry, sidecar.log()])
    assert mark[:8] not in sidecar.admin("/").body.decode()


def test_route_named_by_envoy_decides_instead_of_the_path(
    sidecar: SidecarProcess, start_pod: StartPod
) -> None:
    configuration = envoy.load(envoy.PLAIN)
    envoy.routes(configuration).insert(
        0,
        {
            "match": {"prefix": "/legacy"},
            "route": {"cluster": "application"},
            "typed_per_filter_config": envoy.checked_as("support"),
        },
    )
    pod = start_pod(sidecar, configuration)

    allowed = pod.request(target="/legacy/anything", token=shop.token(roles=["support"]))
    denied = pod.request(target="/legacy/healthz", token=shop.token())

    assert allowed.response.status == 200
    assert allowed.access_log["route"] == "support"
    assert denied.access_log["reason"] == "missing_role"
