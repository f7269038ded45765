"""What a gateway does with a key ring: it mints tokens, publishes its JWKS, and keeps the ring up.

In a thread of its own, as the rings live on an event loop.
"""

import asyncio
import json
import threading
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Final, Self, TypeVar

from sidecar.errors import SourceFault
from sidecar.rings import SigningRing
from sidecar.rings.lifecycle import Timings
from tests.e2e.keys_authorities import Authority
from tests.e2e.shop import AUDIENCE
from tests.support.key_server import Connection
from tests.support.rings import signature
from tests.support.tokens import Json, claims, segment

T = TypeVar("T")

# For verifiers that refresh every second. A key is published 3.2 s ahead and kept for 1.4 s.
TIMINGS: Final = Timings(verifier_refresh=1, token_life=1, leeway=0.2, propagation=1, period=3600)
_MINTED_EVERY: Final = 0.05
_PATIENCE: Final = 10.0


class Gateway:
    """Signs with a ring for the length of a ``with`` block; mints at most 20 tokens a second."""

    def __init__(self, ring: SigningRing, authority: Authority) -> None:
        self.name = authority.name
        self._ring = ring
        self._issuer = authority.issuer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._lock = threading.Lock()
        self._token, self._minted = "", float("-inf")

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._ring.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._do(self._ring.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def kid(self) -> str | None:
        """The key that signs now, if any does."""
        try:
            return self._ring.keys.signer(time.time()).kid
        except SourceFault:
            return None

    @property
    def published(self) -> set[str]:
        """The keys in the JWKS."""
        return {jwk["kid"] for jwk in self._ring.jwks(time.time())["keys"]}

    def token(self) -> str:
        """A token that was minted a moment ago."""
        with self._lock:
            if time.monotonic() >= self._minted + _MINTED_EVERY:
                self._token = self.mint(TIMINGS.token_life)
                self._minted = time.monotonic()
            return self._token

    def mint(self, lifetime: float) -> str:
        """A token of its own, good for this many seconds."""
        document = claims(issuer=self._issuer, audience=AUDIENCE, subject="alice")
        return self._do(self._signed({**document, "exp": time.time() + lifetime}))

    def serve(self, connection: Connection) -> None:
        """Answer with the JWKS, as its endpoint does."""
        document = json.dumps(self._ring.jwks(time.time())).encode()
        connection.answer(document, headers={"Cache-Control": f"max-age={self._ring.max_age()}"})

    async def _signed(self, document: Json) -> str:
        key = self._ring.keys.signer(time.time())
        header = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"}
        message = f"{segment(header)}.{segment(document)}"
        return f"{message}.{segment(await signature(key, message.encode()))}"

    def _do(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)
