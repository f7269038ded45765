"""One credential in several places, and two kinds in one place, through a real edge."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from secrets import token_urlsafe

import pytest

from tests.e2e.gateway import Edge, bearer, running_edge_alone, session, sso
from tests.e2e.gateway_shop import Issuer, gateway_configuration, partner_token
from tests.support.http1 import Field
from tests.support.key_server import KeyServer
from tests.support.openid_provider import OpenIdProvider
from tests.support.tokens import key_for, new_key
from tests.support.upstream import Upstream, echo_upgraded

pytestmark = pytest.mark.every_envoy

INTROSPECTION = "/introspect"
PROTOCOLS = "sec-websocket-protocol"
EVIL: Field = ("origin", "https://evil.example")
UPGRADE: list[Field] = [("connection", "upgrade"), ("upgrade", "websocket")]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    """The issuer of opaque tokens, to which every one is carol's."""
    with KeyServer(tmp_path_factory.mktemp("issuer")) as running:
        running.documents[INTROSPECTION] = {"active": True, "sub": "carol"}
        yield running


@pytest.fixture(scope="module")
def edge(
    envoy_version: str,
    openid_provider: OpenIdProvider,
    issuer: KeyServer,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """The partner's tokens are in a header, a cookie or a protocol, the issuer's in the header."""
    directory = tmp_path_factory.mktemp("gateway")
    older = Issuer(issuer.url + INTROSPECTION, issuer.ca_file)
    configuration = gateway_configuration(directory, openid_provider, older=older)
    credentials = {each["name"]: each for each in configuration["credentials"]}
    partners = credentials["partners"]
    place = {"header": partners.pop("header"), "scheme": partners.pop("scheme")}
    credentials["legacy"] |= place
    configuration["credentials"] = [
        credentials["sso"],
        credentials["legacy"],
        # Copies, because shared parts would become aliases in YAML.
        deepcopy(partners) | place,
        deepcopy(partners) | {"name": "browser", "cookie": "id_token"},
        deepcopy(partners) | {"name": "socket", "header": PROTOCOLS, "prefix": "bearer."},
        credentials["session"],
    ]
    with running_edge_alone(envoy_version, directory, configuration, upstream) as running:
        yield running


def cookie(text: str) -> Field:
    return "cookie", f"id_token={text}"


def test_a_token_gets_in_by_either_place(edge: Edge) -> None:
    for field in (bearer(partner_token()), cookie(partner_token())):
        passage = edge.request(field)
        assert passage.response.status == 200
        assert passage.received.values("cookie") == []


def test_a_token_is_remembered_once_for_all_places(edge: Edge) -> None:
    token = partner_token(subject="dave")
    before = edge.gateway.status_page()["remembered_tokens"]

    assert (edge.status(bearer(token)), edge.status(cookie(token))) == (200, 200)
    assert edge.gateway.status_page()["remembered_tokens"] == before + 1


def test_the_same_token_in_both_places_is_ambiguous(edge: Edge) -> None:
    token = partner_token()
    passage = edge.request(bearer(token), cookie(token))

    assert (passage.response.status, passage.reason) == (400, "ambiguous_request")


def test_the_place_decides_about_a_page_of_another_site(edge: Edge) -> None:
    by_header = edge.request(bearer(partner_token()), EVIL, method="POST")
    by_cookie = edge.request(cookie(partner_token()), EVIL, method="POST")

    assert by_header.response.status == 200
    assert (by_cookie.response.status, by_cookie.reason) == (403, "cross_site_request")


def test_an_opaque_token_gets_in_beside_the_jwts(edge: Edge) -> None:
    assert edge.status(bearer(token_urlsafe())) == 200


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        # Made when the test runs: a token lives for a minute.
        pytest.param(
            lambda: partner_token(new_key("ES256", key_for("ES256").kid)),
            "bad_signature",
            id="forged",
        ),
        pytest.param(lambda: partner_token(audience="orders"), "wrong_audience", id="not for us"),
        pytest.param(lambda: "opaque.as.a-jwt", "malformed_token", id="two dots"),
        pytest.param(lambda: "..", "malformed_token", id="empty segments"),
    ],
)
def test_a_refused_jwt_is_not_introspected(
    edge: Edge, issuer: KeyServer, token: Callable[[], str], reason: str
) -> None:
    asked = len(issuer.requests)
    passage = edge.request(bearer(token()))

    assert (passage.response.status, passage.reason) == (401, reason)
    assert len(issuer.requests) == asked


def test_an_empty_header_or_cookie_is_no_credential(edge: Edge) -> None:
    for field in (cookie(""), ("authorization", ""), sso(""), session("")):
        passage = edge.request(field)
        assert (passage.response.status, passage.reason) == (401, "no_credential")

    assert edge.status(cookie(""), bearer(partner_token())) == 200
    assert edge.status(("authorization", ""), cookie(partner_token())) == 200


@pytest.mark.parametrize("fields", [[cookie(""), cookie("a")], [session(""), session("a")]])
def test_two_lines_are_ambiguous_though_one_is_empty(edge: Edge, fields: list[Field]) -> None:
    passage = edge.request(*fields)

    assert (passage.response.status, passage.reason) == (400, "ambiguous_request")


def test_two_lines_of_authorization_are_ambiguous_though_one_is_empty(edge: Edge) -> None:
    """At the internal listener. Envoy joins these lines, and nothing is left of an empty one."""
    lines = [("authorization", ""), bearer(partner_token())]
    answer = edge.gateway.internal("POST", "/session", lines)

    assert (answer.status, answer.json()["reason"]) == (400, "ambiguous_request")


def test_an_empty_credential_begins_no_session(edge: Edge) -> None:
    for field in (sso(""), ("authorization", "")):
        answer = edge.gateway.internal("POST", "/session", [field])
        assert (answer.status, answer.json()["reason"]) == (401, "no_credential")

    assert edge.gateway.internal("POST", "/session", [bearer(partner_token())]).status == 204


def test_a_websocket_of_another_sites_page_gets_in_by_its_token_alone(
    edge: Edge, upstream: Upstream
) -> None:
    offered = (PROTOCOLS, f"chat, bearer.{partner_token()}")
    upstream.answers["/orders/1"] = echo_upgraded
    try:
        by_token = edge.request(*UPGRADE, EVIL, offered)
        by_cookie = edge.request(*UPGRADE, EVIL, (PROTOCOLS, "chat"), cookie(partner_token()))
    finally:
        del upstream.answers["/orders/1"]

    assert by_token.response.status == 101
    assert by_token.received.values(PROTOCOLS) == [b"chat"]
    assert (by_cookie.response.status, by_cookie.reason) == (403, "cross_site_request")


@pytest.mark.parametrize(
    ("target", "token", "status"),
    [
        ("/healthz", partner_token, 101),
        ("/healthz", lambda: "garbage", 101),
        ("/catalogue", partner_token, 101),
        ("/catalogue", lambda: "garbage", 401),
        ("/orders/1", lambda: partner_token(exp=1), 401),
    ],
)
def test_a_token_among_the_protocols_ends_at_the_gateway_whatever_becomes_of_the_request(
    edge: Edge, upstream: Upstream, target: str, token: Callable[[], str], status: int
) -> None:
    upstream.answers[target] = echo_upgraded
    try:
        passage = edge.request(*UPGRADE, (PROTOCOLS, f"chat, bearer.{token()}"), target=target)
    finally:
        del upstream.answers[target]

    assert passage.response.status == status
    if status == 101:
        assert passage.received.values(PROTOCOLS) == [b"chat"]
    else:
        assert upstream.received(passage.response.json()["request_id"]) == []
