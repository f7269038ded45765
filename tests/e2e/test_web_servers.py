"""Apache, lighttpd and nginx behind Envoy: their applications see who was verified, and no other.

What these servers do with a request is their own: they make one variable of names that differ, and
remove what ``Connection`` names.
"""

from collections.abc import Iterator

import pytest

from tests.e2e import shop
from tests.e2e.conftest import StartSidecar
from tests.e2e.gateway import Edge, bearer, running_edge
from tests.e2e.gateway_shop import HOSTS, partner_token
from tests.support import http1, web_servers
from tests.support.gateway_process import GatewayProcess
from tests.support.http1 import Address, Field
from tests.support.pod import Pod, running_pod
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream, echo_upgraded
from tests.support.web_servers import SOCKET, variables, web_server

pytestmark = pytest.mark.usefixtures("web_servers_installed")

# Every character that a header's name may hold besides letters, digits and the underscore, which
# Envoy as shipped refuses.
MARKS = "!#$%&'*+-.^`|~"
OWNED = (*shop.IDENTITY, "proxy-authorization", "x-envoy-original-path", "x-forwarded-client-cert")
SPOOFED: list[list[Field]] = [
    [(name.replace("-", mark), "root") for name in OWNED] for mark in MARKS
]
NOMINATED: list[Field] = [
    ("connection", "upgrade, x-user-id, x-user-roles, authorization"),
    ("upgrade", "websocket"),
]
ROUTES = [
    {"name": "private", "match": {"path": "/private/*"}, "allow": {"authenticated": True}},
    {"name": "public", "match": {"path": "/public/*"}, "allow": {"public": True}},
    {"name": "optional", "match": {"path": "/optional/*"}, "allow": {"optional": True}},
]


@pytest.fixture(scope="module", params=sorted(web_servers.SERVERS))
def program(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def behind() -> Iterator[Upstream]:
    """What a web server passes upgrades on to."""
    with Upstream() as application:
        paths = ("/private/socket", "/public/socket", "/optional/socket")
        application.answers.update(dict.fromkeys(paths, echo_upgraded))
        yield application


@pytest.fixture(scope="module")
def server(program: str, behind: Upstream) -> Iterator[Address]:
    with web_server(program, behind.address) as address:
        yield address


@pytest.fixture(scope="module")
def web_sidecar(start_sidecar: StartSidecar) -> SidecarProcess:
    return start_sidecar(routes=ROUTES)


@pytest.fixture(scope="module")
def web_pod(
    envoy_version: str,
    web_sidecar: SidecarProcess,
    server: Address,
    behind: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """A web server as it is deployed: Envoy as shipped, a sidecar, the server."""
    directory = tmp_path_factory.mktemp("envoy")
    with running_pod(
        envoy_version, directory, authz=web_sidecar.socket, upstream=behind, application=server
    ) as running:
        yield running


def test_these_servers_do_what_is_defended_against(
    program: str, server: Address, behind: Upstream
) -> None:
    """Without Envoy and a sidecar in front."""
    spelt = {
        mark: variables(
            http1.request(
                server, target="/private/a", headers=[(f"x{mark}user{mark}id", "root")]
            ).body
        ).get("HTTP_X_USER_ID")
        for mark in "-_.~"
    }
    named: list[Field] = [*NOMINATED, ("x-request-id", program), ("x-user-id", "root")]
    http1.request(server, target=f"/private/{SOCKET}", headers=named)
    (passed_on,) = behind.received(program)

    taken = {mark for mark, value in spelt.items() if value == "root"}
    assert (
        taken == {"apache2": {"-"}, "lighttpd": {"-", "_", ".", "~"}, "nginx": {"-", "_"}}[program]
    )
    assert ("x-user-id" in passed_on.names) == (program != "apache2")


@pytest.mark.every_envoy
@pytest.mark.parametrize("spoofed", SPOOFED, ids=MARKS)
def test_the_application_sees_who_was_verified(web_pod: Pod, spoofed: list[Field]) -> None:
    token = shop.token(groups=["ops"])
    exchange = web_pod.request(target="/private/a", headers=spoofed, token=token)

    assert exchange.response.status == 200
    assert seen_in(exchange.response.body) == {
        "HTTP_X_USER_ID": "alice",
        "HTTP_X_USER_GROUPS": "ops",
    }


@pytest.mark.every_envoy
@pytest.mark.parametrize("spoofed", SPOOFED, ids=MARKS)
@pytest.mark.parametrize("path", ["/public/a", "/optional/a"])
def test_the_application_sees_nobody_where_nobody_was_verified(
    web_pod: Pod, path: str, spoofed: list[Field]
) -> None:
    exchange = web_pod.request(target=path, headers=spoofed)

    assert exchange.response.status == 200
    assert seen_in(exchange.response.body) == {}


@pytest.mark.every_envoy
def test_an_upgrade_reaches_the_application_with_its_identity(web_pod: Pod) -> None:
    token = shop.token(realm_access={"roles": ["buyer"]})

    exchange = web_pod.request(target=f"/private/{SOCKET}", headers=NOMINATED, token=token)

    assert exchange.response.status == 101
    assert exchange.received.values("x-user-id") == [b"alice"]
    assert exchange.received.values("x-user-roles") == [b"buyer"]
    assert exchange.received.values("authorization") == [f"Bearer {token}".encode()]


@pytest.mark.every_envoy
@pytest.mark.parametrize("path", [f"/public/{SOCKET}", f"/optional/{SOCKET}"])
def test_an_upgrade_of_nobody_reaches_the_application_as_one(web_pod: Pod, path: str) -> None:
    exchange = web_pod.request(target=path, headers=[*NOMINATED, ("x-user-id", "root")])

    assert exchange.response.status == 101
    assert "x-user-id" not in exchange.received.names


@pytest.fixture(scope="module")
def web_edge(
    envoy_version: str,
    gateway: GatewayProcess,
    server: Address,
    behind: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """The edge right in front of a web server."""
    directory = tmp_path_factory.mktemp("edge")
    addresses, upstreams = dict.fromkeys(HOSTS, server), dict.fromkeys(HOSTS, behind)
    with running_edge(envoy_version, directory, gateway, addresses, upstreams) as running:
        yield running


@pytest.mark.every_envoy
def test_an_upgrade_at_the_edge_brings_the_service_its_token(web_edge: Edge) -> None:
    target = f"/orders/{SOCKET}"
    web_edge.upstreams[HOSTS["orders"]].answers[target] = echo_upgraded

    passage = web_edge.request(bearer(partner_token()), *NOMINATED, target=target)

    assert passage.response.status == 101
    assert passage.token != partner_token()


def seen_in(body: bytes) -> dict[str, str]:
    """The variables an application could take for identity."""
    names = {"HTTP_" + name.upper().replace("-", "_") for name in OWNED}
    return {name: value for name, value in variables(body).items() if name in names}
