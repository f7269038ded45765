"""A gateway behind the pages of its internal listener."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sidecar.gateway.exchange import Exchanged, IssuedSession
from sidecar.gateway.publishing import Document, jwks_document, metadata_document
from sidecar.model import Deny, Reason, RequestView
from sidecar.pages.internal import LARGEST_HEADER, internal_pages
from sidecar.pages.listener import HttpListener
from sidecar.pages.tls import ServerTls
from tests.support import http1
from tests.support.http1 import Field, Response
from tests.support.ports import LOOPBACK, free_port
from tests.support.sessions import identity
from tests.support.tokens import SigningKey, jwks, key_for

JWKS = "/.well-known/jwks.json"
COOKIE = "__Host-session=sealed; Path=/; Secure; HttpOnly; SameSite=Lax"
KEY = key_for("ES256")


@dataclass
class Gateway:
    """What stands behind the pages."""

    port: int = field(default_factory=free_port)
    path: str = ""
    scheme: str = "http"
    key: SigningKey | None = KEY
    outcome: IssuedSession | Deny | Exception = field(
        default_factory=lambda: IssuedSession(COOKIE, identity())
    )
    asked: list[RequestView] = field(default_factory=list)
    sessions: list[tuple[str, Exchanged]] = field(default_factory=list)
    refusals: list[tuple[Reason, int, str]] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return f"{self.scheme}://{LOOPBACK}:{self.port}{self.path}"

    def jwks(self) -> Document | None:
        return jwks_document(jwks(self.key), 300) if self.key else None

    @property
    def challenge(self) -> tuple[tuple[str, str], ...]:
        return (("realm", "shop"),)

    def metadata(self) -> Document:
        return metadata_document(self.issuer, 3600)

    async def begin_session(self, request: RequestView) -> Exchanged:
        self.asked.append(request)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Exchanged("sso", self.outcome)

    def exchanged(
        self, request: RequestView, request_id: str, exchanged: Exchanged, duration: float
    ) -> None:
        del request
        assert duration >= 0
        self.sessions.append((request_id, exchanged))

    def refused(self, request: RequestView, request_id: str, denial: Deny, status: int) -> None:
        del request_id
        self.refusals.append((denial.reason, status, request.path))

    @asynccontextmanager
    async def serving(self, tls: ServerTls | None = None) -> AsyncIterator[None]:
        pages = internal_pages(self.issuer, lambda: self, self)
        listener = HttpListener(LOOPBACK, self.port, pages, tls=tls, largest_header=LARGEST_HEADER)
        await listener.start()
        try:
            yield
        finally:
            await listener.stop()

    def ask(self, asking: Callable[[], Response]) -> Response:
        """Serve while ``asking`` asks, in a thread of its own."""

        async def story() -> Response:
            async with self.serving():
                return await asyncio.to_thread(asking)

        return asyncio.run(story())

    def request(self, method: str, target: str, *headers: Field, body: bytes = b"") -> Response:
        return self.ask(lambda: http1.request((LOOPBACK, self.port), method, target, headers, body))
