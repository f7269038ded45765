"""Public keys at the ``jwks_uri`` of an issuer's discovery document.

Each fetch reads the document and then the keys, so that an issuer may change its ``jwks_uri``.
"""

import asyncio
from dataclasses import replace
from typing import Final

from yarl import URL

from sidecar.clients.http import LONGEST_URL, HttpClient, Response, redacted_url
from sidecar.errors import SourceFault
from sidecar.jose.strict_json import StrictJsonError, load_object
from sidecar.keys.settings import OidcKeys
from sidecar.keys.sources import Fetched
from sidecar.keys.sources.jwks import KeySetReader, refuse_other_than_document

_OPENID: Final = "/.well-known/openid-configuration"
_OAUTH: Final = "/.well-known/oauth-authorization-server"
_NOT_THERE: Final = range(400, 500)


class OidcSource:
    """Fetches an issuer's discovery document, then the key set it names."""

    def __init__(self, settings: OidcKeys) -> None:
        self._issuer = settings.issuer
        self._client = HttpClient(settings.http)
        # The configured headers are credentials for the issuer, and are not sent to another host.
        self._elsewhere = HttpClient(replace(settings.http, headers=()))
        self._reader = KeySetReader()
        self._document: Response | None = None
        self._keys: Response | None = None

    def __str__(self) -> str:
        return f"oidc {self._client.named(self._issuer)}"

    async def fetch(self) -> Fetched:
        """The keys the issuer publishes (``KeySource.fetch``)."""
        where, document = await self._discovered()
        # Parsed on another thread, as key sets are (``KeySetReader``).
        url = await asyncio.to_thread(_jwks_uri, where, document, self._issuer)
        at_issuer = URL(url).origin() == URL(self._issuer).origin()
        client = self._client if at_issuer else self._elsewhere
        self._keys = await client.get(url, follow=at_issuer, known=self._keys)
        return await self._reader.read(url, self._keys)

    async def close(self) -> None:
        """Close connections (``KeySource.close``)."""
        await self._client.close()
        await self._elsewhere.close()

    async def _discovered(self) -> tuple[str, Response]:
        """The discovery document: OpenID Connect's, or where there is none, OAuth's."""
        openid, oauth = locations(self._issuer)
        answer = await self._client.get(openid, follow=True, known=self._document)
        if answer.status not in _NOT_THERE:
            self._document = answer
            return openid, answer
        self._document = other = await self._client.get(oauth, follow=True, known=self._document)
        if other.status in _NOT_THERE:
            raise SourceFault(
                f"there is no discovery document: {redacted_url(openid)} answered with status "
                f"{answer.status}, {redacted_url(oauth)} with {other.status}"
            )
        return oauth, other


def locations(issuer: str) -> tuple[str, str]:
    """The two URLs at which a discovery document may be.

    OpenID Connect Discovery 1.0 §4.1 appends to the issuer; RFC 8414 §3.1 inserts before its path.
    """
    base = issuer.removesuffix("/")
    inserted = str(URL(base).origin()) + _OAUTH + URL(base).raw_path.removesuffix("/")
    return base + _OPENID, inserted


def _jwks_uri(where: str, answer: Response, issuer: str) -> str:
    """The URL of the keys, from a document whose ``issuer`` is this issuer (RFC 8414 §3.3)."""
    refuse_other_than_document(where, answer)
    try:
        document = load_object(answer.body)
    except StrictJsonError as fault:
        raise SourceFault(
            f"{redacted_url(where)} is not a discovery document: it {fault}"
        ) from fault
    if document.get("issuer") != issuer:
        raise SourceFault(
            f"{redacted_url(where)} is the document of another issuer: it says "
            f"{str(document.get('issuer'))[:200]!r}, and the configuration {issuer!r}; "
            "they must be equal character by character"
        )
    url = document.get("jwks_uri")
    if not isinstance(url, str) or not url:
        raise SourceFault(f'{redacted_url(where)} has no "jwks_uri"')
    if len(url) > LONGEST_URL:
        raise SourceFault(
            f'{redacted_url(where)} has a "jwks_uri" of more than {LONGEST_URL} characters'
        )
    _refuse_unsafe(where, url, issuer)
    return url


def _refuse_unsafe(where: str, url: str, issuer: str) -> None:
    """Refuse keys that are neither at the issuer's origin nor at an https URL."""
    try:
        at_issuer = URL(url).origin() == URL(issuer).origin()
        https = URL(url).scheme == "https"
    except ValueError:
        at_issuer = https = False
    if not (https or at_issuer):
        raise SourceFault(
            f'{redacted_url(where)} names in "jwks_uri" {redacted_url(url)}; '
            "keys are fetched from https URLs, or from the issuer's own host"
        )
