"""Public keys at a URL (RFC 7517 §5)."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from sidecar.clients.http import HttpClient, Response, redacted_url
from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.keys.settings import JwksKeys
from sidecar.keys.sources import Fetched, published

_SECONDS: Final = re.compile("[0-9]{1,10}")  # RFC 9111 §1.2.2


class JwksSource:
    """Fetches a key set over HTTP, with conditional requests."""

    def __init__(self, settings: JwksKeys) -> None:
        self._url = settings.url
        self._client = HttpClient(settings.http)
        self._reader = KeySetReader()
        self._answer: Response | None = None

    def __str__(self) -> str:
        return f"jwks {self._client.named(self._url)}"

    async def fetch(self) -> Fetched:
        """The keys at the URL (``KeySource.fetch``)."""
        self._answer = await self._client.get(self._url, follow=True, known=self._answer)
        return await self._reader.read(self._url, self._answer)

    async def close(self) -> None:
        """Close connections (``KeySource.close``)."""
        await self._client.close()


class KeySetReader:
    """Reads keys from a server's answer. A document that has not changed is not parsed again.

    Parsing is done on another thread, because a large set would delay checks that wait for the
    event loop.
    """

    def __init__(self) -> None:
        self._last: tuple[bytes, tuple[VerificationKey, ...]] | None = None

    async def read(self, url: str, answer: Response) -> Fetched:
        """The keys in an answer. Its media type is not checked: many servers set a wrong one.

        Raises:
            SourceFault: it is not a usable key set.
        """
        refuse_other_than_document(url, answer)
        if self._last is None or self._last[0] != answer.body:
            keys = await asyncio.to_thread(published, redacted_url(url), answer.body)
            self._last = (answer.body, keys)
        return Fetched(self._last[1], fresh_for(answer.headers))


def refuse_other_than_document(url: str, answer: Response) -> None:
    """Raise SourceFault for a status other than 200, and for an HTML page."""
    if answer.status != 200:
        raise SourceFault(
            f"{redacted_url(url)}{answer.via} answered with status {answer.status} instead of 200"
        )
    if answer.body.lstrip()[:1] == b"<":
        raise SourceFault(
            f"{redacted_url(url)}{answer.via} answered with a page for people (HTML) instead of "
            "JSON; a login page or a proxy may stand before it"
        )


def fresh_for(headers: Mapping[str, str]) -> float | None:
    """For how many more seconds an answer may be reused (RFC 9111 §4.2); None if it does not say.

    Only ``Cache-Control`` and ``Age`` are read.
    """
    parts = (part.strip().partition("=") for part in headers.get("Cache-Control", "").split(","))
    directives = {name.lower(): value.strip('"') for name, _, value in parts}
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    if not _SECONDS.fullmatch(directives.get("max-age", "")):
        return None
    age = headers.get("Age", "")
    passed = int(age) if _SECONDS.fullmatch(age) else 0
    return float(max(0, int(directives["max-age"]) - passed))
