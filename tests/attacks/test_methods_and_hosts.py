"""Attacks with the method, the host, the route and the caller of a request."""

import pytest

from sidecar.check.conditions import Condition
from sidecar.check.rules import Scopes, When
from sidecar.model import Reason
from tests.support.checks import Service, request, route, token

VALID = token()

WRITE_ONLY = (
    route("read", "/a", public=True, methods=("GET",)),
    route("write", "/a", Scopes(("write",)), methods=("POST",)),
)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("GET", Reason.PUBLIC),
        ("HEAD", Reason.PUBLIC),
        ("POST", Reason.INSUFFICIENT_SCOPE),
        ("get", Reason.INVALID_METHOD),
        ("Get", Reason.INVALID_METHOD),
        ("head", Reason.INVALID_METHOD),
        ("post", Reason.INVALID_METHOD),
        ("GET ", Reason.INVALID_METHOD),
        ("GET\n", Reason.INVALID_METHOD),
        ("GET\0", Reason.INVALID_METHOD),
        ("GE\u0162", Reason.INVALID_METHOD),
        ("G_ET", Reason.INVALID_METHOD),
        ("GET1", Reason.INVALID_METHOD),
        ("*", Reason.INVALID_METHOD),
        ("", Reason.INVALID_METHOD),
        ("OPTIONS", Reason.NO_ROUTE),
        ("TRACE", Reason.NO_ROUTE),
        ("M-SEARCH", Reason.NO_ROUTE),
        ("PRI", Reason.NO_ROUTE),
    ],
)
def test_a_method_is_what_it_is_and_head_follows_get(method: str, reason: Reason) -> None:
    view = request(VALID, path="/a", method=method, headers=(("x-http-method-override", b"GET"),))

    assert Service(routes=WRITE_ONLY).reason(view) is reason


@pytest.mark.parametrize("named", [None, "open"])
def test_a_route_for_every_method_is_for_no_other_spelling_of_one(named: str | None) -> None:
    service = Service(routes=(route("open", "/a", public=True),))

    for method, reason in (("GET", Reason.PUBLIC), ("get", Reason.INVALID_METHOD)):
        assert service.reason(request(path="/a", method=method, route=named)) is reason


BY_HOST = (
    route("private", "/a", Scopes(("never",)), hosts=("orders.shop.test",)),
    route("family", "/a", Scopes(("never",)), hosts=("*.shop.test",)),
    route("public", "/b", public=True, hosts=("public.test",)),
)


@pytest.mark.parametrize(
    "host",
    [
        "orders.shop.test",
        "ORDERS.shop.TEST",
        "orders.shop.test:443",
        "orders.shop.test:65536",
        "orders.shop.test:",
        "orders.shop.test.",
        "orders.shop.test.:443",
    ],
)
def test_every_spelling_of_a_host_is_that_host(host: str) -> None:
    assert Service(routes=BY_HOST).deny(request(VALID, path="/a", host=host)).route == "private"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "public.test.evil.test",
        "evilpublic.test",
        "public.test@evil.test",
        "public.test/",
        "public.test#",
        "public.test,public.test",
        "public.test\0",
        " public.test",
        "public.test:80:80",
        "public.test:+80",
        "public.test:\u0661",
        "p\u0443blic.test",
        "pub\u0130c.test",
    ],
)
def test_a_host_that_is_not_that_host_reaches_none_of_its_routes(host: str) -> None:
    view = request(VALID, path="/b", host=host)

    assert Service(routes=BY_HOST).reason(view) is Reason.NO_ROUTE


@pytest.mark.parametrize(
    "host", ["ADMIN.test", "admin.test:443", "admin.test.", "Admin.Test.:8080"]
)
def test_a_condition_sees_the_host_that_routes_match(host: str) -> None:
    condition = Condition("request.host != 'admin.test'")
    service = Service(routes=(route("no-admin", "/a", When(condition)),))

    assert service.reason(request(VALID, path="/a", host=host)) is Reason.CONDITION_NOT_MET
    assert service.reason(request(VALID, path="/a", host="other.test")) is Reason.AUTHORIZED


@pytest.mark.parametrize("host", ["admin.test,other.test", "other@admin.test", "\u212a.test"])
def test_a_condition_sees_no_host_where_there_is_none(host: str) -> None:
    """Where Envoy names the route, no host was matched."""
    condition = Condition("request.host != 'admin.test'")
    service = Service(routes=(route("no-admin", None, When(condition)),))
    view = request(VALID, host=host, route="no-admin")

    assert service.reason(view) is Reason.CONDITION_FAILED


def test_a_wildcard_host_does_not_match_its_own_suffix() -> None:
    assert Service(routes=BY_HOST).reason(request(VALID, path="/a", host="shop.test")) is (
        Reason.NO_ROUTE
    )


def test_a_route_that_a_client_names_in_a_header_is_nothing() -> None:
    view = request(path="/admin/x", headers=(("x-route", b"health"), ("route", b"health")))

    assert Service().reason(view) is Reason.NO_ROUTE


@pytest.mark.parametrize(
    "principal", ["", "spiffe://shop/ns/orders/", "spiffe://shop/ns/orders/a/b"]
)
def test_a_caller_that_is_not_listed_is_refused(principal: str) -> None:
    headers = (
        ("x-forwarded-client-cert", b"URI=spiffe://shop/ns/orders/billing"),
        ("x-envoy-downstream-service-cluster", b"billing"),
    )
    view = request(VALID, path="/mesh", principal=principal, headers=headers)

    assert Service().reason(view) is Reason.CALLER_NOT_ALLOWED
