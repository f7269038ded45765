"""The Envoy at the edge as it is shipped: what it believes, what it asks, what it lets out."""

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from sidecar.model import Allow, Decision, Deny, HeaderChanges, Reason, RequestView
from sidecar.wire.grpc.codec import decode, encode
from tests.support import envoy, http2, http2_frames
from tests.support.authz_server import grpc_server
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import GATEWAY, Envoy
from tests.support.grpc_application import ECHO, grpc_application
from tests.support.http1 import Address, Connection, Field, Response
from tests.support.ports import socket_directory
from tests.support.served import status_of
from tests.support.upstream import Received, Upstream, echo_upgraded, respond

pytestmark = pytest.mark.every_envoy

HOST = "orders.shop.example"
PAGE = "https://www.shop.example"
ALLOW = Allow(Reason.AUTHORIZED, "orders", HeaderChanges((("authorization", "Bearer minted"),)))


@dataclass
class Gateway:
    """Stands in for the gateway: decides as it is told, and keeps what it was asked."""

    decision: Decision = ALLOW
    asked: list[RequestView] = field(default_factory=list)

    def __call__(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        envelope = decode(request)
        self.asked.append(envelope.view)
        return encode(self.decision, challenge=(), grpc=envelope.grpc)


@dataclass(frozen=True, slots=True)
class Edge:
    """Envoy, the gateway it asks, and the service behind it."""

    envoy: Envoy
    gateway: Gateway
    upstream: Upstream
    tls: ssl.SSLContext

    def request(self, *headers: Field, method: str = "GET", target: str = "/orders/1") -> Response:
        names = {name for name, _ in headers}
        host: Iterable[Field] = [] if "host" in names else [("host", HOST)]
        return self.envoy.request(method, target, [*host, *headers], tls=self.tls)

    def received(self, response: Response) -> Received:
        """The request that the service answered with ``response``."""
        (received,) = self.upstream.received(response.header("x-request-id") or "")
        return received


@contextmanager
def started(
    version: str,
    directory: Path,
    upstream: Upstream,
    service: Address,
    change: Callable[[envoy.Json], None] = lambda _: None,
) -> Iterator[Edge]:
    """An edge in front of ``service``, with a change to its configuration.

    Whoever trusts ``ca.crt`` in ``directory`` trusts it.
    """
    authority = CertificateAuthority(directory)
    authority.issue("tls", dns=HOST)
    trusting = authority.client_context()
    trusting.check_hostname = False  # the raw client asks for the host of the tests of sidecars
    configuration, gateway = envoy.load(GATEWAY), Gateway()
    with socket_directory() as sockets:
        socket = sockets / "authz.sock"
        envoy.move(configuration, authz=socket, application=service, certificates=directory)
        change(configuration)
        with grpc_server(socket, gateway), Envoy(version, configuration, directory) as running:
            yield Edge(running, gateway, upstream, trusting)


@pytest.fixture(scope="module")
def running_edge(
    envoy_version: str, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    directory = tmp_path_factory.mktemp("edge")
    with started(envoy_version, directory, upstream, upstream.address) as edge:
        yield edge


@pytest.fixture
def edge(running_edge: Edge) -> Edge:
    """An edge whose gateway lets everything through."""
    running_edge.gateway.decision = ALLOW
    running_edge.gateway.asked.clear()
    return running_edge


# What a client may send.


@pytest.mark.parametrize(
    "name",
    [
        "x-user-id",
        "X-User-Id",
        "x-user-anything",
        "txn-token",
        "x-forwarded-client-cert",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "x-original-url",
        "x-rewrite-url",
        "x-envoy-original-path",
        "x-envoy-internal",
        "x-envoy-retry-on",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-downstream-service-cluster",
        "x-envoy-decorator-operation",
        "x-envoy-anything",
        *("x.user.id", "x~user-id", "txn.token", "x.envoy.original.path", "x.forwarded.for"),
        *("x|real|ip", "x-original.url", "x*rewrite-url"),
    ],
)
def test_no_client_can_send_what_only_the_inside_may_say(edge: Edge, name: str) -> None:
    response = edge.request((name, "forged"), (name, "twice"))
    assert response.status == 200
    (asked,) = edge.gateway.asked
    assert asked.values(name.lower()) == []
    assert edge.received(response).values(name.lower()) == []


def test_the_client_is_the_peer_and_not_who_it_says_it_is(edge: Edge) -> None:
    response = edge.request(("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http"))
    received = edge.received(response)
    # For a peer on loopback Envoy writes its own address.
    (address,) = received.values("x-forwarded-for")
    assert b"192.0.2.1" not in address.split(b",")
    assert received.values("x-forwarded-proto") == [b"https"]
    assert received.values("x-envoy-external-address") == [b"127.0.0.1"]


def test_a_request_is_named_here(edge: Edge) -> None:
    response = edge.request(("x-request-id", "chosen"))
    name = response.header("x-request-id")
    assert name not in {None, "chosen"}
    (asked,) = edge.gateway.asked
    assert asked.values("x-request-id") == [str(name).encode()]
    assert edge.envoy.access_log(str(name))["reason"] == "authorized"


def test_the_gateway_sees_every_line_of_a_credential(edge: Edge) -> None:
    edge.request(("x-session", "one"), ("x-session", b"\xff"))
    (asked,) = edge.gateway.asked
    assert asked.values("x-session") == [b"one", b"\xff"]


def test_the_token_of_the_services_takes_the_place_of_the_credential(edge: Edge) -> None:
    edge.gateway.decision = ALLOW._replace(
        headers=ALLOW.headers._replace(remove=("cookie", "x-api-key"))
    )
    response = edge.request(
        ("authorization", "Bearer external"), ("cookie", "sso=secret"), ("x-api-key", "secret")
    )
    received = edge.received(response)
    assert received.values("authorization") == [b"Bearer minted"]
    assert {"cookie", "x-api-key"}.isdisjoint(received.names)


@pytest.mark.parametrize(
    ("headers", "target", "status"),
    [
        ([("x_user_id", "root")], "/orders/1", 400),
        ([("host", "payments.shop.example")], "/orders/1", 404),
        ([("host", "orders.shop.internal")], "/orders/1", 404),
        ([], "/orders%2f1", 400),
    ],
)
def test_what_has_two_readings_or_no_route_ends_here(
    edge: Edge, headers: list[Field], target: str, status: int
) -> None:
    assert edge.request(*headers, target=target).status == status
    assert edge.gateway.asked == []


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (f"{HOST}:8443", f"{HOST}:8443"),
        (f"{HOST}.", HOST),
        (f"{HOST}.:8443", f"{HOST}:8443"),
        (HOST.upper(), HOST.upper()),
    ],
)
def test_a_host_has_its_route_with_a_port_or_a_trailing_dot(
    edge: Edge, sent: str, seen: str
) -> None:
    response = edge.request(("host", sent))
    assert edge.received(response).values("host") == [seen.encode()]
    (asked,) = edge.gateway.asked
    # The port is there, to be compared with that of a page's origin.
    assert (asked.host, asked.values("x-forwarded-proto")) == (seen, [b"https"])


