"""What clients are told at the edge: browsers, gRPC clients, and those who are turned away."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.gateway import Edge, Passage, bearer, legacy, session, session_in, sso
from tests.e2e.gateway_shop import ORDERS, PAGE, partner_token
from tests.support.http1 import Connection, Field
from tests.support.processes import eventually
from tests.support.tokens import key_for, new_key
from tests.support.upstream import echo_upgraded, respond

EVIL: Field = ("origin", "https://evil.example")


# Who is turned away.


@pytest.mark.every_envoy
def test_without_a_credential_there_is_nothing_behind_the_door(edge: Edge) -> None:
    passage = edge.request()

    assert passage.response.status == 401
    assert passage.reason == "no_credential"
    assert "error" not in str(passage.response.header("www-authenticate"))
    assert not passage.reached_the_service


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(lambda: partner_token(exp=int(time.time()) - 60), "expired", id="stale"),
        pytest.param(
            lambda: partner_token(new_key("ES256", key_for("ES256").kid)),
            "bad_signature",
            id="forged",
        ),
        pytest.param(lambda: partner_token(audience="orders"), "wrong_audience", id="not for us"),
        pytest.param(lambda: "not-a-token", "malformed_token", id="nonsense"),
    ],
)
def test_a_token_that_is_no_good_is_refused(
    edge: Edge, token: Callable[[], str], reason: str
) -> None:
    passage = edge.request(bearer(token()))

    assert passage.response.status == 401
    assert passage.reason == reason
    assert not passage.reached_the_service


@pytest.mark.every_envoy
@pytest.mark.parametrize(
    "pair",
    [("sso", "bearer"), ("sso", "session"), ("session", "bearer"), ("sso", "legacy")],
    ids=" and ".join,
)
def test_two_credentials_are_one_too_many(edge: Edge, alice: str, pair: tuple[str, str]) -> None:
    good = {
        "sso": sso(alice),
        "bearer": bearer(partner_token()),
        "session": session(edge.begin_session(sso(alice))),
        "legacy": legacy("any"),
    }

    passage = edge.request(*(good[name] for name in pair))

    assert passage.response.status == 400
    assert passage.reason == "ambiguous_request"
    assert not passage.reached_the_service


# Browsers.


def test_a_renewed_session_reaches_the_browser_beside_the_cookies_of_the_service(
    edge: Edge, alice: str
) -> None:
    own = ["a=1; Path=/; HttpOnly", "b=2"]
    edge.upstreams[ORDERS].answers["/orders/cookies"] = respond(
        headers=[("set-cookie", value) for value in own]
    )
    first = edge.begin_session(sso(alice))

    def renewed() -> list[Passage]:
        passage = edge.request(session(first), target="/orders/cookies")
        assert passage.response.values("set-cookie")[:2] == own
        return [passage] if len(passage.response.values("set-cookie")) == 3 else []

    (passage,) = eventually(renewed)

    second = session_in(passage.response)
    assert second != first
    assert edge.request(session(second)).received.values("x-user-id") == [b"alice"]


def test_a_preflight_asks_for_no_credential(edge: Edge) -> None:
    preflight: list[Field] = [("origin", PAGE), ("access-control-request-method", "POST")]

    passage = edge.request(*preflight, method="OPTIONS", target="/checkout")

    assert passage.response.status == 200
    assert passage.response.header("access-control-allow-origin") == PAGE
    assert not passage.reached_the_service


@pytest.mark.every_envoy
@pytest.mark.parametrize("carried", [sso, session], ids=["sso", "session"])
def test_a_page_of_another_site_changes_nothing(
    edge: Edge, alice: str, carried: Callable[[str], Field]
) -> None:
    cookie = sso(alice) if carried is sso else session(edge.begin_session(sso(alice)))

    def posted(*headers: Field) -> Passage:
        return edge.request(cookie, *headers, method="POST", target="/checkout")

    refused = posted(EVIL)
    assert refused.response.status == 403
    assert refused.reason == "cross_site_request"
    assert not refused.reached_the_service

    assert posted(("origin", PAGE)).reached_the_service
    assert posted(("origin", f"https://{ORDERS}")).reached_the_service


@pytest.mark.every_envoy
def test_a_page_is_the_services_own_where_host_and_port_are_the_same(
    edge: Edge, alice: str
) -> None:
    def posted(host: str, origin: str) -> int:
        fields: list[Field] = [("host", host), sso(alice), ("origin", origin)]
        return edge.envoy.request("POST", "/checkout", fields, tls=edge.tls).status

    for host, origin, status in (
        (f"{ORDERS}:8443", f"https://{ORDERS}:8443", 200),
        (f"{ORDERS}:443", f"https://{ORDERS}", 200),
        (f"{ORDERS.upper()}:8443", f"https://{ORDERS}:8443", 200),
        (f"{ORDERS}:8443", f"https://{ORDERS}", 403),
        (f"{ORDERS}:8443", f"https://{ORDERS}:8444", 403),
        (ORDERS, f"https://{ORDERS}:8443", 403),
        (ORDERS, f"http://{ORDERS}", 403),
    ):
        assert posted(host, origin) == status, (host, origin)


def test_a_client_cannot_say_that_a_page_came_over_plain_http(edge: Edge, alice: str) -> None:
    lie: list[Field] = [("origin", f"http://{ORDERS}"), ("x-forwarded-proto", "http")]

    passage = edge.request(sso(alice), *lie, method="POST", target="/checkout")

    assert (passage.response.status, passage.reason) == (403, "cross_site_request")


def test_a_bearer_token_is_nothing_that_a_page_makes_a_browser_send(edge: Edge) -> None:
    token = bearer(partner_token())

    assert edge.request(token, EVIL, method="POST", target="/checkout").reached_the_service


@pytest.mark.every_envoy
def test_a_websocket_opens_for_our_own_pages_alone(edge: Edge, alice: str) -> None:
    edge.upstreams[ORDERS].answers["/orders/socket"] = echo_upgraded
    upgrade: list[Field] = [("connection", "Upgrade"), ("upgrade", "websocket")]
    fields: list[Field] = [("host", ORDERS), sso(alice), *upgrade]

    with Connection(edge.envoy.address, tls=edge.tls) as connection:
        refused = connection.request(target="/orders/socket", headers=[*fields, EVIL])
    assert refused.status == 403
    assert refused.json()["reason"] == "cross_site_request"

    with Connection(edge.envoy.address, tls=edge.tls) as connection:
        ours = connection.request(target="/orders/socket", headers=[*fields, ("origin", PAGE)])
        assert ours.status == 101
        connection.socket.sendall(b"hello")
        assert connection.read(5) == b"hello"


# gRPC.


@pytest.mark.every_envoy
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([], "16", id="no credential"),
        pytest.param([sso("a"), bearer("b")], "3", id="two credentials"),
        pytest.param([sso("a"), EVIL], "7", id="cross-site"),
        pytest.param([legacy("any")], "14", id="nobody to ask"),
    ],
)
def test_a_grpc_client_is_told_in_its_own_terms(
    edge: Edge, headers: list[Field], status: str
) -> None:
    passage = edge.request(("content-type", "application/grpc"), *headers, method="POST")

    assert passage.response.status == 200
    assert passage.response.header("grpc-status") == status
    assert passage.response.header("grpc-message")
    assert not passage.reached_the_service
