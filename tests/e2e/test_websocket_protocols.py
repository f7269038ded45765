"""A browser's WebSocket brings its token among the protocols that it offers (RFC 6455 §11.3.4).

The WebSocket server and its client are aiohttp's.
"""

import asyncio
import threading
import uuid
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError, web

from tests.e2e import shop
from tests.e2e.conftest import StartSidecar
from tests.support import envoy, http2
from tests.support.http1 import HOST, Address, Field
from tests.support.pod import Exchange, Pod, running_pod
from tests.support.pod_fixtures import StartPod
from tests.support.ports import LOOPBACK
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream, echo_upgraded

pytestmark = pytest.mark.every_envoy

PROTOCOLS = "sec-websocket-protocol"
SOURCES = [
    {"header": "authorization", "scheme": "Bearer"},
    {"header": PROTOCOLS, "prefix": "bearer."},
]
UPGRADE: list[Field] = [("connection", "upgrade"), ("upgrade", "websocket")]


@pytest.fixture(scope="module")
def websocket_sidecar(start_sidecar: StartSidecar) -> SidecarProcess:
    return start_sidecar(token_sources=SOURCES)


@pytest.fixture(scope="module")
def websocket_pod(websocket_sidecar: SidecarProcess, start_pod: StartPod) -> Pod:
    return start_pod(websocket_sidecar)


def opened(pod: Pod, *lines: str, target: str = "/orders/socket", **more: Any) -> Exchange:
    """The opening of a WebSocket with these lines of protocols."""
    pod.upstream.answers[target] = echo_upgraded
    try:
        return pod.request(
            target=target, headers=[*UPGRADE, *((PROTOCOLS, line) for line in lines)], **more
        )
    finally:
        del pod.upstream.answers[target]


def token(**changes: Any) -> str:
    return f"bearer.{shop.token(**changes)}"


def test_the_other_protocols_of_all_lines_reach_the_application(websocket_pod: Pod) -> None:
    exchange = opened(websocket_pod, "graphql-ws", f"{token()},chat", "superchat")

    assert exchange.response.status == 101
    assert exchange.received.values(PROTOCOLS) == [b"graphql-ws, chat, superchat"]
    assert exchange.received.values("x-user-id") == [b"alice"]


def test_the_header_is_gone_where_there_is_no_other_protocol(websocket_pod: Pod) -> None:
    exchange = opened(websocket_pod, token())

    assert exchange.response.status == 101
    assert exchange.received.values(PROTOCOLS) == []


@pytest.mark.parametrize("target", ["/healthz", "/catalogue"])
def test_the_token_reaches_no_public_or_optional_route(websocket_pod: Pod, target: str) -> None:
    exchange = opened(websocket_pod, f"graphql-ws, {token()}", target=target)

    assert exchange.response.status == 101
    assert exchange.received.values(PROTOCOLS) == [b"graphql-ws"]


def test_the_token_is_removed_in_shadow_mode(
    start_sidecar: StartSidecar, start_pod: StartPod
) -> None:
    pod = start_pod(start_sidecar(token_sources=SOURCES, mode="shadow"))

    exchange = opened(pod, "graphql-ws", token(audience="payments"))

    assert exchange.access_log["decision"] == "would_deny"
    assert exchange.received.values(PROTOCOLS) == [b"graphql-ws"]


@pytest.mark.parametrize("lines", [["{0}, {0}"], ["{0}", "{0}"]])
def test_two_tokens_among_the_protocols_are_ambiguous(websocket_pod: Pod, lines: list[str]) -> None:
    exchange = opened(websocket_pod, *(line.format(token()) for line in lines))

    assert exchange.response.status == 400
    assert exchange.access_log["reason"] == "ambiguous_request"


def test_a_token_among_the_protocols_and_one_elsewhere_are_ambiguous(websocket_pod: Pod) -> None:
    exchange = opened(websocket_pod, token(), token=shop.token())

    assert exchange.response.status == 400
    assert exchange.access_log["reason"] == "ambiguous_request"


def test_without_a_token_the_socket_is_refused(websocket_pod: Pod) -> None:
    assert opened(websocket_pod, "graphql-ws").response.status == 401


def test_an_upgrade_over_http_2_is_the_same(
    websocket_sidecar: SidecarProcess, start_pod: StartPod
) -> None:
    """RFC 8441: Envoy makes an upgrade of HTTP/1.1 of it."""
    configuration = envoy.load(envoy.PLAIN)
    manager = envoy.http_connection_manager(configuration)
    manager["http2_protocol_options"]["allow_connect"] = True
    pod = start_pod(websocket_sidecar, configuration)
    request_id = uuid.uuid4().hex
    pseudo = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http")]
    target = [(":authority", HOST), (":path", "/orders/extended")]
    protocols = [(PROTOCOLS, "graphql-ws"), (PROTOCOLS, token())]

    http2.request(pod.envoy.address, [*pseudo, *target, ("x-request-id", request_id), *protocols])

    (received,) = pod.upstream.received(request_id)
    assert received.values(PROTOCOLS) == [b"graphql-ws"]
    assert received.values("x-user-id") == [b"alice"]


# A whole server and a whole client.


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Selects graphql-ws, says whose socket it is, and sends back what comes."""
    socket = web.WebSocketResponse(protocols=["graphql-ws"])
    await socket.prepare(request)
    await socket.send_str(request.headers["x-user-id"])
    async for message in socket:
        await socket.send_str(message.data)
    return socket


@contextmanager
def websocket_server() -> Iterator[Address]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

    application = web.Application()
    application.add_routes([web.get("/orders/{id}", echo)])
    runner = web.AppRunner(application)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()

    try:
        run(start())
        yield runner.addresses[0]
    finally:
        run(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def socket_address(
    envoy_version: str,
    websocket_sidecar: SidecarProcess,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Address]:
    """Envoy in front of the WebSocket server."""
    directory: Path = tmp_path_factory.mktemp("envoy")
    with (
        websocket_server() as application,
        running_pod(
            envoy_version,
            directory,
            authz=websocket_sidecar.socket,
            upstream=upstream,
            application=application,
        ) as pod,
    ):
        yield pod.envoy.address


def conversation(address: Address, *protocols: str) -> tuple[str | None, list[str]]:
    """The protocol that the server selects, and what it says."""

    async def talk() -> tuple[str | None, list[str]]:
        url = f"ws://{address[0]}:{address[1]}/orders/1"
        async with (
            ClientSession() as session,
            session.ws_connect(url, protocols=protocols, headers={"host": HOST}) as socket,
        ):
            greeting = await socket.receive_str(timeout=10)
            await socket.send_str("hello")
            return socket.protocol, [greeting, await socket.receive_str(timeout=10)]

    return asyncio.run(talk())


@pytest.mark.parametrize("token_first", [True, False])
def test_the_server_selects_the_other_protocol(
    socket_address: Address, *, token_first: bool
) -> None:
    offered = ["graphql-ws", token(subject="bob")]
    if token_first:
        offered.reverse()

    assert conversation(socket_address, *offered) == ("graphql-ws", ["bob", "hello"])


def test_nothing_is_selected_where_the_token_is_the_only_protocol(socket_address: Address) -> None:
    """A browser would close the socket: it offered a protocol, and none was selected."""
    selected, _ = conversation(socket_address, token())

    assert selected is None


def test_a_forged_token_opens_no_socket(socket_address: Address) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        conversation(socket_address, "graphql-ws", "bearer.a.b.c")

    assert refused.value.status == 401
