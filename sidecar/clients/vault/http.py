"""Sends one request to Vault or OpenBao, and interprets the response.

A refusal is a ``SourceFault`` with the path, the status and the message of the server. A message
that repeats a secret is left out.
"""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from sidecar.clients.http import HttpClient, HttpSettings, Response, redacted_url
from sidecar.errors import SourceFault
from sidecar.jose.strict_json import StrictJsonError, load_object

_LONGEST_EXPLANATION: Final = 200
# Bytes. Parsing more would block the event loop for too long.
_LONGEST_READ_AT_ONCE: Final = 16 * 1024
_UNAVAILABLE: Final = "is not in service: the server is sealed or in maintenance"


class VaultHttp:
    """The API of one server below ``/v1``, in one namespace. Paths are given without ``/v1/``."""

    def __init__(self, address: str, namespace: str, settings: HttpSettings) -> None:
        self._address = address.rstrip("/")
        self._namespace = namespace
        self._http = HttpClient(settings)

    async def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Mapping[str, object] | None = None,
        query: str = "",
    ) -> Response:
        """The answer to one request, whatever its status.

        Raises:
            SourceFault: there is no response (``HttpClient.send``).
        """
        # Agents and proxies may require it, as a protection against request forgery by browsers.
        headers = [("X-Vault-Request", "true")]
        if self._namespace:
            headers.append(("X-Vault-Namespace", self._namespace))
        if token is not None:
            headers.append(("X-Vault-Token", token))
        return await self._http.send(method, self._url(path) + query, headers=headers, json=body)

    async def document(self, path: str, response: Response, secret: str) -> dict[str, object]:
        """The document of a successful answer; empty for one without a body.

        Raises:
            SourceFault: it is a refusal. ``secret`` is what the request authenticated with.
        """
        if response.status == 204:
            return {}
        if response.status == 200:
            try:
                if len(response.body) <= _LONGEST_READ_AT_ONCE:
                    return load_object(response.body)
                return await asyncio.to_thread(load_object, response.body)
            except StrictJsonError as fault:
                raise self.invalid_answer(path) from fault
        words = explanation(response.body)
        cause = f"{response.status}: {words}" if words and secret not in words else response.status
        meaning = _UNAVAILABLE if response.status == 503 else "says no"
        raise SourceFault(f"{self.redacted_url(path)}{response.via} {meaning} ({cause})")

    def redacted_url(self, path: str) -> str:
        """The full URL of a path, for messages."""
        return redacted_url(self._url(path))

    def invalid_answer(self, path: str) -> SourceFault:
        """The fault of an answer that is not in the format of this API."""
        return SourceFault(f"{self.redacted_url(path)} gave an answer that Vault would not give")

    async def close(self) -> None:
        """Close connections."""
        await self._http.close()

    def _url(self, path: str) -> str:
        return f"{self._address}/v1/{quote(path)}"


def explanation(body: bytes) -> str:
    """The message of the server in a refusal, on one line and cut to length."""
    if len(body) > _LONGEST_READ_AT_ONCE:
        return ""
    try:
        errors = load_object(body).get("errors")
    except StrictJsonError:
        return ""
    if not isinstance(errors, list):
        return ""
    words = " ".join(" ".join(map(str, errors)).split())[:_LONGEST_EXPLANATION]
    return "".join(filter(str.isprintable, words))
