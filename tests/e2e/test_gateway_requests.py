"""What the services behind the gateway get, read from the bytes that arrive at them."""

import base64
import json
import time
from typing import Any

import pytest

from tests.e2e.gateway import Edge, Passage, bearer, legacy, session, sso
from tests.e2e.gateway_shop import LEGACY, ORDERS, PAYMENTS, SESSION, SSO, partner_token
from tests.support.gateway_process import ISSUER
from tests.support.http1 import Field
from tests.support.pod import Pod

# What a client has no business to say.
FORGED: list[Field] = [
    ("x-user-id", "root"),
    ("X-User-Groups", "admins"),
    ("x-user-anything", "root"),
    ("txn-token", "forged"),
]
CARRIED = {"sso": sso, "bearer": bearer, "session": session}
KINDS = pytest.mark.parametrize("kind", CARRIED)


@pytest.fixture
def secret(kind: str, edge: Edge, alice: str) -> str:
    """What a client holds."""
    if kind == "session":
        return edge.begin_session(sso(alice))
    return alice if kind == "sso" else partner_token()


@pytest.fixture
def credential(kind: str, secret: str) -> Field:
    """Where a request has it."""
    return CARRIED[kind](secret)


def header_of(token: str) -> dict[str, Any]:
    return _decoded(token.split(".", maxsplit=1)[0])


def claims_of(token: str) -> dict[str, Any]:
    return _decoded(token.split(".")[1])


