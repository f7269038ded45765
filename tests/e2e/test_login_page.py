"""docs/login-page.md: its snippets in a real Envoy and a real gateway."""

import sys
from collections.abc import Iterator

import pytest

from examples import configurations
from sidecar.model import Deny, Reason
from tests.e2e.test_gateway_envoy import ALLOW, Edge, started
from tests.support import login_page
from tests.support.envoy import Json
from tests.support.http1 import Address, Field, request
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Child
from tests.support.upstream import Upstream, respond

HTML: Field = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
FORGET = "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


def test_the_shop_is_configured_as_the_page_says() -> None:
    described = login_page.snippet("a gateway's configuration")

    shop = configurations.load("gateway")

    for section, items in described.items():
        assert [item for item in items if item not in shop[section]] == []


@pytest.fixture(scope="module")
def edge(
    envoy_version: str, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    def with_login_page(configuration: Json) -> None:
        login_page.add_to_edge(configuration, upstream.address)

    directory = tmp_path_factory.mktemp("edge")
    with started(envoy_version, directory, upstream, upstream.address, with_login_page) as running:
        yield running


@pytest.mark.every_envoy
@pytest.mark.parametrize(
    "reason",
    [
        Reason.NO_CREDENTIAL,
        Reason.EXPIRED,
        Reason.INACTIVE_SESSION,
        Reason.INVALID_SESSION,
    ],
    ids=lambda reason: reason.label,
)
def test_a_browser_without_a_session_is_sent_to_the_login_page(edge: Edge, reason: Reason) -> None:
    edge.gateway.decision = Deny(reason, "orders", cookie=FORGET)

    response = edge.request(HTML, target="/orders/1?secret=s")

    assert (response.status, response.body) == (302, b"")
    assert response.header("location") == "/login?return_to=/orders/1"
    assert response.header("cache-control") == "no-store"
    assert response.values("set-cookie") == [FORGET]
    assert edge.envoy.access_log(response.header("x-request-id") or "")["reason"] == reason.label


@pytest.mark.every_envoy
@pytest.mark.parametrize(
    ("reason", "method", "headers"),
    [
        pytest.param(Reason.NO_CREDENTIAL, "GET", [], id="a program"),
        pytest.param(Reason.NO_CREDENTIAL, "GET", [("accept", "*/*")], id="a script of a page"),
        pytest.param(Reason.NO_CREDENTIAL, "POST", [HTML], id="a form"),
        pytest.param(Reason.WRONG_AUDIENCE, "GET", [HTML], id="what no login mends"),
        pytest.param(Reason.MISSING_ROLE, "GET", [HTML], id="what is not allowed"),
        pytest.param(Reason.INTROSPECTION_UNAVAILABLE, "GET", [HTML], id="an SSO that is down"),
    ],
)
def test_everybody_else_gets_the_denial(
    edge: Edge, reason: Reason, method: str, headers: list[Field]
) -> None:
    edge.gateway.decision = Deny(reason, "orders")

    response = edge.request(*headers, method=method)

    assert response.status == reason.status
    assert response.json()["reason"] == reason.label
    assert response.header("location") is None


@pytest.mark.every_envoy
def test_a_401_of_the_service_itself_is_its_own(edge: Edge) -> None:
    edge.gateway.decision = ALLOW
    edge.upstream.answers["/orders/401"] = respond(401)

    assert edge.request(HTML, target="/orders/401").status == 401


# The shop's own page, by itself.


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    address = LOOPBACK, free_port()
    environment = {"SSO": "https://sso.example", "CALLBACK": "https://shop.example/login/callback"}
    command = [sys.executable, "-m", "examples.shop.login", str(address[1])]
    with Child(command, tmp_path_factory.mktemp("login"), environment) as program:
        program.wait_until(lambda: is_listening(address))
        yield address


def is_listening(address: Address) -> bool:
    try:
        return request(address, "GET", "/nowhere").status == 404
    except OSError:
        return False


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ("/orders/42", "/orders/42"),
        ("/a%20b", "/a%20b"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/a%0d%0aset-cookie:%20b=c", "/a%0D%0Aset-cookie%3A%20b%3Dc"),
    ],
)
def test_after_a_login_one_comes_back_to_a_path_of_this_host(
    page: Address, wanted: str, kept: str
) -> None:
    response = request(page, "GET", f"/login?return_to={wanted}")

    assert (response.header("location") or "").startswith("https://sso.example/auth?")
    (cookie,) = response.values("set-cookie")
    state, _, path = cookie.partition(";")[0].removeprefix("__Host-login=").partition(".")
    assert f"state={state}" in (response.header("location") or "")
    assert path == kept


@pytest.mark.parametrize(
    ("state", "cookie"),
    [("a", ""), ("", "__Host-login=./"), ("a", "__Host-login=b./"), ("%C3%A4", "__Host-login=a./")],
)
def test_a_login_that_this_browser_did_not_begin_ends(
    page: Address, state: str, cookie: str
) -> None:
    target = f"/login/callback?code=c&state={state}"

    assert request(page, "GET", target, [("cookie", cookie)]).status == 400


def test_a_logout_is_no_link(page: Address) -> None:
    assert request(page, "GET", "/login/logout").status == 404
    response = request(page, "POST", "/login/logout")
    assert (response.status, response.values("set-cookie")) == (303, [FORGET])
