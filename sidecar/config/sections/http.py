"""How a server is reached over HTTP: what keys, Vault and introspection have in common."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from sidecar.clients.http import ANSWER_BYTES, HttpSettings
from sidecar.clients.proxy import ProxySettings
from sidecar.config.header_names import RequestHeader, distinct_headers
from sidecar.config.problems import Finding, Location
from sidecar.config.section import Section, copied, written
from sidecar.config.values import File

# Parsing an answer of the largest size takes about 0.1 s of the time for checks.
AnswerBytes = Annotated[StrictInt, Field(ge=1024, le=1024 * 1024)]


_READ_TIMEOUT: Final = 5.0
HTTPS_OR_ALLOWED: Final = "write https, or allow_http: true in the source"


class RemoteServer(Section):
    """A server that is reached over HTTP."""

    ca_file: File | None = written(
        None, "The trusted CA certificates for the server, PEM, in place of the system's."
    )
    certificate: File | None = written(None, "The client certificate, with its chain, PEM.")
    private_key: File | None = written(
        None, "The client certificate's key, PEM; without it, it is in `certificate`."
    )
    allow_http: StrictBool = written(
        False, "Allow http, too: anyone on the network path can then read and change the messages."
    )
    answer_bytes: AnswerBytes = written(
        ANSWER_BYTES, "The most bytes that an answer may have; a longer one is a failure."
    )

    # The key with the server's URL, if there is one, and what others could do to it over http.
    server_url: ClassVar[str | None] = None
    danger: ClassVar[str] = "could exchange the keys"

    def findings(self) -> Iterator[Finding]:
        """The server is reached over https, with a certificate for its key."""
        yield from super().findings()
        url = self.server_url
        if url is not None and not self.allow_http:
            yield from over_http((url,), getattr(self, url), self.danger, HTTPS_OR_ALLOWED)
        if self.private_key and not self.certificate:
            text = "there is a private_key and no certificate to go with it; write both or neither"
            yield Finding(("private_key",), text)

    def http_settings(self, proxy: ProxySettings | None) -> HttpSettings:
        """How the server is reached; through the proxy, unless that leaves the server out."""
        headers = self.headers if isinstance(self, RequestHeaders) else {}
        return copied(
            HttpSettings,
            self,
            headers=tuple(headers.items()),
            read_timeout=_READ_TIMEOUT,
            proxy=proxy,
        )


class RequestHeaders(Section):
    """Headers that are sent to a server, such as credentials."""

    headers: Annotated[dict[RequestHeader, File], BeforeValidator(distinct_headers)] = written(
        {}, "Headers to send, each with the file that holds its value."
    )


def over_http(here: Location, url: str, danger: str, choice: str) -> Iterator[Finding]:
    """A URL over http. ``danger`` is what an attacker could do, ``choice`` how to fix it."""
    if urlsplit(url).scheme == "http":
        yield Finding(here, f"over http, whoever is on the way {danger}; {choice}")
