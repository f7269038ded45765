"""A header that a condition reads is the one header that the service can read, in both roles."""

import re
import uuid

import pytest

from tests.e2e import shop
from tests.e2e.gateway import Edge, bearer
from tests.e2e.gateway_shop import ORDERS, partner_token
from tests.support import envoy, http2
from tests.support.http1 import HOST, Field
from tests.support.pod import Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Received, echo_upgraded

pytestmark = pytest.mark.every_envoy

NAME = "x-scope-orgid"
OWN = (NAME, "group-a")
AMBIGUOUS: list[list[Field]] = [
    [OWN, (NAME, "group-z")],
    [OWN, OWN],
    [OWN, (NAME, "")],
    [OWN, ("X-Scope-OrgID", "group-z")],
    [(NAME, "group-a,group-z")],
    [(NAME, b"group-\xc3\xa4")],
    [(NAME, b"group-\xe4")],
    [(NAME, "group-a\tb")],
]
OTHER_SPELLINGS = ["x.scope.orgid", "X-Scope.OrgID", "x~scope-orgid", "x-scope+orgid"]


def tenants_of(received: Received) -> dict[str, list[bytes]]:
    """Every header the service could take for the tenant's, in whatever spelling."""
    found: dict[str, list[bytes]] = {}
    for name, value in received.headers:
        if re.sub("[^a-z0-9]", "-", name.decode().lower()) == NAME:
            found.setdefault(name.decode().lower(), []).append(value)
    return found


def token() -> str:
    return shop.token(tenants=["group-a", "group-b"])


def partners() -> Field:
    return bearer(partner_token(groups=["group-a", "group-b"]))


# At a sidecar.


def test_a_header_decides_and_reaches_the_service_as_it_was_judged(pod: Pod) -> None:
    allowed = pod.request(target="/logs/1", headers=[OWN], token=token())
    other = pod.request(target="/logs/1", headers=[(NAME, "group-z")], token=token())
    absent = pod.request(target="/logs/1", token=token())

    assert allowed.response.status == 200
    assert tenants_of(allowed.received) == {NAME: [b"group-a"]}
    assert other.access_log["reason"] == "condition_not_met"
    assert absent.access_log["reason"] == "condition_failed"


@pytest.mark.parametrize("headers", AMBIGUOUS)
def test_a_header_that_could_be_read_as_two_values_is_refused(
    pod: Pod, headers: list[Field]
) -> None:
    exchange = pod.request(target="/logs/1", headers=headers, token=token())

    assert exchange.response.status == 400
    assert exchange.access_log["reason"] == "ambiguous_request"
    assert not exchange.reached_the_application


@pytest.mark.parametrize("name", OTHER_SPELLINGS)
@pytest.mark.parametrize("path", ["/logs/1", "/orders/1", "/healthz"])
def test_another_spelling_of_the_header_reaches_no_service(pod: Pod, path: str, name: str) -> None:
    exchange = pod.request(target=path, headers=[(name, "group-z"), OWN], token=token())

    assert exchange.response.status == 200
    assert tenants_of(exchange.received) == {NAME: [b"group-a"]}


@pytest.fixture(scope="module")
def underscores_allowed(sidecar: SidecarProcess, start_pod: StartPod) -> Pod:
    """A pod whose Envoy lets underscores through, as it does by default."""
    configuration = envoy.load(envoy.PLAIN)
    options = envoy.http_connection_manager(configuration)["common_http_protocol_options"]
    options["headers_with_underscores_action"] = "ALLOW"
    return start_pod(sidecar, configuration)


def test_a_spelling_with_underscores_is_no_header_of_the_condition(
    underscores_allowed: Pod,
) -> None:
    twin: Field = ("x_scope_orgid", "group-z")

    both = underscores_allowed.request(target="/logs/1", headers=[OWN, twin], token=token())
    alone = underscores_allowed.request(target="/logs/1", headers=[twin], token=token())

    assert tenants_of(both.received) == {NAME: [b"group-a"]}
    assert alone.access_log["reason"] == "condition_failed"


def test_an_upgrade_cannot_nominate_the_header(pod: Pod) -> None:
    pod.upstream.answers["/logs/socket"] = echo_upgraded
    headers: list[Field] = [("connection", f"upgrade, {NAME}"), ("upgrade", "websocket"), OWN]

    exchange = pod.request(target="/logs/socket", headers=headers, token=token())

    assert exchange.response.status == 101
    assert exchange.received.values("connection") == [b"upgrade"]
    assert tenants_of(exchange.received) == {NAME: [b"group-a"]}


def test_a_header_that_is_nominated_otherwise_is_gone_before_the_check(pod: Pod) -> None:
    headers: list[Field] = [("connection", f"close, {NAME}"), OWN]

    exchange = pod.request(target="/logs/1", headers=headers, token=token())

    assert exchange.access_log["reason"] == "condition_failed"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([OWN], "authorized"),
        ([(NAME, "group-z")], "condition_not_met"),
        ([OWN, (NAME, "group-z")], "ambiguous_request"),
        ([(NAME, "group-a,group-z")], "ambiguous_request"),
        ([], "condition_failed"),
    ],
)
def test_over_http_2_the_header_is_judged_alike_and_no_trailer_is_one(
    pod: Pod, headers: list[tuple[str, str]], reason: str
) -> None:
    request_id = uuid.uuid4().hex
    more = [("x-request-id", request_id), ("authorization", f"Bearer {token()}"), *headers]
    head = http2.fields("POST", "/logs/1", HOST, more)

    http2.request(pod.envoy.address, head, body=b"line", trailers=[OWN, (NAME, "group-z")])

    assert pod.envoy.access_log(request_id)["reason"] == reason
    arrived = pod.upstream.received(request_id)
    assert [tenants_of(each) for each in arrived] == (
        [{NAME: [b"group-a"]}] if reason == "authorized" else []
    )


# At a gateway.


def test_a_header_decides_at_the_gateway_and_reaches_the_service_as_it_was_judged(
    edge: Edge,
) -> None:
    allowed = edge.request(partners(), OWN, target="/logs/1")
    other = edge.request(partners(), (NAME, "group-z"), target="/logs/1")
    absent = edge.request(partners(), target="/logs/1")

    assert tenants_of(allowed.received) == {NAME: [b"group-a"]}
    assert (other.reason, absent.reason) == ("condition_not_met", "condition_failed")


@pytest.mark.parametrize("headers", AMBIGUOUS)
def test_a_header_that_could_be_read_as_two_values_is_refused_at_the_gateway(
    edge: Edge, headers: list[Field]
) -> None:
    passage = edge.request(partners(), *headers, target="/logs/1")

    assert passage.response.status == 400
    assert passage.reason == "ambiguous_request"
    assert not passage.reached_the_service


@pytest.mark.parametrize("name", OTHER_SPELLINGS)
def test_another_spelling_of_the_header_ends_at_the_gateway(edge: Edge, name: str) -> None:
    passage = edge.request(partners(), OWN, (name, "group-z"), target="/logs/1")

    assert tenants_of(passage.received) == {NAME: [b"group-a"]}


def test_a_spelling_with_underscores_ends_at_the_edge(edge: Edge) -> None:
    twin: list[Field] = [("host", ORDERS), partners(), ("x_scope_orgid", "group-a")]

    assert edge.envoy.request("GET", "/logs/1", twin, tls=edge.tls).status == 400
