"""The pages of both HTTP listeners, over real sockets."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, Counter

from sidecar.errors import ListenFault
from sidecar.wire import http as listeners
from sidecar.wire.http import HttpListener, admin_pages, metrics_pages
from tests.support import http1
from tests.support.http1 import Field, Response
from tests.support.ports import LOOPBACK, free_port

STATUS: dict[str, object] = {
    "ready": True,
    "issuers": {"gateway": {"kids": ["one", "two"], "last_error": None}},
    "recent_denials": [{"reason": "expired", "route": "read"}],
    "denials": {},
}


@dataclass
class Readiness:
    ready: bool = True

    def __call__(self) -> bool:
        return self.ready


def get(
    target: str,
    *headers: Field,
    ready: Readiness | None = None,
    admin: bool = False,
    method: str = "GET",
    host: str = LOOPBACK,
    ask: Callable[[int], Response] | None = None,
) -> Response:
    """One request to a listener of its own."""
    registry = CollectorRegistry()
    Counter("sidecar_checks", "Checks.", registry=registry).inc()
    is_ready = ready or Readiness()
    pages = admin_pages(lambda: STATUS, is_ready) if admin else metrics_pages(registry, is_ready)
    port = free_port()

    async def serve() -> Response:
        listener = HttpListener(host, port, pages)
        await listener.start()
        try:
            if ask is not None:
                return await asyncio.to_thread(ask, port)
            return await asyncio.to_thread(
                http1.request, (LOOPBACK, port), method, target, [("host", "x"), *headers]
            )
        finally:
            await listener.stop()

    return asyncio.run(serve())


def test_metrics_are_served_in_the_text_format() -> None:
    response = get("/metrics")
    assert response.status == 200
    assert (response.header("content-type") or "").startswith("text/plain")
    assert b"sidecar_checks_total 1.0" in response.body


def test_metrics_are_served_as_openmetrics_where_asked_for() -> None:
    response = get("/metrics", ("accept", "application/openmetrics-text; version=1.0.0"))
    assert (response.header("content-type") or "").startswith("application/openmetrics-text")
    assert response.body.endswith(b"# EOF\n")


@pytest.mark.parametrize("version", ["abc", "=", "1.0.0.0.0", ""])
def test_an_odd_accept_header_gets_the_text_format(version: str) -> None:
    response = get("/metrics", ("accept", f"application/openmetrics-text; version={version}"))
    assert response.status == 200


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
@pytest.mark.parametrize("admin", [True, False])
def test_readiness_is_a_status(ready: bool, status: int, admin: bool) -> None:
    assert get("/readyz", ready=Readiness(ready), admin=admin).status == status


def test_liveness_is_not_readiness() -> None:
    assert get("/livez", ready=Readiness(False)).status == 200


def test_the_status_page_is_text_for_people() -> None:
    assert get("/", admin=True).body.decode().splitlines() == [
        "ready: true",
        "issuers:",
        "  gateway:",
        "    kids:",
        "      - one",
        "      - two",
        "    last_error: null",
        "recent_denials:",
        "  - reason: expired",
        "    route: read",
        "denials: {}",
    ]


def test_the_status_page_is_json_for_programs() -> None:
    response = get("/", ("accept", "application/json"), admin=True)
    assert response.json() == STATUS


def test_verbose_readiness_is_the_status_with_the_readiness_code() -> None:
    response = get("/readyz?verbose", ready=Readiness(False), admin=True)
    assert response.status == 503
    assert b"gateway" in response.body


@pytest.mark.parametrize("target", ["/", "/readyz?verbose"])
def test_nothing_of_the_status_is_on_the_listener_that_neighbours_reach(target: str) -> None:
    response = get(target)
    assert b"gateway" not in response.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_pages_are_read_only(method: str) -> None:
    assert get("/metrics", method=method).status == 405


@pytest.mark.parametrize("target", ["/livez", "/nowhere"])
def test_no_answer_names_what_it_is_made_with(target: str) -> None:
    assert get(target).values("server") == []


def test_a_header_that_is_too_large_is_refused() -> None:
    assert get("/metrics", ("x-large", "a" * 10_000)).status == 400


def test_a_page_that_fails_says_so_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Readiness):
        def __call__(self) -> bool:
            raise RuntimeError("a bug")

    response = get("/readyz", ready=Broken())
    assert response.status == 500
    assert b"bug" not in response.body
    assert "a bug" in caplog.text


def test_the_address_of_all_interfaces_takes_ipv4_too() -> None:
    assert get("/livez", host="::").status == 200


def test_connections_that_are_only_held_keep_nobody_out_and_do_not_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(port: int) -> Response:
        address = (LOOPBACK, port)
        held = [socket.create_connection(address) for _ in range(5)]
        try:
            # Those that arrive at one moment make room when the next one does.
            http1.request(address, "GET", "/livez", [("host", "x")])
            response = http1.request(address, "GET", "/livez", [("host", "x")])
            held[0].settimeout(30)
            assert held[0].recv(1) == b""
            held[-1].settimeout(0)
            with pytest.raises(BlockingIOError):
                held[-1].recv(1)
            return response
        finally:
            for each in held:
                each.close()

    monkeypatch.setattr(listeners, "MOST_CONNECTIONS", 3)
    assert get("/livez", ask=ask).status == 200


def test_an_address_that_is_taken_is_a_fault_that_says_so() -> None:
    def second(port: int) -> Response:
        async def start() -> None:
            await HttpListener(LOOPBACK, port, metrics_pages(CollectorRegistry(), bool)).start()

        with pytest.raises(
            ListenFault, match=rf"cannot listen on {LOOPBACK} port {port}: .*in use"
        ):
            asyncio.run(start())
        return Response(0, (), b"")

    get("/", ask=second)
