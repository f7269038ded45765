"""Requests as large as they come: through Envoy, and without its limits in front."""

from collections.abc import Iterable
from pathlib import Path

import grpc
import pytest

from bench.http2 import Connection, Request
from bench.service import described
from sidecar.model import Reason
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from sidecar.wire.grpc.authorization import METHOD
from tests.e2e import shop
from tests.e2e.gateway import Edge, sso
from tests.e2e.gateway_shop import ORDERS, SESSION
from tests.support.gateway_process import GatewayProcess
from tests.support.http1 import Field
from tests.support.pod import Pod
from tests.support.served import unary
from tests.support.sidecar_process import SidecarProcess

pytestmark = pytest.mark.every_envoy

# As much as fits into Envoy's 60 KiB beside the rest of a request.
LARGEST = 58_000


def asked(socket: Path, headers: Iterable[tuple[str, bytes]], path: str = "/orders/1") -> str:
    """The reason for which a check is answered that comes straight over gRPC."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        body = described(headers, path=path, host=ORDERS)
        answer = CheckResponse.FromString(unary(channel, METHOD)(body, timeout=5))
    reason = answer.dynamic_metadata.fields["reason"].string_value
    assert (answer.denied_response.status.code or 200) == Reason[reason.upper()].status
    return reason


@pytest.mark.parametrize(
    ("headers", "path", "reason"),
    [
        ([("cookie", b"a;" * 500_000)], "/orders/1", Reason.REQUEST_TOO_LARGE),
        ([("cookie", b"a")] * 10_000, "/orders/1", Reason.REQUEST_TOO_LARGE),
        ([("x", b"")] * 100_000, "/orders/1", Reason.REQUEST_TOO_LARGE),
        ([("x", b"a" * 130_000)] * 7, "/orders/1", Reason.REQUEST_TOO_LARGE),
        ([("authorization", b"Bearer " + b"a" * 130_000)], "/orders/1", Reason.TOKEN_TOO_LARGE),
        ([], "/orders/" + "%41" * 40_000, Reason.UNSAFE_PATH),
    ],
    ids=["cookies", "cookie lines", "header lines", "bytes", "token", "path"],
)
def test_what_is_too_large_is_refused_without_envoys_limits_in_front(
    sidecar: SidecarProcess,
    gateway: GatewayProcess,
    headers: list[tuple[str, bytes]],
    path: str,
    reason: Reason,
) -> None:
    assert asked(sidecar.socket, headers, path) == reason.label
    assert asked(gateway.socket, headers, path) == reason.label


def test_cookies_of_one_byte_are_refused_at_the_edge(edge: Edge, alice: str) -> None:
    passage = edge.request(("cookie", f"{SESSION}=a;" + "a;" * (LARGEST // 2)))

    assert (passage.response.status, passage.reason) == (431, "request_too_large")
    assert not passage.reached_the_service
    assert edge.status(sso(alice)) == 200


@pytest.mark.parametrize("separator", [";", "; ", ";\t"], ids=["no space", "space", "tab"])
def test_many_cookies_reach_the_service_as_they_stood(
    edge: Edge, alice: str, separator: str
) -> None:
    name, secret = sso(alice)
    assert isinstance(secret, str)
    others = [f"cookie-{number:03}={'v' * 45}" for number in range(1000)]
    # Nearly as large as every Envoy on the way lets through.
    before, after = others[:500], others[500:]
    passage = edge.request((name, separator.join([*before, secret, *after])))

    assert passage.response.status == 200
    assert passage.received.values("cookie") == [separator.join(others).encode()]


def test_a_browser_may_send_180_cookies_each_on_a_line_of_its_own(pod: Pod) -> None:
    """Over HTTP/2 (RFC 9113 §8.2.3), as browsers do."""
    headers: list[Field] = [("cookie", f"cookie-{number}=value") for number in range(180)]
    headers.append(("authorization", f"Bearer {shop.token()}"))
    lines = [(str(name), str(value)) for name, value in headers]

    with Connection(pod.envoy.address) as connection:
        (answer,) = connection.ask([Request.get(ORDERS, "/orders/1", lines)])

    assert answer.good
