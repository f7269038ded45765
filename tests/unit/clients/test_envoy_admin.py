"""What is read of Envoy's admin, and what is made of something else in its place."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from sidecar.clients.envoy_admin import EnvoyAdmin, Traffic, traffic_in
from sidecar.errors import SourceFault
from tests.support.ports import LOOPBACK, free_port

Answer = Callable[[socket.socket], None]


def statistics(**values: object) -> bytes:
    """As Envoy writes them; ``__`` stands for a dot."""
    listed = [{"name": name.replace("__", "."), "value": value} for name, value in values.items()]
    return json.dumps({"stats": listed}).encode()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def answering(*answers: bytes | Answer) -> Iterator[EnvoyAdmin]:
    """An admin that gives each request one of the answers, in turn."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    if isinstance(answer, bytes):
                        connection.sendall(answer)
                    else:
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield EnvoyAdmin(*server.getsockname())
        finally:
            thread.join()


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(SourceFault) as fault:
        ask()
    return str(fault.value)


def test_connections_of_all_listeners_and_requests_of_all_filters_are_added() -> None:
    found = traffic_in(
        statistics(
            **{
                "listener__0.0.0.0_8080__downstream_cx_active": 3,
                "listener__[__]_8443__downstream_cx_active": 4,
                "http__ingress__downstream_rq_active": 1,
                "http__edge__downstream_rq_active": 1,
                "http__ingress__downstream_cx_active": 3,
            }
        )
    )

    assert found == Traffic(connections=7, requests=2)


def test_no_thread_is_counted_besides_its_listener_nor_the_admin_nor_the_status() -> None:
    found = traffic_in(
        statistics(
            **{
                "listener__0.0.0.0_8080__downstream_cx_active": 3,
                "listener__0.0.0.0_8080__worker_0__downstream_cx_active": 1,
                "listener__0.0.0.0_8080__worker_11__downstream_cx_active": 2,
                "listener__admin__downstream_cx_active": 5,
                "listener__admin__main_thread__downstream_cx_active": 5,
                "listener__status__downstream_cx_active": 6,
                "listener__status__worker_0__downstream_cx_active": 6,
                "http__admin__downstream_rq_active": 1,
                "http__status__downstream_rq_active": 1,
            }
        )
    )

    assert found == Traffic(connections=3, requests=0)


@pytest.mark.parametrize(
    "document", [b"", b"OK", b"[]", b"{}", b'{"stats": {}}', b'{"stats": null}', b"\xff"]
)
def test_what_envoy_does_not_send_is_not_taken_for_an_end(document: bytes) -> None:
    with answering(http(document)) as admin:
        assert "statistics that cannot be read" in refusal(lambda: admin.traffic(5))


def test_nothing_that_listens_is_an_envoy_that_has_ended_or_was_never_there() -> None:
    admin = EnvoyAdmin(LOOPBACK, free_port())

    assert admin.traffic(5) is None
    assert refusal(lambda: admin.drain(5)) == (
        f"{admin}: nothing listens there; --admin takes the address of Envoy's admin"
    )


def test_an_address_is_named_as_it_is_written() -> None:
    assert str(EnvoyAdmin("::1", 9901)) == "Envoy's admin at [::1]:9901"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (http(b"not found", "404 Not Found"), "answered 404 to POST /drain_listeners?graceful"),
        (http(b"", "302 Found"), "answered 302"),
        (b"", "no answer that is HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer that is HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nOK", "no answer that is HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no answer that is HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000, "no answer that is HTTP"),
    ],
)
def test_something_else_in_its_place_is_a_fault(answer: bytes, says: str) -> None:
    with answering(answer) as admin:
        assert says in refusal(lambda: admin.drain(5))


def test_an_answer_without_end_is_cut() -> None:
    def flood(connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection.sendall(bytes(65536))

    with answering(flood) as admin:
        assert "sent more than 1048576 bytes" in refusal(lambda: admin.traffic(5))


def test_silence_is_not_waited_for() -> None:
    released = threading.Event()

    def say_nothing(_: socket.socket) -> None:
        released.wait(10)

    with answering(say_nothing) as admin:
        assert "gave no answer in 0.1 s" in refusal(lambda: admin.drain(0.1))
        released.set()


def test_an_answer_that_trickles_is_not_waited_for() -> None:
    released = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):
            while not released.wait(0.01):
                connection.sendall(b"a: b\r\n")

    with answering(trickle) as admin:
        assert "gave no answer in 0.2 s" in refusal(lambda: admin.traffic(0.2))
        released.set()
