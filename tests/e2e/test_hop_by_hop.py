"""What a client says about its connection, or after its body, changes no identity.

A server behind Envoy may remove the headers that ``Connection`` names (RFC 9110 §7.6.1).
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.e2e import shop
from tests.e2e.conftest import StartSidecar
from tests.support import envoy, http2, http2_frames
from tests.support.envoy import Json
from tests.support.http1 import HOST, Address, Connection, Field
from tests.support.pod import Exchange, Pod, running_pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream, echo_upgraded

pytestmark = pytest.mark.every_envoy

IDENTITY = "x-user-id, x-user-roles"
NOMINATED = f"{IDENTITY}, authorization"
WEBSOCKET = ("upgrade", "websocket")
UPGRADES: list[list[Field]] = [
    [("connection", f"upgrade, {NOMINATED}"), WEBSOCKET],
    [("connection", f"{NOMINATED},upgrade"), WEBSOCKET],
    [("connection", "upgrade"), ("connection", NOMINATED), WEBSOCKET],
    [("CONNECTION", f"Upgrade,{NOMINATED.upper()}"), ("Upgrade", "WebSocket")],
    [("connection", "upgrade, keep-alive, te"), ("keep-alive", IDENTITY), WEBSOCKET],
    [("connection", "upgrade"), ("proxy-connection", NOMINATED), WEBSOCKET],
]
H2C: list[Field] = [("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA")]
OTHERS: list[list[Field]] = [
    [("connection", f"close, {IDENTITY}")],
    [("connection", IDENTITY)],
    [("connection", "keep-alive"), ("connection", IDENTITY), ("keep-alive", NOMINATED)],
    [("proxy-connection", f"keep-alive, {NOMINATED}")],
    [("connection", f"upgrade, {IDENTITY}")],
    [("connection", f"upgrade, http2-settings, {IDENTITY}"), *H2C],
    [("te", NOMINATED)],
]


def upgraded(pod: Pod, target: str, headers: list[Field]) -> Exchange:
    """An upgrade of which only the beginning is looked at."""
    pod.upstream.answers[target] = echo_upgraded
    return pod.request(target=target, headers=headers, token=shop.token())


def connection_of(exchange: Exchange) -> dict[str, list[bytes]]:
    """What the application is told about the connection."""
    received = exchange.received
    names = ("connection", "keep-alive", "proxy-connection", "upgrade")
    return {name: received.values(name) for name in names if received.values(name)}


@pytest.mark.parametrize("headers", UPGRADES)
def test_an_upgrade_goes_on_with_its_identity_and_nominates_nothing(
    pod: Pod, headers: list[Field]
) -> None:
    exchange = upgraded(pod, "/orders/socket", headers)

    assert exchange.response.status == 101
    assert exchange.received.values("x-user-id") == [b"alice"]
    told = connection_of(exchange)
    assert told.pop("upgrade")[0].lower() == b"websocket"
    assert told == {"connection": [b"upgrade"]}


@pytest.mark.parametrize("path", ["/healthz", "/catalogue"])
def test_an_upgrade_of_nobody_nominates_nothing(pod: Pod, path: str) -> None:
    pod.upstream.answers[path] = echo_upgraded
    try:
        exchange = pod.request(target=path, headers=[*UPGRADES[0], ("x-user-id", "root")])
    finally:
        del pod.upstream.answers[path]

    assert exchange.response.status == 101
    assert exchange.received.values("connection") == [b"upgrade"]
    assert exchange.received.values("x-user-id") == []


def test_an_upgrade_in_shadow_mode_nominates_nothing(
    start_sidecar: StartSidecar, start_pod: StartPod
) -> None:
    pod = start_pod(start_sidecar(mode="shadow"))

    exchange = upgraded(pod, "/admin/socket", UPGRADES[0])

    assert exchange.access_log["decision"] == "would_deny"
    assert exchange.received.values("connection") == [b"upgrade"]


@pytest.mark.parametrize("headers", OTHERS)
def test_any_other_request_goes_on_without_a_word_about_the_connection(
    pod: Pod, headers: list[Field]
) -> None:
    exchange = pod.request(target="/orders/1", headers=headers, token=shop.token())

    assert exchange.response.status == 200
    assert exchange.received.values("x-user-id") == [b"alice"]
    assert connection_of(exchange) == {}
    assert exchange.received.values("te") == []


def test_a_credential_that_is_nominated_is_gone_before_the_check(pod: Pod) -> None:
    headers: list[Field] = [("connection", f"close, {NOMINATED}")]

    assert (
        pod.request(target="/orders/1", headers=headers, token=shop.token()).response.status == 401
    )


# HTTP/2.


@pytest.fixture(scope="module")
def frames() -> list[int]:
    """The kinds of the frames that reached the gRPC application."""
    return []


@pytest.fixture(scope="module")
def http2_application(frames: list[int]) -> Iterator[Address]:
    with http2.application(frames) as address:
        yield address


StartHttp2Pod = Callable[[Json | None], Pod]


@pytest.fixture(scope="module")
def start_http2_pod(
    envoy_version: str,
    sidecar: SidecarProcess,
    upstream: Upstream,
    http2_application: Address,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StartHttp2Pod]:
    """Starts the order service with an application that speaks HTTP/2, too."""
    with ExitStack() as stack:
        yield lambda configuration: stack.enter_context(
            running_pod(
                envoy_version,
                tmp_path_factory.mktemp("envoy"),
                authz=sidecar.socket,
                upstream=upstream,
                configuration=configuration,
                application_grpc=http2_application,
            )
        )


GRPC = [("content-type", "application/grpc"), ("te", "trailers")]
FORGED = [("x-user-id", "root"), ("x.user.id", "root"), ("authorization", "Bearer forged")]


def grpc_call(pod: Pod, trailers: http2_frames.Fields) -> None:
    bearer = ("authorization", f"Bearer {shop.token(scope='orders:read')}")
    head = http2.fields("POST", "/shop.Orders/Echo", HOST, [*GRPC, bearer])
    http2.request(pod.envoy.address, head, body=b"\0\0\0\0\0", trailers=trailers)


def test_no_trailer_reaches_the_application(
    start_http2_pod: StartHttp2Pod, frames: list[int]
) -> None:
    pod = start_http2_pod(None)
    frames.clear()

    grpc_call(pod, FORGED)

    assert frames.count(http2_frames.HEADERS) == 1


def test_trailers_reach_the_application_where_envoy_is_not_told_to_remove_them(
    start_http2_pod: StartHttp2Pod, frames: list[int]
) -> None:
    """The check sees headers alone."""
    configuration = envoy.load(envoy.PLAIN)
    manager = envoy.http_connection_manager(configuration)
    manager["http_filters"] = [
        each for each in manager["http_filters"] if not each["name"].endswith("header_mutation")
    ]
    pod = start_http2_pod(configuration)
    frames.clear()

    grpc_call(pod, FORGED)

    assert frames.count(http2_frames.HEADERS) == 2


def test_no_trailer_reaches_an_application_that_speaks_http_1(pod: Pod) -> None:
    request_id = uuid.uuid4().hex
    headers = [("x-request-id", request_id), ("authorization", f"Bearer {shop.token()}")]
    head = http2.fields("POST", "/orders/1", HOST, headers)
    http2.request(pod.envoy.address, head, body=b"ordered", trailers=FORGED)

    (received,) = pod.upstream.received(request_id)
    assert received.body == b"ordered"
    assert received.values("x-user-id") == [b"alice"]
    assert "x.user.id" not in received.names


def test_no_trailer_of_http_1_reaches_the_application(pod: Pod) -> None:
    request_id = uuid.uuid4().hex
    head = (
        f"POST /orders/1 HTTP/1.1\r\nhost: {HOST}\r\nx-request-id: {request_id}\r\n"
        f"authorization: Bearer {shop.token()}\r\ntransfer-encoding: chunked\r\n"
        "trailer: x-user-id\r\n\r\n7\r\nordered\r\n0\r\nx-user-id: root\r\nx.user.id: root\r\n\r\n"
    )
    with Connection(pod.envoy.address) as connection:
        connection.socket.sendall(head.encode())
        assert connection.receive().status == 200

    (received,) = pod.upstream.received(request_id)
    assert received.body == b"ordered"
    assert received.values("x-user-id") == [b"alice"]
    assert "x.user.id" not in received.names


@pytest.mark.parametrize(
    "header",
    [
        *(("connection", "x-user-id"), ("upgrade", "websocket"), ("keep-alive", "x-user-id")),
        *(("proxy-connection", "x-user-id"), ("te", "trailers, x-user-id")),
    ],
)
def test_http_2_has_no_connection_headers(pod: Pod, header: tuple[str, str]) -> None:
    """RFC 9113 §8.2.2."""
    bearer = ("authorization", f"Bearer {shop.token()}")
    with pytest.raises(ConnectionResetError):
        http2.request(pod.envoy.address, http2.fields("GET", "/orders/1", HOST, [bearer, header]))


EXTENDED_CONNECT = [
    *((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http")),
    *((":authority", HOST), (":path", "/orders/extended")),
]


def test_an_upgrade_over_http_2_is_not_offered(pod: Pod) -> None:
    bearer = ("authorization", f"Bearer {shop.token()}")
    with pytest.raises(ConnectionResetError):
        http2.request(pod.envoy.address, [*EXTENDED_CONNECT, bearer])


def test_an_upgrade_over_http_2_nominates_nothing_where_envoy_offers_it(
    sidecar: SidecarProcess, start_pod: StartPod
) -> None:
    """RFC 8441: Envoy makes an upgrade of HTTP/1.1 of it."""
    configuration = envoy.load(envoy.PLAIN)
    manager = envoy.http_connection_manager(configuration)
    manager["http2_protocol_options"]["allow_connect"] = True
    pod = start_pod(sidecar, configuration)
    request_id = uuid.uuid4().hex
    headers = [
        ("x-request-id", request_id),
        ("x-user-id", "root"),
        ("authorization", f"Bearer {shop.token()}"),
    ]

    http2.request(pod.envoy.address, [*EXTENDED_CONNECT, *headers])

    (received,) = pod.upstream.received(request_id)
    assert received.values("upgrade") == [b"websocket"]
    assert received.values("connection") == [b"upgrade"]
    assert received.values("x-user-id") == [b"alice"]
