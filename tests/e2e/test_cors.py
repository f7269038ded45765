"""Cross-origin requests: Envoy answers preflights before anyone is asked, and nothing else."""

import pytest

from tests.e2e import shop
from tests.support.http1 import Field
from tests.support.pod import Pod

pytestmark = pytest.mark.every_envoy

ORIGIN = "https://www.shop.example"


def preflight(origin: str) -> list[Field]:
    return [
        ("origin", origin),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ]


def test_preflight_of_a_known_origin_is_answered_without_a_credential(pod: Pod) -> None:
    exchange = pod.request("OPTIONS", "/orders/1", preflight(ORIGIN))

    assert exchange.response.status == 200
    assert exchange.response.header("access-control-allow-origin") == ORIGIN
    assert "authorization" in str(exchange.response.header("access-control-allow-headers"))
    assert not exchange.reached_the_application


def test_preflight_of_another_origin_gets_no_permission(pod: Pod) -> None:
    exchange = pod.request("OPTIONS", "/orders/1", preflight("https://elsewhere.example"))

    assert exchange.response.header("access-control-allow-origin") is None
    assert not exchange.reached_the_application


def test_options_request_that_is_no_preflight_is_checked(pod: Pod) -> None:
    exchange = pod.request("OPTIONS", "/orders/1", [("origin", ORIGIN)])

    assert exchange.response.status == 401


def test_page_may_read_a_denial(pod: Pod) -> None:
    response = pod.request(target="/orders/1", headers=[("origin", ORIGIN)]).response

    assert response.status == 401
    assert response.header("access-control-allow-origin") == ORIGIN
    assert "www-authenticate" in str(response.header("access-control-expose-headers"))


def test_page_may_read_an_answer(pod: Pod) -> None:
    exchange = pod.request(target="/orders/1", headers=[("origin", ORIGIN)], token=shop.token())

    assert exchange.response.status == 200
    assert exchange.response.header("access-control-allow-origin") == ORIGIN
