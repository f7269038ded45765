"""Connections that are kept: used again, given up in time, and never in the way of a request."""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.clients.http import HttpClient, HttpSettings
from sidecar.errors import SourceFault
from tests.support.certificates import CertificateAuthority
from tests.support.ports import LOOPBACK
from tests.support.rings import until

Act = Callable[[StreamWriter], Awaitable[None]]

ANSWER = b"HTTP/1.1 %d Status\r\nContent-Length: 2\r\n\r\nok"


async def answer(writer: StreamWriter) -> None:
    writer.write(ANSWER % 200)


async def out_of_order(writer: StreamWriter) -> None:
    writer.write(ANSWER % 503)


async def close(writer: StreamWriter) -> None:
    writer.close()


async def reset(writer: StreamWriter) -> None:
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def stop_in_the_body(writer: StreamWriter) -> None:
    writer.write(ANSWER[:-1] % 200)
    writer.close()


class Server:
    """Keeps every connection. ``asked`` has the number of requests of each, ``open`` is how many
    there are now; the requests that come first are met with ``acts`` and all others answered.
    """

    def __init__(self, authority: CertificateAuthority) -> None:
        self.asked: list[int] = []
        self.acts: list[Act] = []
        self.open = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""
        self._authority = authority

    async def start(self) -> asyncio.Server:
        context = self._authority.server_context("server")
        server = await asyncio.start_server(self._serve, LOOPBACK, 0, ssl=context)
        self.url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        return server

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        number = len(self.asked)
        self.asked.append(0)
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"content-length: 2" in head.lower():
                    await reader.readexactly(2)
                self.asked[number] += 1
                await self.gate.wait()
                await (self.acts.pop(0) if self.acts else answer)(writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()


class Stage:
    """A server and a client that keeps connections to it."""

    def __init__(self, server: Server, client: HttpClient) -> None:
        self.server = server
        self.client = client

    async def post(self) -> int:
        """The status of a request that the library itself would not repeat."""
        return (await self.client.send("POST", self.server.url, json={})).status

    async def get(self) -> int:
        return (await self.client.get(self.server.url)).status


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    made = CertificateAuthority(tmp_path)
    made.issue("server", dns="localhost", address=LOOPBACK)
    return made


@pytest.fixture
def settings(authority: CertificateAuthority) -> HttpSettings:
    return HttpSettings(ca_file=authority.certificate_file, idle=30.0, read_timeout=2.0)


@pytest.fixture
def play(
    authority: CertificateAuthority, settings: HttpSettings
) -> Callable[[Callable[[Stage], Awaitable[None]]], None]:
    return lambda story: perform(authority, settings, story)


def perform(
    authority: CertificateAuthority,
    settings: HttpSettings,
    story: Callable[[Stage], Awaitable[None]],
) -> None:
    async def stage() -> None:
        server, client = Server(authority), HttpClient(settings)
        listening = await server.start()
        try:
            await story(Stage(server, client))
        finally:
            await client.close()
            await until(lambda: server.open == 0)
            listening.close()

    asyncio.run(stage())


Play = Callable[[Callable[[Stage], Awaitable[None]]], None]


def test_one_connection_serves_one_request_after_the_other(play: Play) -> None:
    async def story(stage: Stage) -> None:
        assert [await stage.post(), await stage.get(), await stage.post()] == [200, 200, 200]
        assert stage.server.asked == [3]

    play(story)


def test_connections_are_not_kept_unless_told_to(
    authority: CertificateAuthority, settings: HttpSettings
) -> None:
    async def story(stage: Stage) -> None:
        assert [await stage.post(), await stage.get()] == [200, 200]
        assert stage.server.asked == [1, 1]

    perform(authority, replace(settings, idle=0.0), story)


def test_no_more_are_open_than_are_allowed(
    authority: CertificateAuthority, settings: HttpSettings
) -> None:
    async def story(stage: Stage) -> None:
        stage.server.gate.clear()
        requests = [asyncio.create_task(stage.post()) for _ in range(9)]
        await until(lambda: sum(stage.server.asked) == 3)
        stage.server.gate.set()
        assert await asyncio.gather(*requests) == [200] * 9
        assert len(stage.server.asked) == 3

    perform(authority, replace(settings, connections=3), story)


def test_a_connection_that_nobody_uses_is_closed(
    authority: CertificateAuthority, settings: HttpSettings
) -> None:
    async def story(stage: Stage) -> None:
        await stage.post()
        await until(lambda: stage.server.open == 0)
        assert await stage.post() == 200
        assert stage.server.asked == [1, 1]

    perform(authority, replace(settings, idle=0.1), story)


@pytest.mark.parametrize("closing", [close, reset])
def test_a_request_on_a_connection_that_was_closed_meanwhile_is_sent_again(
    play: Play, closing: Act
) -> None:
    async def story(stage: Stage) -> None:
        stage.server.acts = [answer, closing]
        assert [await stage.post(), await stage.post()] == [200, 200]
        assert stage.server.asked == [2, 1]

    play(story)


def test_what_is_sent_again_never_goes_out_on_another_kept_connection(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.server.gate.clear()
        first = [asyncio.create_task(stage.post()) for _ in range(3)]
        await until(lambda: sum(stage.server.asked) == 3)
        stage.server.gate.set()
        await asyncio.gather(*first)

        # As when the server is restarted: none of the connections is good any more.
        stage.server.acts = [close]
        assert await stage.post() == 200
        assert sorted(stage.server.asked) == [1, 1, 1, 2]

    play(story)


@pytest.mark.parametrize("closing", [close, reset])
def test_a_request_is_sent_again_only_once(play: Play, closing: Act) -> None:
    async def story(stage: Stage) -> None:
        stage.server.acts = [answer, *[closing] * 5]
        await stage.post()
        with pytest.raises(SourceFault, match=f"^{stage.server.url} (closed|broke off) the conn"):
            await stage.post()
        assert stage.server.asked == [2, 1]

    play(story)


def test_an_answer_that_has_begun_is_not_asked_for_again(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.server.acts = [answer, stop_in_the_body]
        await stage.post()
        with pytest.raises(SourceFault, match="sent an answer that ends too early"):
            await stage.post()
        assert stage.server.asked == [2]

    play(story)


def test_a_server_that_is_silent_is_not_asked_again(
    authority: CertificateAuthority, settings: HttpSettings
) -> None:
    async def story(stage: Stage) -> None:
        await stage.post()
        stage.server.gate.clear()
        with pytest.raises(SourceFault, match=r"sent nothing for 0\.5 s"):
            await stage.post()
        assert stage.server.asked == [2]
        stage.server.gate.set()

    perform(authority, replace(settings, read_timeout=0.5), story)


def test_a_server_that_is_not_there_any_more_is_named(
    authority: CertificateAuthority, settings: HttpSettings
) -> None:
    async def story() -> None:
        server, client = Server(authority), HttpClient(settings)
        (await server.start()).close()
        with pytest.raises(SourceFault, match="cannot be reached: Connection refused"):
            await client.get(server.url)
        await client.close()

    asyncio.run(story())


def test_a_server_out_of_order_is_asked_on_new_connections(play: Play) -> None:
    async def story(stage: Stage) -> None:
        # What a load balancer does meanwhile reaches new connections alone.
        stage.server.acts = [answer, out_of_order, out_of_order]
        assert [await stage.post() for _ in range(4)] == [200, 503, 503, 200]
        assert stage.server.asked == [2, 1, 1]

    play(story)


def test_connections_are_kept_again_when_the_old_ones_are_gone(
    authority: CertificateAuthority, settings: HttpSettings
) -> None:
    async def story(stage: Stage) -> None:
        stage.server.acts = [out_of_order]
        await stage.post()
        await until(lambda: stage.server.open == 0)
        assert [await stage.post(), await stage.post()] == [200, 200]
        assert stage.server.asked == [1, 2]

    perform(authority, replace(settings, idle=0.2), story)


def test_a_client_that_is_closed_asks_no_more(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.server.gate.clear()
        under_way = asyncio.create_task(stage.post())
        await until(lambda: stage.server.asked == [1])
        await stage.client.close()
        stage.server.gate.set()
        for asked in (under_way, stage.post()):
            with pytest.raises(SourceFault, match="no request is sent"):
                await asked

    play(story)


def test_renewed_certificates_are_used_at_once(play: Play, settings: HttpSettings) -> None:
    async def story(stage: Stage) -> None:
        await stage.post()
        trusted = settings.ca_file
        assert trusted is not None
        trusted.write_bytes(trusted.read_bytes() + b"\n")
        assert await stage.post() == 200
        assert stage.server.asked == [1, 1]

    play(story)
