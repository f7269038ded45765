"""The network between a program and its server, which may be cut and mended."""

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.http1 import Address
from tests.support.ports import LOOPBACK, free_port


class Relay:
    """Passes bytes on to a server of TLS on this host, for the length of a ``with`` block.

    ``cut`` breaks what is open and has new connections refused, ``hold`` accepts them and lets no
    more bytes through, ``mend`` ends both. It begins cut.
    """

    def __init__(self, server_url: str) -> None:
        url = urlsplit(server_url)
        assert url.port
        self._server: Address = (LOOPBACK, url.port)
        self._port = free_port()
        self.url = f"{url.scheme}://{LOOPBACK}:{self._port}"
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._flows = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def mend(self) -> None:
        """Let everything through."""
        self._flows.set()
        if self._listening is None:
            self._listening = socket.create_server((LOOPBACK, self._port))
            self._run(self._accept, self._listening)

    def hold(self) -> None:
        """Keep what comes."""
        self._flows.clear()

    def cut(self) -> None:
        """End every connection, and let nobody begin one."""
        if self._listening is not None:
            _end(self._listening)
            self._listening = None
        self._flows.set()
        for connection in self._open:
            _end(connection)
        self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                self._run(self._pass_on, client, server)
                self._run(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        _end(source)
        _end(target)

    def _run(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments)
        thread.start()
        self._threads.append(thread)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
