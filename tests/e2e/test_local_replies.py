"""What Envoy refuses by itself has the form of our denials, and ours stay as they are."""

import uuid
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest

from sidecar.model import Reason
from tests.e2e import shop
from tests.support import envoy, http1, http2
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import GATEWAY, MTLS, PLAIN
from tests.support.grpc_application import call
from tests.support.http1 import Field
from tests.support.pod import Exchange, Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import respond

pytestmark = pytest.mark.every_envoy

# A host of each of the shipped files.
HOST = "orders.shop.example"
PROBLEM = {"type", "title", "status", "detail", "reason", "request_id"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    authority = CertificateAuthority(tmp_path_factory.mktemp("certificates"))
    authority.issue("tls", dns=http1.HOST)
    authority.issue("shipping", uri="spiffe://shop/ns/orders/shipping")
    return authority


class Listener:
    """A pod behind one of the shipped files, and how to reach it."""

    def __init__(self, pod: Pod, authority: CertificateAuthority | None) -> None:
        self.pod = pod
        self.tls = authority.client_context("shipping") if authority else None

    def request(
        self,
        target: str | bytes,
        headers: Sequence[Field] = (),
        *,
        method: str = "GET",
        token: str | None = None,
        host: str = HOST,
    ) -> Exchange:
        fields = [("host", host), *headers] if host else headers
        return self.pod.request(method, target, fields, token=token, tls=self.tls)


@pytest.fixture(scope="module", params=[PLAIN, MTLS, GATEWAY], ids=lambda file: file.stem)
def listener(
    request: pytest.FixtureRequest,
    sidecar: SidecarProcess,
    authority: CertificateAuthority,
    start_pod: StartPod,
) -> Listener:
    """Each of the shipped files, with the order service's sidecar behind it."""
    file: Path = request.param
    certificates = None if file is PLAIN else authority
    directory = certificates.directory if certificates else None
    return Listener(start_pod(sidecar, envoy.load(file), certificates=directory), certificates)


@pytest.mark.parametrize(
    "target", ["/orders%2F1", "/orders/..%5cadmin", "/orders/%00", "/orders/1#/../admin", "*"]
)
def test_path_that_envoy_refuses_is_answered_like_one_that_the_check_refuses(
    listener: Listener, target: str
) -> None:
    exchange = listener.request(target, token=shop.token())

    checked = listener.request("//orders/1", token=shop.token()).response
    problem, ours = exchange.response.json(), checked.json()
    for name in ("content-type", "cache-control"):
        assert exchange.response.header(name) == checked.header(name)
    assert problem.keys() == ours.keys() == PROBLEM
    for name in PROBLEM - {"request_id"}:
        assert problem[name] == ours[name], name
    # Envoy gives up on `*` before it has read the headers.
    assert problem["request_id"] == ("" if target == "*" else exchange.request_id)
    assert not exchange.reached_the_application


def test_path_is_answered_alike_over_http_2(listener: Listener) -> None:
    fields = http2.fields("GET", "/orders%2F1", HOST, [("x-request-id", "a-1")])
    answer = http2.request(listener.pod.envoy.address, fields, tls=listener.tls)

    assert b'"reason":"unsafe_path"' in answer
    assert b'"request_id":"a-1"' in answer


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/orders/1", [("x_user_id", "root")], 400),
        (b"/orders/caf\xe9", [], 400),
        ("/orders/1", [("connection", "upgrade"), ("upgrade", "h2c-2")], 403),
        ("/orders/1", [("x-large", "x" * 8000)] * 8, 431),
    ],
    ids=["underscore", "not ASCII", "upgrade", "large"],
)
def test_whatever_else_envoy_refuses_is_a_problem_without_its_cause(
    listener: Listener, target: str | bytes, headers: Sequence[Field], status: int
) -> None:
    response = listener.request(target, headers).response

    assert response.status == status
    assert response.header("content-type") == "application/problem+json"
    assert response.header("cache-control") == "no-store"
    problem = response.json()
    assert problem.keys() == PROBLEM - {"title"}
    assert (problem["status"], problem["reason"]) == (status, "refused_by_proxy")


@pytest.mark.parametrize("odd", ["x" * 300, '"><script>', "a b", "\\u0000"])
def test_odd_request_id_is_not_repeated(listener: Listener, odd: str) -> None:
    with_odd = [("x-request-id", odd), ("host", HOST)]
    response = listener.pod.envoy.request("GET", "/orders%2F1", with_odd, tls=listener.tls)

    assert response.json()["request_id"] == ""


@pytest.mark.parametrize(
    ("target", "token", "reason"),
    [
        ("//orders/1", True, Reason.UNSAFE_PATH),
        ("/nowhere", True, Reason.NO_ROUTE),
        ("/orders/1", False, Reason.NO_CREDENTIAL),
    ],
)
def test_denial_of_the_check_stays_as_it_is(
    listener: Listener, target: str, reason: Reason, *, token: bool
) -> None:
    response = listener.request(target, token=shop.token() if token else None).response

    problem = response.json()
    assert response.status == reason.status
    assert problem.keys() == PROBLEM
    assert (problem["reason"], problem["detail"]) == (reason.label, reason.sentence)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
def test_refusal_of_the_application_stays_as_it_is(
    listener: Listener, status: int, method: str
) -> None:
    target, body = f"/orders/{uuid.uuid4()}", b'{"reason":"sold out"}'
    own = [("content-type", "application/json"), ("cache-control", "max-age=9")]
    listener.pod.upstream.answers[target] = respond(status, own, body)

    response = listener.request(target, method=method, token=shop.token()).response

    assert response.status == status
    assert [(name, response.header(name)) for name, _ in own] == own
    assert response.body == (b"" if method == "HEAD" else body)


def test_direct_response_of_a_route_stays_as_it_is(
    sidecar: SidecarProcess, start_pod: StartPod
) -> None:
    configuration = envoy.load(PLAIN)
    answer = {"status": 410, "body": {"inline_string": "moved to v2"}}
    envoy.routes(configuration).insert(
        0, {"match": {"prefix": "/orders/v1"}, "direct_response": answer}
    )

    response = (
        start_pod(sidecar, configuration).request(target="/orders/v1", token=shop.token()).response
    )

    assert (response.status, response.body) == (410, b"moved to v2")


def test_grpc_client_keeps_envoys_answer(pod: Pod) -> None:
    path = "/shop.Orders%2FEcho"
    outcome = call(pod.envoy.address, path, (("x-request-id", uuid.uuid4().hex),))

    assert outcome.code is grpc.StatusCode.INTERNAL
    assert outcome.details == ""
