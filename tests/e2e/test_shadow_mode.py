"""Shadow mode: everything is decided and recorded, nothing is refused, nothing is spoofed."""

from collections.abc import Callable

import pytest

from tests.e2e import shop
from tests.e2e.conftest import StartSidecar
from tests.support.http1 import Field
from tests.support.pod import Pod
from tests.support.pod_fixtures import StartPod
from tests.support.tokens import new_key

pytestmark = pytest.mark.every_envoy

SPOOFED: list[Field] = [(name, "root") for name in shop.IDENTITY]


@pytest.fixture(scope="module")
def shadow_pod(start_sidecar: StartSidecar, start_pod: StartPod) -> Pod:
    return start_pod(start_sidecar(mode="shadow"))


@pytest.mark.parametrize(
    ("path", "token", "reason"),
    [
        ("/orders/1", lambda: None, "no_credential"),
        ("/orders/1", lambda: shop.token(exp=1), "expired"),
        ("/orders/1", lambda: shop.token(new_key("ES256", "other")), "unknown_key"),
        ("/support", shop.token, "missing_role"),
        ("/admin", shop.token, "no_route"),
        ("//orders/1", shop.token, "unsafe_path"),
    ],
)
def test_denial_is_recorded_and_the_request_goes_on_without_identity(
    shadow_pod: Pod, path: str, token: Callable[[], str | None], reason: str
) -> None:
    exchange = shadow_pod.request(target=path, headers=SPOOFED, token=token())

    assert exchange.response.status == 200
    assert exchange.received.names.isdisjoint(shop.IDENTITY)
    assert exchange.access_log["decision"] == "would_deny"
    assert exchange.access_log["reason"] == reason


def test_allowed_request_has_its_identity(shadow_pod: Pod) -> None:
    exchange = shadow_pod.request(target="/orders/1", headers=SPOOFED, token=shop.token())

    assert exchange.received.values("x-user-id") == [b"alice"]
    assert exchange.access_log["decision"] == "allow"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/orders/a%2Fb", [], 400),
        ("GET", "/orders/a%5Cb", [], 400),
        ("GET", "/orders/1", [("x_user_id", "root")], 400),
        (
            "OPTIONS",
            "/orders/1",
            [("origin", "https://a.example"), ("access-control-request-method", "GET")],
            200,
        ),
    ],
)
def test_what_envoy_itself_refuses_or_answers_stays_so(
    shadow_pod: Pod, method: str, path: str, headers: list[Field], status: int
) -> None:
    exchange = shadow_pod.request(method, path, headers, token=shop.token())

    assert exchange.response.status == status
    assert not exchange.reached_the_application