def _decoded(part: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return document


def everything(passage: Passage) -> bytes:
    """All that the service received, as one run of bytes."""
    received = passage.received
    lines = [b"%s: %s" % header for header in received.headers]
    return b"\r\n".join([received.target.encode(), *lines, received.body])


# A token for each request, and nothing of the client's.


@pytest.mark.every_envoy
@KINDS
def test_each_request_with_one_credential_brings_the_service_another_token(
    edge: Edge, credential: Field
) -> None:
    tokens = [edge.request(credential).token for _ in range(4)]

    documents = [claims_of(token) for token in tokens]
    assert len({document["jti"] for document in documents}) == 4
    assert len({document["txn"] for document in documents}) == 4
    assert len({token.rpartition(".")[2] for token in tokens}) == 4
    assert len({document["sub"] for document in documents}) == 1


@pytest.mark.every_envoy
@KINDS
@pytest.mark.parametrize("target", ["/orders/1", "/catalogue", "/healthz"])
def test_no_credential_of_the_client_goes_on(
    edge: Edge, credential: Field, secret: str, target: str
) -> None:
    passage = edge.request(credential, ("cookie", "theme=dark"), target=target)

    assert passage.response.status == 200
    arrived = everything(passage)
    for part in (SSO, SESSION, *filter(None, secret.split("."))):
        assert part.encode() not in arrived
    assert passage.received.values("cookie") == [b"theme=dark"]


def test_a_credential_in_a_header_does_not_go_on_where_no_one_looks_at_it(edge: Edge) -> None:
    passage = edge.request(legacy("secret"), target="/healthz")

    assert LEGACY not in passage.received.names


def test_a_credential_between_other_cookies_leaves_no_trace(edge: Edge, alice: str) -> None:
    lines: list[Field] = [
        ("cookie", f"theme=dark; {SSO}={alice}; name=Jürgen; lang=de".encode()),
        ("cookie", "cart=7"),
    ]

    received = edge.request(*lines).received

    assert (
        b"; ".join(received.values("cookie")) == "theme=dark; name=Jürgen; lang=de; cart=7".encode()
    )


# What the token says.


def test_the_token_is_for_the_services_of_the_route_and_lives_a_minute(
    edge: Edge, alice: str
) -> None:
    before = time.time()

    token = edge.request(sso(alice)).token

    document = claims_of(token)
    assert header_of(token)["typ"] == "at+jwt"
    assert header_of(token)["kid"] in edge.gateway.published_kids()
    assert (document["iss"], document["sub"]) == (ISSUER, "alice")
    assert document["aud"] == ["orders"]
    assert before - 1 < document["iat"] < time.time() + 1
    assert document["exp"] == document["iat"] + 60


def test_the_token_has_the_scopes_of_the_route_and_none_the_credential_lacks(
    edge: Edge, alice: str
) -> None:
    narrow = edge.request(sso(alice)).token
    wide = edge.request(sso(alice), method="POST", target="/checkout").token
    reader = bearer(partner_token(scope="orders:read admin"))
    poor = edge.request(reader, method="POST", target="/checkout").token

    assert claims_of(narrow)["scope"] == "orders:read"
    assert set(claims_of(wide)["scope"].split()) == {"orders:read", "orders:write"}
    assert claims_of(wide)["aud"] == ["orders", "payments"]
    assert claims_of(poor)["scope"] == "orders:read"


def test_the_token_tells_who_the_person_is_and_how_that_is_known(edge: Edge, alice: str) -> None:
    document = claims_of(edge.request(sso(alice)).token)

    assert document["acr"] == "urn:shop:strong"
    assert document["amr"] == ["pwd", "otp"]
    assert document["auth_time"] <= time.time()
    assert document["client_id"] == "login-page"
    assert set(document["groups"]) == {"staff", "berlin"}
    assert document["roles"] == ["customer"]


def test_the_token_does_not_outlive_the_credential(edge: Edge) -> None:
    credential = partner_token(lifetime=20)

    token = edge.request(bearer(credential)).token

    assert claims_of(token)["exp"] == claims_of(credential)["exp"]


def test_the_people_of_a_partner_are_not_taken_for_our_own(edge: Edge) -> None:
    passage = edge.request(bearer(partner_token(subject="alice")))

    assert claims_of(passage.token)["sub"] == "partner:alice"
    assert passage.received.values("x-user-id") == [b"partner:alice"]


@pytest.mark.every_envoy
def test_a_partner_brings_what_is_declared_for_it_on_requests_and_in_sessions(edge: Edge) -> None:
    token = partner_token(
        roles=["support", "customer"],
        groups=["staff", "group-7"],
        acr="urn:shop:strong",
        amr=["otp"],
        client_id="login-page",
        act={"sub": "spiffe://shop/ns/web/sa/bff"},
    )

    for carried in (bearer(token), session(edge.begin_session(bearer(token)))):
        passage = edge.request(carried)
        document = claims_of(passage.token)
        assert (document["roles"], document["groups"]) == (["customer"], ["group-7"])
        assert document["client_id"] == "partner:login-page"
        assert document.keys().isdisjoint({"acr", "amr", "act"})
        assert passage.received.values("x-user-roles") == [b"customer"]
        assert passage.received.values("x-user-groups") == [b"group-7"]


@pytest.mark.parametrize(
    ("dressed", "as_minted"),
    [
        ({"roles": "support"}, {"roles": None}),
        ({"roles": ["support", " customer", "Customer", "customer/x"]}, {"roles": None}),
        ({"realm_access": {"roles": ["support"]}}, {"roles": None, "realm_access": None}),
        ({"groups": ["staff", "group-1/x", "group-1:x"]}, {"groups": None}),
        ({"acr": "urn:shop:strong", "amr": ["otp"]}, {"acr": None, "amr": None}),
        ({"auth_time": 1}, {"auth_time": None}),
        ({"act": {"sub": "spiffe://shop/ns/web/sa/bff"}}, {"act": None}),
        ({"may_act": {"sub": "bff"}}, {"may_act": None}),
        ({"azp": "login-page"}, {"client_id": "partner:login-page"}),
    ],
)
def test_a_partner_cannot_dress_its_people_up_as_ours(
    edge: Edge, dressed: dict[str, Any], as_minted: dict[str, Any]
) -> None:
    token = bearer(partner_token(**dressed))

    for carried in (token, session(edge.begin_session(token))):
        document = claims_of(edge.request(carried).token)
        assert {name: document.get(name) for name in as_minted} == as_minted


# What a client cannot forge.


@pytest.mark.every_envoy
def test_the_service_learns_who_it_is_from_its_own_sidecar(edge: Edge, alice: str) -> None:
    received = edge.request(sso(alice), *FORGED).received

    assert received.values("x-user-id") == [b"alice"]
    assert set(received.values("x-user-groups")[0].split(b",")) == {b"staff", b"berlin"}
    assert received.values("x-user-roles") == [b"customer"]
    assert received.values("x-user-scopes") == [b"orders:read"]
    assert {"x-user-anything", "txn-token"}.isdisjoint(received.names)


@pytest.mark.every_envoy
@pytest.mark.parametrize("target", ["/healthz", "/catalogue"])
def test_nobody_is_nobody_whatever_the_request_says(edge: Edge, target: str) -> None:
    passage = edge.request(*FORGED, target=target)

    assert passage.response.status == 200
    assert not {name for name in passage.received.names if name.startswith("x-user-")}
    assert {"authorization", "txn-token"}.isdisjoint(passage.received.names)


@pytest.mark.every_envoy
@pytest.mark.parametrize("value", ["Bearer anything", "Basic YTpi"])
def test_a_public_route_passes_no_authorization_on(edge: Edge, value: str) -> None:
    passage = edge.request(("authorization", value), target="/healthz")

    assert passage.response.status == 200
    assert passage.received.values("authorization") == []


def test_an_optional_route_exchanges_a_good_credential_and_refuses_a_bad_one(
    edge: Edge, alice: str
) -> None:
    known = edge.request(sso(alice), target="/catalogue")
    assert known.received.values("x-user-id") == [b"alice"]
    assert claims_of(known.token)["sub"] == "alice"

    for value in ("Bearer anything", "Basic YTpi"):
        refused = edge.request(("authorization", value), target="/catalogue")
        assert refused.response.status == 401
        assert not refused.reached_the_service


@pytest.mark.every_envoy
@pytest.mark.parametrize("name", ["x_user_id", "x-user_id", "X_User-Id", "txn_token"])
def test_a_twin_of_a_header_of_ours_ends_at_the_edge(edge: Edge, alice: str, name: str) -> None:
    twin: list[Field] = [("host", ORDERS), sso(alice), (name, "root")]

    # Envoy refuses it before it gives it a name.
    assert edge.envoy.request("GET", "/orders/1", twin, tls=edge.tls).status == 400


# Tokens in the wrong place.


@pytest.mark.every_envoy
def test_a_token_of_the_services_opens_no_front_door(edge: Edge, alice: str) -> None:
    token = edge.request(sso(alice)).token

    refused = {kind: edge.request(carried(token)) for kind, carried in CARRIED.items()}

    reasons = {kind: passage.reason for kind, passage in refused.items()}
    assert reasons == {
        "bearer": "untrusted_issuer",
        "session": "invalid_session",
        "sso": "inactive_session",
    }
    assert not [kind for kind, passage in refused.items() if passage.reached_the_service]


@pytest.mark.every_envoy
def test_a_token_passed_along_is_good_for_the_services_it_names_alone(
    edge: Edge, services: dict[str, Pod], alice: str
) -> None:
    for_orders = edge.request(sso(alice)).token
    for_both = edge.request(sso(alice), method="POST", target="/checkout").token
    orders, payments = services["orders"], services["payments"]

    refused = payments.request("POST", "/payments/1", token=for_orders)
    assert refused.response.status == 401
    assert refused.response.json()["reason"] == "wrong_audience"
    assert not refused.reached_the_application

    assert orders.request(target="/orders/2", token=for_orders).reached_the_application
    accepted = payments.request("POST", "/payments/1", token=for_both)
    assert accepted.received.values("x-user-id") == [b"alice"]


@KINDS
def test_a_credential_of_the_client_is_no_token_of_a_service(
    services: dict[str, Pod], secret: str
) -> None:
    exchange = services["orders"].request(target="/orders/1", token=secret)

    assert exchange.response.status == 401
    assert not exchange.reached_the_application


def test_each_host_leads_to_its_own_service(edge: Edge, alice: str) -> None:
    passage = edge.request(sso(alice), method="POST", target="/payments/1", host=PAYMENTS)
    elsewhere = edge.request(sso(alice), method="POST", target="/payments/1", host=ORDERS)

    assert claims_of(passage.token)["aud"] == ["payments"]
    assert elsewhere.reason == "no_route"
