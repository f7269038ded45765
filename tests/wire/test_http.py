"""The pages of both HTTP listeners, over real sockets."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sidecar.errors import ListenFault
from sidecar.wire import http as listeners
from sidecar.wire.http import HttpListener, admin_pages, metrics_pages
from tests.support import http1
from tests.support.http1 import Field, Response
from tests.support.ports import LOOPBACK, free_port

T = TypeVar("T")

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


def serving(pages: web.Application, ask: Callable[[int], T]) -> T:
    """Serve ``pages`` while ``ask`` asks, in a thread of its own."""
    port = free_port()

    async def serve() -> T:
        listener = HttpListener(LOOPBACK, port, pages)
        await listener.start()
        try:
            return await asyncio.to_thread(ask, port)
        finally:
            await listener.stop()

    return asyncio.run(serve())


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Counted(Collector):
    """Metrics that count how often they are collected, on a page of ``megabytes``."""

    def __init__(self, megabytes: int = 0) -> None:
        self.times = 0
        self._text = "a" * 1_000_000
        self._samples = megabytes
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        self.times += 1
        family = GaugeMetricFamily("times", "How often.", labels=["number", "text"])
        for number in range(self._samples):
            family.add_metric([str(number), self._text], 0)
        family.add_metric(["", ""], self.times)
        return [family]


def send_ahead(address: http1.Address, target: str, requests: int) -> socket.socket:
    """A connection on which that many requests were sent and no answer is read."""
    client = socket.create_connection(address, timeout=15)
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * requests)
    return client


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


@pytest.mark.parametrize("odd", ["\n", "\r", "\x1b[2J", "\u2028", "\u202e"])
def test_what_a_key_server_calls_a_key_is_no_line_of_the_status_page(odd: str) -> None:
    status: dict[str, object] = {"kids": [f"one{odd}ready: false"], "last_error": f"a{odd}b"}
    page = admin_pages(lambda: status, bool)
    body = serving(page, lambda port: http1.request((LOOPBACK, port), "GET", "/").body.decode())

    assert [line.split(":")[0] for line in body.splitlines()] == [
        "kids",
        '  - "one' + json.dumps(odd)[1:-1] + "ready",
        "last_error",
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


UNREADABLE = {
    "no method": b"\x00secret\r\n\r\n",
    "another version": b"GET /secret HTTP/9.9\r\n\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\nhost: x\r\nse cret: x\r\n\r\n",
    "a header of control characters": b"GET / HTTP/1.1\r\nhost: x\r\nx: secret\x00\r\n\r\n",
    "a header that is too large": b"GET / HTTP/1.1\r\nx: " + b"secret" * 2000,
    "a target that is no URL": b"GET http://secret:99999/ HTTP/1.1\r\nhost: x\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "TLS": bytes.fromhex("16030100b0010000ac0303") + bytes(80),
    "an expectation": b"GET /livez HTTP/1.1\r\nhost: x\r\nexpect: secret\r\n\r\n",
    "an expectation of no page": b"GET /no HTTP/1.1\r\nhost: x\r\nexpect: secret\r\n\r\n",
}


@pytest.mark.parametrize("sent", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_answered_in_words_of_our_own(sent: bytes) -> None:
    def ask(port: int) -> tuple[Response, bytes]:
        with http1.Connection((LOOPBACK, port)) as connection:
            connection.socket.sendall(sent)
            return connection.receive(), connection.read(1)

    response, after = serving(metrics_pages(CollectorRegistry(), bool), ask)
    assert (response.status, after) == (400, b"")
    assert response.body == b"this is not HTTP as it is read here\n"
    assert {name for name, _ in response.headers} <= {
        *("content-type", "content-length", "date", "connection")
    }


def test_a_header_that_is_too_large_is_refused() -> None:
    assert get("/metrics", ("x-large", "a" * 10_000)).status == 400


def test_a_page_that_fails_says_so_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Readiness):
        def __call__(self) -> bool:
            raise RuntimeError("a bug")

    response = get("/readyz", ready=Broken())
    assert (response.status, response.body) == (500, b"the page could not be made\n")
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


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_metrics_are_written_once_a_second_whoever_asks(accept: str) -> None:
    counted, clock = Counted(), Clock()

    def ask(port: int) -> list[bytes]:
        pages = []
        for passed in (0.0, 0.0, 0.9, 0.1, 0.5):
            clock.now += passed
            headers = [("accept", accept)]
            response = http1.request((LOOPBACK, port), "GET", "/metrics", headers)
            assert accept in (response.header("content-type") or "")
            pages.append(response.body)
        return pages

    first, *others = serving(metrics_pages(counted.registry, bool, clock=clock), ask)
    assert others[:2] == [first, first]
    assert others[2:] == [others[2]] * 2 != [first] * 2
    assert counted.times == 2


def test_no_choice_of_versions_has_metrics_written_more_often() -> None:
    counted = Counted()

    def ask(port: int) -> None:
        for format_ in ("application/openmetrics-text", "text/plain"):
            for version in ("0.0.4", "1.0.0", "1.0.1", "2.0.0", "7"):
                for escaping in ("underscores", "values", "dots", "allow-utf-8", "none"):
                    accept = f"{format_}; version={version}; escaping={escaping}"
                    headers = [("accept", accept)]
                    assert http1.request((LOOPBACK, port), "GET", "/metrics", headers).body

    serving(metrics_pages(counted.registry, bool, clock=Clock()), ask)
    assert counted.times == 2, "once in each of two formats"


@pytest.mark.parametrize(("target", "status"), [("/livez", 200), ("/nowhere", 404)])
def test_a_connection_is_closed_after_its_answer(target: str, status: int) -> None:
    def ask(port: int) -> Response:
        with http1.Connection((LOOPBACK, port)) as connection:
            response = connection.request("GET", target)
            assert connection.read(1) == b""
            return response

    response = serving(metrics_pages(CollectorRegistry(), bool), ask)
    assert (response.status, response.header("connection")) == (status, "close")


def test_requests_that_are_sent_ahead_are_not_looked_at_and_hold_up_nobody() -> None:
    handled = []

    def ready() -> bool:
        handled.append("a request")
        return True

    def ask(port: int) -> Response:
        clients = [send_ahead((LOOPBACK, port), "/readyz", 200) for _ in range(190)]
        try:
            return http1.request((LOOPBACK, port), "GET", "/readyz")
        finally:
            for client in clients:
                client.close()

    assert serving(metrics_pages(CollectorRegistry(), ready), ask).status == 200
    assert len(handled) <= 191


def test_no_more_of_a_page_is_sent_ahead_than_the_client_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    megabytes = 16
    accepted: list[asyncio.BaseProtocol] = []
    accept = HttpListener._accept

    def remembered(listener: HttpListener) -> asyncio.BaseProtocol:
        accepted.append(accept(listener))
        return accepted[-1]

    monkeypatch.setattr(HttpListener, "_accept", remembered)

    def ask(port: int) -> tuple[int, int]:
        with send_ahead((LOOPBACK, port), "/metrics", 1) as client:
            client.recv(1)
            (unread,) = accepted
            waiting = unread.transport.get_write_buffer_size()  # type: ignore[attr-defined]  # aiohttp's
            read = 1
            while received := client.recv(1_000_000):
                read += len(received)
            return waiting, read

    counted = Counted(megabytes)
    waiting, read = serving(metrics_pages(counted.registry, bool), ask)
    # A part of a file, and what may be left of the one before when it is read.
    assert waiting <= (256 + 64) * 1024
    assert read >= megabytes * 1_000_000, "who reads gets all of it"


def test_answers_that_nobody_reads_keep_nobody_out_and_do_not_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    megabytes = 32
    monkeypatch.setattr(listeners, "MOST_CONNECTIONS", 3)

    def ask(port: int) -> int:
        unread = [send_ahead((LOOPBACK, port), "/metrics", 1) for _ in range(5)]
        try:
            for client in unread:
                with contextlib.suppress(ConnectionError):
                    client.recv(1)
            for _ in range(2):
                assert http1.request((LOOPBACK, port), "GET", "/livez").status == 200
            read = 0
            with contextlib.suppress(ConnectionError):
                while received := unread[0].recv(1_000_000):
                    read += len(received)
            return read
        finally:
            for client in unread:
                client.close()

    counted = Counted(megabytes)
    assert serving(metrics_pages(counted.registry, bool), ask) < megabytes * 1_000_000
