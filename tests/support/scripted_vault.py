"""A Vault whose answers a test writes itself, for what no real one would answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from io import BufferedIOBase
from pathlib import Path

from sidecar.clients.http import HttpSettings
from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.settings import Login, TokenFile, VaultSettings
from tests.support.upstream import Received, Upstream, respond

TOKEN = "s.a-client-token"
Call = Callable[[VaultClient], Awaitable[object]]


class Server:
    """Answers as the test says, and keeps the last request."""

    def __init__(self, upstream: Upstream, directory: Path) -> None:
        self.received: list[Received] = []
        self._address = "http://{}:{}".format(*upstream.address)
        self._answers = upstream.answers
        self._directory = directory

    def answers(self, path: str, document: object, status: int = 200) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        respond_with = respond(status, body=body)

        def answer(request: Received, reader: BufferedIOBase, writer: BufferedIOBase) -> None:
            self.received.append(request)
            respond_with(request, reader, writer)

        self._answers[f"/v1/{path}"] = answer

    def file(self, name: str, content: str) -> Path:
        path = self._directory / name
        path.write_text(content)
        return path

    def ask(self, call: Call, *, namespace: str = "", login: Login | None = None) -> object:
        """Make a call, with the token of a file unless told otherwise."""
        login = login or TokenFile(self.file("token", TOKEN))
        http = HttpSettings(allow_http=True)

        async def story() -> object:
            client = VaultClient(VaultSettings(self._address, login, namespace, http))
            try:
                return await call(client)
            finally:
                await client.close()

        return asyncio.run(story())
