"""Stopping: calls that were received are answered, and nobody waits longer than needed."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sidecar.wire.grpc.sockets import Address, UnixAddress
from tests.support.processes import eventually
from tests.support.served import ECHO, Served, served, status_of, unary


@pytest.fixture
def address(socket_directory: Path) -> Address:
    return UnixAddress(socket_directory / "authz.sock")


@pytest.fixture
def running(address: Address) -> Iterator[Served]:
    with served(address) as running:
        yield running


def stopping(running: Served, grace: float) -> threading.Thread:
    thread = threading.Thread(target=running.server.stop, args=(grace,))
    thread.start()
    return thread


def test_a_server_without_connections_stops_long_before_its_grace_is_over(running: Served) -> None:
    running.echo(b"")
    running.channel.close()
    eventually(lambda: running.server.connections() == 0)

    began = time.monotonic()
    running.server.stop(30)

    assert time.monotonic() - began < 5


def test_a_stopping_server_serves_until_its_clients_have_gone(running: Served) -> None:
    late = running.park()
    stop = stopping(running, grace=30)
    assert running.echo(b"new call") == b"new call"
    running.parked[0].reply(b"late")
    assert late.result(timeout=5) == b"late"
    assert stop.is_alive()

    running.channel.close()

    stop.join(timeout=5)
    assert not stop.is_alive()


def test_no_call_fails_when_clients_leave_one_by_one_under_load(address: Address) -> None:
    with served(address) as running:
        failures: list[grpc.RpcError] = []
        answered = threading.Semaphore(0)
        leave = threading.Event()

        def client() -> None:
            with grpc.insecure_channel(
                address.text, [("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                method = unary(channel, ECHO)
                while not leave.is_set():
                    try:
                        method(b"", timeout=5)
                    except grpc.RpcError as error:
                        failures.append(error)
                    answered.release()

        clients = [threading.Thread(target=client) for _ in range(3)]
        for thread in clients:
            thread.start()
        stop = stopping(running, grace=30)
        for _ in range(300):
            assert answered.acquire(timeout=5)
        leave.set()
        for thread in [*clients, stop]:
            thread.join(timeout=5)
            assert not thread.is_alive()
        assert failures == []


def test_calls_left_when_the_grace_is_over_are_told_so(running: Served) -> None:
    future = running.park()
    running.server.stop(0.2)
    with pytest.raises(grpc.RpcError) as failure:
        future.result(timeout=5)
    assert status_of(failure.value) is grpc.StatusCode.UNAVAILABLE

    running.parked[0].reply(b"after the end")


def test_a_second_stop_shortens_the_wait(running: Served) -> None:
    running.echo(b"")
    stop = stopping(running, grace=30)
    running.server.stop(0)
    stop.join(timeout=5)
    assert not stop.is_alive()


def test_stopping_twice_and_before_the_start_does_nothing(running: Served) -> None:
    running.server.stop(0)
    running.server.stop(0)


def test_a_connection_is_refused_once_the_server_has_stopped(running: Served) -> None:
    running.echo(b"")
    running.server.stop(0)
    with pytest.raises(grpc.RpcError) as failure:
        running.echo(b"")
    assert status_of(failure.value) is grpc.StatusCode.UNAVAILABLE


def test_a_server_says_whether_it_serves(running: Served) -> None:
    assert running.server.serving
    running.channel.close()
    running.server.stop(0)
    assert not running.server.serving