@pytest.mark.parametrize("host", ["evil.example", f"{HOST}.evil.example", "payments.shop.example"])
def test_a_port_gives_no_other_host_a_route(edge: Edge, host: str) -> None:
    assert edge.request(("host", f"{host}:8443")).status == 404
    assert edge.gateway.asked == []


@pytest.mark.parametrize("target", ["/session", "/.well-known/jwks.json", "/metrics"])
def test_paths_of_the_internal_listener_are_the_services_like_any_other(
    edge: Edge, target: str
) -> None:
    response = edge.request(target=target)
    assert edge.received(response).path == target


# What a client gets.


SESSION = "__Host-session=sealed; Path=/; Secure; HttpOnly; SameSite=Lax"
FORGET = "__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_a_cookie_of_the_gateway_reaches_the_client_beside_those_of_the_service(edge: Edge) -> None:
    cookies = ["a=1; Path=/; HttpOnly", "b=2"]
    edge.upstream.answers["/orders/cookies"] = respond(
        headers=[("set-cookie", value) for value in cookies]
    )
    edge.gateway.decision = ALLOW._replace(headers=HeaderChanges(cookie=SESSION))
    response = edge.request(target="/orders/cookies")
    assert response.values("set-cookie") == [*cookies, SESSION]
    assert edge.received(response).values("set-cookie") == []


def test_a_cookie_of_a_denial_reaches_the_client(edge: Edge) -> None:
    edge.gateway.decision = Deny(Reason.EXPIRED, "orders", cookie=FORGET)
    response = edge.request()
    assert response.status == 401
    assert response.values("set-cookie") == [FORGET]
    assert (response.header("www-authenticate") or "").startswith("Bearer ")


def test_a_cookie_of_a_denial_reaches_a_grpc_client(edge: Edge) -> None:
    edge.gateway.decision = Deny(Reason.EXPIRED, "orders", cookie=FORGET)
    response = edge.request(("content-type", "application/grpc"), method="POST")
    assert (response.status, response.header("grpc-status")) == (200, "16")
    assert response.values("set-cookie") == [FORGET]


