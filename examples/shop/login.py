"""The shop's login page: whoever logs in at the SSO gets a session of the gateway's.

It is reached through the edge, at the host whose cookie it sets: docs/login-page.md.

``SSO=… SSO_CA=… SSO_SECRET=… GATEWAY=… CALLBACK=… python -m examples.shop.login PORT``: the URL of
the SSO, the certificate it is trusted by and the page's secret there; the URL of the gateway's
internal listener; and where the SSO sends people back to, as it is registered there.
"""

import base64
import json
import os
import secrets
import ssl
import sys
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from typing import Final
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from typing_extensions import override

from examples.shop.service import Service, serve

CLIENT: Final = "login-page"
_SCOPES: Final = "openid orders:read orders:write"
_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"
_FORGET: Final = f"__Host-session=; {_ATTRIBUTES}; Max-Age=0"


class LoginPage(Service):
    """Sends people to the SSO, takes them back from there, and logs them out."""

    @override
    def respond(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match self.command, url.path:
            case "GET", "/login":
                self._send_to_sso(query.get("return_to", "/"))
            case "GET", "/login/callback":
                self._begin_session(query.get("code", ""), query.get("state", ""))
            case "POST", "/login/logout":
                self._redirect("/", _FORGET)
            case _:
                self.answer(404)

    def _send_to_sso(self, return_to: str) -> None:
        """To the SSO's own page (RFC 6749 §4.1.1), with a state that only this browser has."""
        state = secrets.token_urlsafe(16)
        if not return_to.startswith("/") or return_to[1:2] in {"/", "\\"}:
            return_to = "/"  # it would lead to another site
        path = quote(return_to)  # and no line break in it would end a header
        asked = {
            "response_type": "code",
            "client_id": CLIENT,
            "redirect_uri": os.environ["CALLBACK"],
            "scope": _SCOPES,
            "state": state,
        }
        kept = f"__Host-login={state}.{path}; {_ATTRIBUTES}; Max-Age=600"
        self._redirect(f"{os.environ['SSO']}/auth?{urlencode(asked)}", kept)

    def _begin_session(self, code: str, state: str) -> None:
        """Back from the SSO: what it has issued buys a session, which goes to the browser."""
        cookie = SimpleCookie(self.headers.get("cookie", "")).get("__Host-login")
        expected, _, path = (cookie.value if cookie else "").partition(".")
        if not state or not secrets.compare_digest(state.encode(), expected.encode()):
            self.answer(400, problem="this login was not begun by this browser")
            return
        try:
            issued = _issued(code)
        except HTTPError:
            self.answer(400, problem="the SSO has not issued this code, or it was used before")
            return
        connection = HTTPConnection(urlsplit(os.environ["GATEWAY"]).netloc, timeout=5)
        try:
            # Where a request would carry it; with the id by which both logs call this login.
            headers = {"cookie": f"sso_session={issued}"}
            headers["x-request-id"] = self.headers.get("x-request-id", "")
            connection.request("POST", "/session", headers=headers)
            response = connection.getresponse()
            if response.status == 204:
                self._redirect(path, response.headers["set-cookie"])
            else:
                self.answer(403, problem=json.load(response)["reason"])
        finally:
            connection.close()

    def _redirect(self, location: str, cookie: str) -> None:
        self.send_response(303)
        for name, value in (
            ("location", location),
            ("set-cookie", cookie),
            ("content-length", "0"),
        ):
            self.send_header(name, value)
        self.end_headers()


def _issued(code: str) -> str:
    """The access token that the SSO issues for an authorization code (RFC 6749 §4.1.3)."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": os.environ["CALLBACK"],
    }
    secret = base64.b64encode(f"{CLIENT}:{os.environ['SSO_SECRET']}".encode()).decode()
    request = Request(  # noqa: S310 - the URL is the configuration's
        f"{os.environ['SSO']}/token", urlencode(form).encode(), {"authorization": f"Basic {secret}"}
    )
    trust = ssl.create_default_context(cafile=os.environ["SSO_CA"])
    with build_opener(ProxyHandler({}), HTTPSHandler(context=trust)).open(
        request, timeout=5
    ) as answer:
        token: str = json.load(answer)["access_token"]
    return token


if __name__ == "__main__":
    serve(LoginPage, sys.argv[1])
