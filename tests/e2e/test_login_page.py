"""docs/login-page.md: its snippets in a real Envoy and a real gateway."""

from collections.abc import Iterator

import pytest

from examples import configurations
from sidecar.model import Deny, Reason
from tests.e2e.test_gateway_envoy import ALLOW, Edge, started
from tests.support import login_page
from tests.support.envoy import Json
from tests.support.http1 import Field
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