@pytest.mark.parametrize("decision", [ALLOW, Deny(Reason.EXPIRED)], ids=["allowed", "denied"])
def test_the_answer_says_https_alone_and_not_who_gave_it(edge: Edge, decision: Decision) -> None:
    edge.upstream.answers["/orders/talkative"] = respond(
        headers=[
            ("server", "orders/1.2"),
            ("x-powered-by", "python"),
            ("txn-token", "minted"),
            ("x-user-id", "alice"),
        ]
    )
    edge.gateway.decision = decision
    response = edge.request(target="/orders/talkative")
    assert response.header("server") == "edge"
    assert response.header("strict-transport-security") == "max-age=31536000"
    assert {"x-powered-by", "txn-token", "x-user-id"}.isdisjoint(
        name for name, _ in response.headers
    )


def test_a_preflight_is_answered_before_the_gateway_is_asked(edge: Edge) -> None:
    preflight = [("origin", PAGE), ("access-control-request-method", "PUT")]
    response = edge.request(*preflight, method="OPTIONS")
    assert response.header("access-control-allow-origin") == PAGE
    assert response.header("access-control-allow-credentials") == "true"
    assert edge.gateway.asked == []


def test_a_page_from_elsewhere_is_not_permitted_anything(edge: Edge) -> None:
    preflight = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")]
    response = edge.request(*preflight, method="OPTIONS")
    assert response.header("access-control-allow-origin") is None
    assert edge.gateway.asked == []


def test_no_credential_is_in_the_access_log(edge: Edge) -> None:
    edge.gateway.decision = ALLOW._replace(headers=ALLOW.headers._replace(cookie=SESSION))
    response = edge.request(
        ("authorization", "Bearer secret"), ("cookie", "sso=secret"), target="/orders/1?t=secret"
    )
    entry = str(edge.envoy.access_log(response.header("x-request-id") or ""))
    for told in ("secret", "sealed", "minted"):
        assert told not in entry


# Streams.


def test_a_websocket_passes_and_its_cookie_too(edge: Edge) -> None:
    edge.upstream.answers["/orders/socket"] = echo_upgraded
    edge.gateway.decision = ALLOW._replace(headers=ALLOW.headers._replace(cookie=SESSION))
    upgrade: list[Field] = [("connection", "Upgrade"), ("upgrade", "websocket")]
    with Connection(edge.envoy.address, tls=edge.tls) as connection:
        connection.send("GET", "/orders/socket", [("host", HOST), *upgrade])
        response = connection.receive()
        assert (response.status, response.values("set-cookie")) == (101, [SESSION])
        connection.socket.sendall(b"hello")
        assert connection.read(5) == b"hello"


def test_grpc_passes_and_is_denied_in_its_own_terms(
    envoy_version: str, upstream: Upstream, tmp_path: Path
) -> None:
    with (
        grpc_application() as application,
        started(envoy_version, tmp_path, upstream, application) as edge,
    ):
        trust = grpc.ssl_channel_credentials((tmp_path / "ca.crt").read_bytes())
        host, port = edge.envoy.address
        options = [("grpc.ssl_target_name_override", HOST)]
        with grpc.secure_channel(f"{host}:{port}", trust, options) as channel:
            echo: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
            assert echo(b"hello", timeout=10) == b"hello"

            edge.gateway.decision = Deny(Reason.EXPIRED)
            with pytest.raises(grpc.RpcError) as failure:
                echo(b"hello", timeout=10)
            assert status_of(failure.value) is grpc.StatusCode.UNAUTHENTICATED


def test_no_trailer_reaches_a_service(
    envoy_version: str, upstream: Upstream, tmp_path: Path
) -> None:
    arrived: list[int] = []
    with (
        http2.application(arrived) as application,
        started(envoy_version, tmp_path, upstream, application) as edge,
    ):
        edge.tls.set_alpn_protocols(["h2"])
        head = http2.fields("POST", "/orders/1", HOST)
        forged = [("x-user-id", "root"), ("txn-token", "forged")]
        http2.request(edge.envoy.address, head, body=b"ordered", trailers=forged, tls=edge.tls)

    assert arrived.count(http2_frames.HEADERS) == 1


# TLS.


def test_without_tls_there_is_no_answer(edge: Edge) -> None:
    with pytest.raises(ConnectionError):
        edge.envoy.request("GET", "/orders/1", [("host", HOST)])


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_clients_may_choose_their_http(edge: Edge, protocol: str) -> None:
    edge.tls.set_alpn_protocols([protocol])
    with Connection(edge.envoy.address, tls=edge.tls) as connection:
        assert isinstance(connection.socket, ssl.SSLSocket)
        assert connection.socket.selected_alpn_protocol() == protocol
    edge.tls.set_alpn_protocols(["http/1.1"])
