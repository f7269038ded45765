"""The listener for Prometheus and the kubelet: two pages of Envoy's admin, and nothing else."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support import envoy, http1
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import GATEWAY, MTLS, PLAIN, Envoy, Json
from tests.support.http1 import Address, Connection, Field
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import eventually

pytestmark = pytest.mark.every_envoy

METRICS = "/stats/prometheus"


@contextmanager
def running(template: Path, version: str, directory: Path, changed: Json = None) -> Iterator[Envoy]:
    """Envoy alone: there is no sidecar, and no application."""
    configuration = changed or envoy.load(template)
    CertificateAuthority(directory).issue("tls", dns="orders.shop.internal")
    envoy.move(
        configuration,
        authz=directory / "nobody.sock",
        application=(LOOPBACK, 9),
        certificates=None if template is PLAIN else directory,
        admin=(LOOPBACK, free_port()),
    )
    with Envoy(version, configuration, directory) as started:
        yield started


@pytest.fixture(scope="module", params=[PLAIN, MTLS, GATEWAY], ids=lambda file: file.stem)
def shipped(
    request: pytest.FixtureRequest, envoy_version: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Envoy]:
    with running(request.param, envoy_version, tmp_path_factory.mktemp("envoy")) as started:
        yield started


@pytest.fixture
def status(shipped: Envoy) -> Address:
    return shipped.status_address


def asked(of: Envoy) -> int:
    """How many requests the admin got from the listener."""
    return of.stats()["cluster.envoy-admin.upstream_rq_total"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_envoy_says_that_it_is_ready(status: Address, method: str) -> None:
    with Connection(status) as connection:
        response = connection.request(method, "/ready")

    assert response.status == 200
    assert response.body == (b"LIVE\n" if method == "GET" else b"")


@pytest.mark.parametrize("query", ["", "?usedonly", "?usedonly="])
def test_prometheus_gets_envoys_metrics(status: Address, query: str) -> None:
    response = http1.request(status, "GET", METRICS + query)

    assert response.status == 200
    assert (response.header("content-type") or "").startswith("text/plain")
    assert b"\nenvoy_server_live{} 1\n" in response.body


def test_prometheus_may_leave_out_what_was_never_counted(status: Address) -> None:
    everything, used = (
        len(http1.request(status, "GET", target).body)
        for target in (METRICS, f"{METRICS}?usedonly")
    )

    assert used < everything / 2


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *(("POST", target) for target in ("/ready", METRICS, "/quitquitquit", "/healthcheck/fail")),
        *(("POST", f"/drain_listeners{query}") for query in ("", "?graceful")),
        *((method, "/ready") for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")),
        *(
            ("GET", target)
            for target in (
                *(
                    "/",
                    "/help",
                    "/config_dump",
                    "/certs",
                    "/clusters",
                    "/listeners",
                    "/server_info",
                ),
                *("/stats", "/stats?format=prometheus", "/stats/recentlookups", "/logging"),
                *("/runtime", "/memory", "/contention", "/quitquitquit", "/drain_listeners"),
                # Queries.
                *("/ready?", "/ready?x", "/ready?usedonly", f"{METRICS}?", f"{METRICS}?usedonly&x"),
                *(f"{METRICS}?{query}" for query in ("filter=.", "text_readouts", "usedonly=1")),
                *(f"{METRICS}?{query}" for query in ("format=json", "histogram_buckets=detailed")),
                # Paths that others would make one of the two of, or something else.
                *("/ready/", "/readyz", "/READY", "//ready", "/./ready", "/ready;x", "/%72eady"),
                *("/ready/../quitquitquit", "/ready/%2e%2e/config_dump", "/ready/..%2fconfig_dump"),
                *("/stats/../ready", "/stats/../stats/prometheus", "/stats//prometheus"),
                *("/stats%2fprometheus", "/stats%5cprometheus", "/stats\\prometheus"),
                *("/ready%3f", "/ready%3fusedonly", "/ready%20", "/ready%0d%0a", "/ready%2f"),
                *("http://127.0.0.1:9901/config_dump", "http://127.0.0.1:9901//ready"),
            )
        ),
    ],
)
def test_nothing_else_of_the_admin_is_there(
    shipped: Envoy, status: Address, method: str, target: str
) -> None:
    before = asked(shipped)

    assert http1.request(status, method, target).status == 404
    assert asked(shipped) == before


@pytest.mark.parametrize(
    "target", ["*", "/ready%00", "/ready#/../config_dump", "/re\tady", "ready"]
)
def test_what_is_no_path_is_refused_before(shipped: Envoy, status: Address, target: str) -> None:
    before = asked(shipped)

    assert http1.request(status, "GET", target).status in {400, 404}
    assert asked(shipped) == before


@pytest.mark.parametrize("target", ["/ready", METRICS])
@pytest.mark.parametrize(
    ("header", "body"),
    [
        (("content-length", "65536"), b"x" * 65536),
        (("transfer-encoding", "chunked"), b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n"),
        # Nothing is sent on until a body is whole.
        (("transfer-encoding", "chunked"), b"10000\r\nxxx"),
    ],
    ids=["of a known length", "of an unknown length", "without an end"],
)
def test_no_body_reaches_the_admin_which_would_keep_it_whole(
    shipped: Envoy, status: Address, header: Field, body: bytes, target: str
) -> None:
    before = asked(shipped)
    with Connection(status) as connection:
        connection.send("GET", target, [header])
        connection.socket.sendall(body)

        assert connection.receive().status == 413
    assert asked(shipped) == before


@pytest.mark.parametrize(
    "headers",
    [
        [("x-envoy-original-path", "/config_dump")],
        [("x-original-url", "/config_dump"), ("x-rewrite-url", "/config_dump")],
        [("x-http-method-override", "POST")],
        [("host", "127.0.0.1:9901")],
    ],
    ids=str,
)
def test_no_header_leads_elsewhere(status: Address, headers: list[Field]) -> None:
    response = http1.request(status, "GET", "/ready", headers)

    assert (response.status, response.body) == (200, b"LIVE\n")


def test_nothing_is_tunnelled(shipped: Envoy, status: Address) -> None:
    before = asked(shipped)
    upgrade = [("connection", "upgrade"), ("upgrade", "websocket")]

    assert http1.request(status, "GET", "/ready", upgrade).status == 403
    with Connection(status) as connection:
        connection.send("CONNECT", "127.0.0.1:9901")
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.read(1) == b""
    assert asked(shipped) == before


def test_http_2_has_no_second_way_in(shipped: Envoy, status: Address) -> None:
    before = asked(shipped)
    with socket.create_connection(status, 10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        answer = b"".join(iter(lambda: connection.recv(4096), b""))

    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert asked(shipped) == before


def test_the_applications_port_does_not_have_the_pages(envoy_version: str, tmp_path: Path) -> None:
    with running(PLAIN, envoy_version, tmp_path) as started:
        for target in ("/ready", METRICS):
            # Asked about like any other path, and there is no sidecar that could allow it.
            assert started.request("GET", target).status == 503
        assert asked(started) == 0


def test_a_graceful_drain_keeps_the_pages_until_the_listeners_close(
    envoy_version: str, tmp_path: Path
) -> None:
    with running(PLAIN, envoy_version, tmp_path) as started:
        started.admin("/drain_listeners?graceful", "POST")
        response = http1.request(started.status_address, "GET", "/ready")
        assert (response.status, response.header("connection")) == (200, "close")

        eventually(lambda: _refused(started.status_address))
        assert started.admin("/ready").body == b"LIVE\n"


# What one listener suffers is not for the other to bear.


def test_connections_that_fill_the_applications_port_leave_the_pages(
    envoy_version: str, tmp_path: Path
) -> None:
    few = _with_connections(2)
    with running(PLAIN, envoy_version, tmp_path, few) as started, ExitStack() as stack:
        for _ in range(2):
            assert stack.enter_context(Connection(started.address)).request().status == 503
        with Connection(started.address) as third, pytest.raises(ConnectionError):
            third.request()

        assert http1.request(started.status_address, "GET", "/ready").status == 200


def test_connections_that_fill_the_status_port_leave_the_application_its_own(
    envoy_version: str, tmp_path: Path
) -> None:
    few = _with_connections(2)
    with running(PLAIN, envoy_version, tmp_path, few) as started, ExitStack() as stack:
        held = [stack.enter_context(Connection(started.status_address)) for _ in range(64)]
        assert {each.request("HEAD", "/ready").status for each in held} == {200}
        with Connection(started.status_address) as another, pytest.raises(ConnectionError):
            another.request("GET", "/ready")

        assert started.request().status == 503


def test_an_envoy_without_memory_still_says_so(envoy_version: str, tmp_path: Path) -> None:
    configuration = envoy.load(PLAIN)
    *_, heap = configuration["overload_manager"]["resource_monitors"]
    heap["typed_config"]["max_heap_size_bytes"] = 1
    with running(PLAIN, envoy_version, tmp_path, configuration) as started:
        overload = "overload.envoy.overload_actions.stop_accepting_requests.active"
        eventually(lambda: started.stats()[overload])

        assert started.request().body == b"envoy overloaded"
        response = http1.request(started.status_address, "GET", METRICS)
        assert b"envoy_overload_envoy_overload_actions_stop_accepting_requests_active{} 1" in (
            response.body
        )


def _with_connections(number: int) -> Json:
    configuration = envoy.load(PLAIN)
    connections, _ = configuration["overload_manager"]["resource_monitors"]
    connections["typed_config"]["max_active_downstream_connections"] = number
    return configuration


def _refused(address: Address) -> bool:
    try:
        http1.request(address, "GET", "/ready")
    except ConnectionError:
        return True
    return False
