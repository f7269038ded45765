"""What a well-behaved client sees of the server."""

import logging
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sidecar.wire.grpc import completion_queue
from sidecar.wire.grpc.calls import UNKNOWN_METHOD, Call, Limits
from sidecar.wire.grpc.server import new_server
from sidecar.wire.grpc.sockets import Address, UnixAddress, parse_address
from tests.support.served import ECHO, PARK, Served, served, status_of, unary

OVER_TCP = "127.0.0.1:0"


@pytest.fixture
def address(socket_directory: Path) -> Address:
    return UnixAddress(socket_directory / "authz.sock")


@pytest.fixture
def echo(address: Address) -> Iterator[Served]:
    with served(address) as running:
        yield running


def failing_status(served: Served, method: str, body: bytes = b"") -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as failure:
        served.method(method)(body, timeout=5)
    return status_of(failure.value)


@pytest.mark.parametrize("body", [b"", b"\x0a\x00", bytes(range(256)) * 1024])
def test_bytes_go_through_the_handler_and_back(echo: Served, body: bytes) -> None:
    assert echo.echo(body) == body
    echo.wait_for((ECHO, "OK"))


def test_a_port_is_served_like_a_socket() -> None:
    with served(parse_address(OVER_TCP)) as running:
        assert running.server.address.text.startswith("127.0.0.1:")
        assert running.echo(b"over TCP") == b"over TCP"


def test_the_handler_sees_the_method_and_the_deadline(address: Address) -> None:
    calls: list[Call] = []

    def note(call: Call) -> None:
        calls.append(call)
        call.reply(b"")

    before = time.time()
    with served(address, {"/test.Note/Note": note}) as running:
        running.method("/test.Note/Note")(b"", timeout=7)
        running.method("/test.Note/Note")(b"")

    assert [call.method for call in calls] == ["/test.Note/Note"] * 2
    assert before + 6 < calls[0].deadline < time.time() + 7
    assert calls[1].deadline == math.inf


def test_an_unknown_method_is_unimplemented_and_counted_under_one_name(echo: Served) -> None:
    assert failing_status(echo, "/test.Echo/Nothing") is grpc.StatusCode.UNIMPLEMENTED
    echo.wait_for((UNKNOWN_METHOD, "Unimplemented"))


def test_a_handler_may_refuse(address: Address) -> None:
    def refuse(call: Call) -> None:
        call.fail(grpc.StatusCode.NOT_FOUND, "not here: \ud800")

    with served(address, {"/test.Refuse/Refuse": refuse}) as running:
        with pytest.raises(grpc.RpcError) as failure:
            running.method("/test.Refuse/Refuse")(b"", timeout=5)
        assert status_of(failure.value) is grpc.StatusCode.NOT_FOUND
        assert "not here: ?" in str(failure.value)
        running.wait_for(("/test.Refuse/Refuse", "NotFound"))


def test_a_handler_that_raises_fails_its_call_alone(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_call: Call) -> None:
        raise LookupError("a bug")

    with served(address, {"/test.Broken/Broken": broken}) as running:
        assert failing_status(running, "/test.Broken/Broken") is grpc.StatusCode.INTERNAL
        assert running.echo(b"still there") == b"still there"

    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "/test.Broken/Broken" in record.getMessage()
    assert record.exc_info is not None


def test_a_report_that_raises_does_not_end_the_server(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    def report(_method: str, _code: str) -> None:
        raise LookupError("a bug")

    server = new_server(
        address, {ECHO: lambda call: call.reply(call.body)}, handled=report, limits=Limits()
    )
    server.start()
    try:
        with grpc.insecure_channel(address.text) as channel:
            assert unary(channel, ECHO)(b"first", timeout=5) == b"first"
            assert unary(channel, ECHO)(b"second", timeout=5) == b"second"
    finally:
        server.stop(0)
    assert "a gRPC event could not be handled" in caplog.text


def test_a_call_can_be_answered_later_from_another_thread(echo: Served) -> None:
    future = echo.park()
    assert echo.echo(b"meanwhile") == b"meanwhile"
    assert not future.done()

    threading.Thread(target=echo.parked[0].reply, args=(b"late",)).start()

    assert future.result(timeout=5) == b"late"


def test_only_the_first_answer_counts(echo: Served) -> None:
    future = echo.park()
    call = echo.parked[0]
    call.reply(b"first")
    call.reply(b"second")
    call.fail(grpc.StatusCode.ABORTED, "third")

    assert future.result(timeout=5) == b"first"
    echo.wait_for((PARK, "OK"))


def test_threads_that_answer_the_same_call_at_once_do_not_disturb_the_server(echo: Served) -> None:
    for _ in range(20):
        future = echo.park()
        start = threading.Barrier(4)

        def answer(call: Call, start: threading.Barrier = start) -> None:
            start.wait()
            call.reply(b"one of four")

        threads = [threading.Thread(target=answer, args=(echo.parked[-1],)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert future.result(timeout=5) == b"one of four"
    echo.wait_for(*[(PARK, "OK")] * 20)


def test_calls_above_the_limit_are_refused_until_there_is_room(address: Address) -> None:
    with served(address, limits=Limits(max_pending=2)) as running:
        first, second = running.park(), running.park()
        # The client may open no more streams on that connection, so another one it is.
        with grpc.insecure_channel(
            running.server.address.text, [("grpc.use_local_subchannel_pool", 1)]
        ) as other:
            with pytest.raises(grpc.RpcError) as failure:
                unary(other, ECHO)(b"", timeout=5)
            assert status_of(failure.value) is grpc.StatusCode.RESOURCE_EXHAUSTED

            running.parked[0].reply(b"")
            assert first.result(timeout=5) == b""
            assert unary(other, ECHO)(b"room again", timeout=5) == b"room again"
        running.parked[1].reply(b"")
        assert second.result(timeout=5) == b""


def test_a_thousand_calls_at_once_are_all_answered(echo: Served) -> None:
    method = echo.method(ECHO)
    futures = [method.future(b"%d" % number, timeout=30) for number in range(1000)]
    assert [future.result() for future in futures] == [b"%d" % number for number in range(1000)]


def test_a_thousand_parked_calls_hold_no_thread(echo: Served) -> None:
    threads = threading.active_count()
    method = echo.method(PARK)
    futures = [method.future(b"", timeout=30) for _ in range(999)]
    futures.append(echo.park())
    while len(echo.parked) < 1000:
        assert echo.echo(b"") == b""
    assert threading.active_count() <= threads + 1

    for call in echo.parked:
        call.reply(b"done")
    assert {future.result() for future in futures} == {b"done"}


def test_connections_are_counted(echo: Served) -> None:
    assert echo.server.connections() == 0
    echo.echo(b"")
    assert echo.server.connections() == 1


def test_a_grpcio_without_what_is_needed_is_named_and_served_without(
    address: Address, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(completion_queue, "_USED", ("Server.start", "Server.start_sooner", "Tea"))
    with served(address) as running:
        assert running.server.implementation == "public"
        assert running.echo(b"all the same") == b"all the same"
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "does not have what the fast gRPC server uses (Server.start_sooner, Tea)" in (
        record.getMessage()
    )
    assert "µs more CPU per check" in record.getMessage()
