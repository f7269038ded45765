"""The HTTP client for everything that is fetched, with limits on size and time.

A server is not trusted: an answer that exceeds the limits is a ``SourceFault``. Its text names the
URL and the cause for operators, and never contains a secret.
"""

import asyncio
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from sidecar.clients import content_coding
from sidecar.clients.files import read
from sidecar.clients.proxy import ProxySettings
from sidecar.clients.tls import ClientTls, TlsFiles
from sidecar.errors import SourceFault

ANSWER_BYTES: Final = 256 * 1024
# Of a URL that a server sends: parsing a host name of many labels takes long.
LONGEST_URL: Final = 2048
_MAXIMUM_REDIRECTS: Final = 3
_MAXIMUM_HEADER_BYTES: Final = 16 * 1024
_LONGEST_NAME: Final = 200
# In these versions asyncio does not close a TLS connection without the server's close_notify;
# aiohttp aborts it instead.
_TLS_STAYS_HALF_CLOSED: Final = sys.version_info < (3, 12, 7)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})  # RFC 9110 §15.4
# RFC 9110 §8.8.3, in the characters that a header may safely be sent with, and of bounded length.
_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')
_FIXED_HEADERS: Final = {
    "User-Agent": "authz-sidecar",
    # RFC 9110 §12.5.3. Some servers compress even so (``content_coding``).
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How to reach one server.

    ``ca_file`` replaces the system's trusted authorities; ``certificate`` and ``private_key`` are
    the client's own, PEM. ``headers`` are sent with every request, their values read from files
    each time. Without ``allow_http`` only https is allowed. ``read_timeout`` limits each wait for
    the next bytes, in seconds; the caller limits the whole request. ``answer_bytes`` limits a body,
    because it is parsed in the process that answers checks. Without ``proxy`` every server is
    reached directly.

    At most ``connections`` are open at once. With ``idle`` they are reused, and closed after so
    many seconds without a request. The server may close one while a request is sent on it, which is
    then sent once more: set ``idle`` only for requests that are safe to repeat.
    """

    ca_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    headers: tuple[tuple[str, Path], ...] = ()
    allow_http: bool = False
    read_timeout: float = 5.0
    answer_bytes: int = ANSWER_BYTES
    idle: float = 0.0
    connections: int = 4
    proxy: ProxySettings | None = None

    @property
    def tls_files(self) -> TlsFiles:
        """The files that TLS needs."""
        return TlsFiles(self.ca_file, self.certificate, self.private_key)


class OversizedAnswer(SourceFault):
    """A server sent a body of more than ``answer_bytes``, packed or unpacked."""


@dataclass(frozen=True, slots=True)
class Response:
    """A server's complete response. Names in ``headers`` are compared without case.

    ``url`` is its URL after redirects; ``via`` says in messages through which proxy it came, of
    which it may be the answer if the server is reached over http.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""
    via: str = ""


class HttpClient:
    """An HTTP/1.1 client for servers that share the same settings.

    Every request has a connection of its own unless connections are reused (``HttpSettings.idle``).
    Cookies, proxy variables and .netrc are ignored. It may be created anywhere, and belongs to the
    event loop of its first request.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._tls = ClientTls(settings.tls_files)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by whether they keep connections
        self._fresh_until = -math.inf
        self._closed = False

    async def get(
        self,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        follow: bool = False,
        known: Response | None = None,
    ) -> Response:
        """GET a URL.

        Args:
            url: the URL.
            headers: sent in addition to those of the settings.
            follow: follow up to 3 redirects to the same scheme, host and port.
            known: the response of an earlier call. If the server confirms it with a 304 (RFC 9110
                §13.1.2), it is returned with the headers of the 304.

        Raises:
            SourceFault: no complete response within the limits, or a redirect that is not followed.
        """
        target = self._checked(url)
        for _ in range(_MAXIMUM_REDIRECTS + 1):
            conditions = _conditions(known, target)
            response = await self._request("GET", target, [*headers, *conditions])
            if known is not None and conditions and response.status == 304:
                return _confirmed(known, response)
            if response.status not in _REDIRECTS:
                return response
            target = _redirected(target, response, follow=follow)
        raise SourceFault(f"{redacted_url(url)} redirects more than {_MAXIMUM_REDIRECTS} times")

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        json: object = None,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request with a JSON document, a form or no body. Redirects are not followed.

        Raises:
            SourceFault: as ``get``.
        """
        target = self._checked(url)
        response = await self._request(method, target, headers, json=json, data=form)
        if response.status in _REDIRECTS:
            _redirected(target, response, follow=False)
        return response

    def named(self, url: str) -> str:
        """A URL for messages: redacted, and with the proxy that leads there."""
        proxy = self._proxy(URL(url))
        return redacted_url(url) + (_via(proxy) if proxy else "")

    async def close(self) -> None:
        """Close all connections and the client: a request in progress ends as a SourceFault."""
        self._closed = True
        for session in self._sessions.values():
            await session.close()
            # The transports below TLS close in the next iteration of the loop.
            await asyncio.sleep(0)

    def _proxy(self, url: URL) -> ProxySettings | None:
        """The proxy that leads to this server; None if it is reached directly."""
        proxy = self._settings.proxy
        return proxy if proxy is not None and proxy.leads_to(url) else None

    def _checked(self, text: str) -> URL:
        """The parsed URL; its scheme is one that the settings allow."""
        try:
            url = URL(text)
        except ValueError as fault:
            raise SourceFault(f"{redacted_url(text)} is not a URL") from fault
        if not url.host or url.scheme not in {"https", "http"}:
            raise SourceFault(f"{redacted_url(text)} is not an https URL")
        if url.scheme == "http" and not self._settings.allow_http:
            raise SourceFault(f"{redacted_url(text)} is not https, and allow_http is not set")
        return url

    async def _request(
        self, method: str, url: URL, headers: Iterable[tuple[str, str]], **body: Any
    ) -> Response:
        settings = self._settings
        proxy, via, through = self._proxy(url), "", {}
        sent = [*headers]
        if settings.headers:
            sent += await asyncio.to_thread(_from_files, settings.headers)
        if proxy is not None:
            via = _via(proxy)
            credentials = await proxy.headers()
            through = {"proxy": proxy.url, "proxy_headers": credentials}
            if url.scheme == "http":  # without a tunnel the proxy gets the request itself
                sent += credentials.items()
        tls = url.scheme == "https" or (proxy is not None and proxy.url.startswith("https:"))
        context = await asyncio.to_thread(self._tls.context) if tls else True
        try:
            async with await self._answer(
                method, url, headers=sent, ssl=context, allow_redirects=False, **through, **body
            ) as answer:
                if proxy is not None and url.scheme == "http" and answer.status == 407:
                    raise SourceFault(f"{redacted_url(url)}: {proxy.refusal(407)}")
                content = await self._body(answer)
                return Response(answer.status, answer.headers, content, str(url), via)
        except TimeoutError as fault:
            silent = f"sent nothing for {settings.read_timeout:g} s"
            connected = not isinstance(fault, aiohttp.ConnectionTimeoutError)
            cause = silent if connected else f"took no connection in {settings.read_timeout:g} s"
            raise SourceFault(f"{redacted_url(url)}{via} {cause}") from fault
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            failure = proxy and _failure_of_proxy(fault, proxy)
            cause = f": {failure}" if failure else f"{via} {_cause(fault)}"
            raise SourceFault(f"{redacted_url(url)}{cause}") from fault

    async def _answer(self, method: str, url: URL, **request: Any) -> aiohttp.ClientResponse:
        """Send a request and read the headers; repeated if a reused connection was closed."""
        clock = asyncio.get_running_loop().time
        if not self._settings.idle or clock() < self._fresh_until:
            return await self._session(kept=False).request(method, url, **request)
        try:
            answer = await self._session(kept=True).request(method, url, **request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return await self._session(kept=False).request(method, url, **request)
        if answer.status >= 500:
            # The reused connections may lead to a failed server, and new ones to its replacement.
            # The reused ones are not used until they have been idle for too long.
            self._fresh_until = clock() + self._settings.idle
        return answer

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        """The body, read and unpacked up to the limit, which is the same for both."""
        limit, received, body = self._settings.answer_bytes, 0, bytearray()
        try:
            coding = content_coding.reader(answer.headers.getall("Content-Encoding", ()))
            async for part in answer.content.iter_any():
                received += len(part)
                body += coding.read(part, limit + 1 - len(body))
                if max(received, len(body)) > limit:
                    raise OversizedAnswer(
                        f"sent more than {limit} bytes; "
                        "if its answer has to be that long, raise answer_bytes"
                    )
            coding.end()
            content_coding.refuse_packed(body)
        except SourceFault as fault:
            raise type(fault)(f"{self.named(str(answer.url))} {fault}") from fault
        return bytes(body)

    def _session(self, *, kept: bool) -> aiohttp.ClientSession:
        """The session that reuses connections, or the one that opens one per request."""
        if self._closed:
            raise SourceFault("no request is sent: this client was closed")
        if kept not in self._sessions:
            settings = self._settings
            self._sessions[kept] = aiohttp.ClientSession(
                # Requests may be minutes apart. A new connection cannot be stale, resolves the name
                # again, and uses the current certificates.
                connector=aiohttp.TCPConnector(
                    force_close=not kept,
                    keepalive_timeout=settings.idle if kept else None,
                    limit=settings.connections,
                    # Shares look-ups in progress only: each would otherwise occupy one of a few
                    # threads while a name server does not answer; files are read there too.
                    use_dns_cache=True,
                    ttl_dns_cache=0,
                    enable_cleanup_closed=_TLS_STAYS_HALF_CLOSED,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=settings.read_timeout, sock_read=settings.read_timeout
                ),
                headers=_FIXED_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._sessions[kept]


def redacted_url(url: str | URL) -> str:
    """The URL for messages, without user information, query and fragment, which may be secret."""
    try:
        address = URL(url)
        shown = address.with_user(None).with_query(None).with_fragment(None)
    except ValueError:  # yarl leaves parts out only of a URL that names a host
        scheme = str(url).partition(":")[0]
        return f"a {scheme}: address" if scheme.isalpha() else "an address without a host"
    text = str(shown)
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."


def _conditions(known: Response | None, url: URL) -> list[tuple[str, str]]:
    """The header of a conditional request, if the known response has an entity tag.

    If-Modified-Since is not used: its dates are whole seconds (RFC 9110 §8.8.2.2), and a key that
    is removed in the same second as another change would be missed.
    """
    if known is None or known.status != 200 or known.url != str(url):
        return []
    tag = known.headers.get("ETag", "")
    return [("If-None-Match", tag)] if _ENTITY_TAG.fullmatch(tag) else []


def _confirmed(known: Response, confirmation: Response) -> Response:
    """The known answer with the headers of a 304 in place of its own (RFC 9111 §4.3.4)."""
    headers = CIMultiDict(known.headers)
    headers.popall("Age", None)
    headers.update(confirmation.headers)
    return replace(known, headers=headers)


def _redirected(url: URL, response: Response, *, follow: bool) -> URL:
    """The target of a redirect; only one to the same origin is followed (SSRF)."""
    where = f"{redacted_url(url)}{response.via}"
    location = response.headers.get("Location", "")
    if len(location) > LONGEST_URL:
        raise SourceFault(f"{where} redirects to an address of more than {LONGEST_URL} characters")
    try:
        target = url.join(URL(location))
    except ValueError as fault:
        raise SourceFault(f"{where} redirects to something that is not a URL") from fault
    if not follow:
        raise SourceFault(f"{where} redirects to {redacted_url(target)}, which is not followed")
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
        raise SourceFault(
            f"{where} redirects to {redacted_url(target)}; "
            "redirects are followed to the same scheme, host and port alone"
        )
    return target


def _from_files(headers: Iterable[tuple[str, Path]]) -> list[tuple[str, str]]:
    """Headers whose values are secrets, read for each request because the files may be replaced."""
    found = []
    for name, path in headers:
        value = read(path, _MAXIMUM_HEADER_BYTES).strip()
        if not value or not value.isascii() or not value.decode("ascii").isprintable():
            raise SourceFault(f"{path} does not hold the one line that the header {name} needs")
        found.append((name, value.decode("ascii")))
    return found


def _via(proxy: ProxySettings) -> str:
    return f" (through the proxy {proxy.url})"


def _failure_of_proxy(fault: Exception, proxy: ProxySettings) -> str | None:
    """What the proxy itself refuses or fails at; None if the fault is of a server behind it."""
    if isinstance(fault, aiohttp.ClientHttpProxyError):
        return proxy.refusal(fault.status)
    url = URL(proxy.url)
    if isinstance(fault, aiohttp.ClientConnectorError) and (
        (fault.host, fault.port) == (url.raw_host, url.port)
    ):
        return f"the proxy {proxy.url} {_cause(fault)}"
    return None


def _cause(fault: Exception) -> str:
    """The cause, without the library's text, which may quote what was sent."""
    match fault:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(fault.certificate_error, "verify_message", "it cannot be verified")
            return f"shows a certificate that is not trusted: {why}"
        case aiohttp.ClientConnectorSSLError():
            return f"does not agree on TLS ({fault.os_error.strerror or 'no cause given'})"
        case aiohttp.ClientConnectorDNSError():
            return f"has a host name that cannot be resolved ({fault.os_error.strerror})"
        case aiohttp.ClientConnectorError():
            return f"cannot be reached: {_system_error(fault.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "sent an answer that ends too early"
        case aiohttp.ClientResponseError():
            return "sent an answer that is not HTTP"
        case OSError():
            return f"broke off the connection: {_system_error(fault)}"
        case _:
            return f"cannot be asked ({type(fault).__name__})"


def _system_error(fault: OSError) -> str:
    """The system's error text, which asyncio replaces by the address."""
    return os.strerror(fault.errno) if fault.errno else type(fault).__name__
