"""The edge of the shop: what its clients send to the edge Envoy, and what they and services get.

The services know a request by the ``x-request-id`` that the edge gave it.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.e2e.gateway_shop import HOSTS, LEGACY, ORDERS, PAYMENTS, SESSION, SSO
from tests.support import envoy
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import Envoy, Json
from tests.support.gateway_process import GatewayProcess
from tests.support.http1 import Address, Field, Response
from tests.support.ports import socket_directory
from tests.support.upstream import Received, Upstream

# What a busy machine may add to any time, in seconds.
SLACK: Final = 3.0


@dataclass(frozen=True, slots=True)
class Passage:
    """One request through the edge: what the client got, and what the service saw of it.

    The client waited for its answer for ``seconds``.
    """

    edge: "Edge"
    response: Response
    upstream: Upstream
    seconds: float

    @property
    def request_id(self) -> str:
        """The name that the edge gave to the request."""
        name = self.response.header("x-request-id")
        assert name is not None
        return name

    @property
    def reason(self) -> str:
        """Why the request was refused."""
        reason: str = self.response.json()["reason"]
        return reason

    @property
    def reached_the_service(self) -> bool:
        return bool(self.upstream.received(self.request_id))

    @property
    def received(self) -> Received:
        (received,) = self.upstream.received(self.request_id)
        return received

    @property
    def token(self) -> str:
        """The token that the service got."""
        (line,) = self.received.values("authorization")
        scheme, _, token = line.decode().partition(" ")
        assert scheme == "Bearer"
        return token

    @property
    def access_log(self) -> dict[str, Any]:
        """What the edge wrote about it."""
        return self.edge.envoy.access_log(self.request_id)


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge Envoy, the gateway it asks, and by their hosts the applications behind."""

    envoy: Envoy
    gateway: GatewayProcess
    upstreams: Mapping[str, Upstream]
    tls: ssl.SSLContext

    def request(
        self,
        *headers: Field,
        method: str = "GET",
        target: str = "/orders/1",
        host: str = ORDERS,
    ) -> Passage:
        """Send one request, with the headers of its credentials among the others."""
        fields: list[Field] = [("host", host), *headers]
        began = time.monotonic()
        response = self.envoy.request(method, target, fields, tls=self.tls)
        return Passage(self, response, self.upstreams[host], time.monotonic() - began)

    def status(self, *headers: Field) -> int:
        """How a request with these headers is answered."""
        return self.request(*headers).response.status

    def begin_session(self, credential: Field) -> str:
        """A session token, as a login page gets it for whoever has just logged in."""
        response = self.gateway.internal("POST", "/session", [credential])
        assert response.status == 204, response
        return session_in(response)


@contextmanager
def running_edge(
    version: str,
    directory: Path,
    gateway: GatewayProcess,
    addresses: Mapping[str, Address],
    upstreams: Mapping[str, Upstream],
    *,
    configuration: Json | None = None,
) -> Iterator[Edge]:
    """Envoy with ``configuration``, or as it is shipped for the edge, with one host and one cluster
    for each service.

    ``addresses`` and ``upstreams`` say by its name where a service is, and what records what
    arrives at its application in the end.
    """
    authority = CertificateAuthority(directory)
    authority.issue("tls", dns=ORDERS)
    trusting = authority.client_context()
    trusting.check_hostname = False  # the raw client asks for the host of the tests of sidecars
    described = configuration or envoy.load(envoy.GATEWAY)
    envoy.move(
        described,
        authz=gateway.socket,
        application=addresses["orders"],
        certificates=directory,
    )
    _add_payments(described, addresses["payments"])
    by_host = {HOSTS[name]: upstream for name, upstream in upstreams.items()}
    with Envoy(version, described, directory) as running:
        yield Edge(running, gateway, by_host, trusting)


@contextmanager
def running_edge_alone(
    version: str,
    directory: Path,
    configuration: Json,
    upstream: Upstream,
    envoy_configuration: Json | None = None,
) -> Iterator[Edge]:
    """An edge of a test's own, right in front of an application.

    ``directory`` is the gateway's, with what ``configuration`` names in it.
    """
    everywhere = dict.fromkeys(HOSTS, upstream)
    addresses = dict.fromkeys(HOSTS, upstream.address)
    beside = directory / "envoy"
    beside.mkdir()
    with (
        socket_directory() as sockets,
        GatewayProcess(configuration, directory, sockets) as gateway,
        running_edge(
            version, beside, gateway, addresses, everywhere, configuration=envoy_configuration
        ) as edge,
    ):
        yield edge


def _add_payments(configuration: Json, address: Address) -> None:
    """A second service: like the first one, at its own host."""
    routes = envoy.http_connection_manager(configuration)["route_config"]
    (orders,) = routes["virtual_hosts"]
    payments = deepcopy(orders)
    payments |= {"name": "payments", "domains": [PAYMENTS]}
    payments["routes"][0]["route"]["cluster"] = "payments"
    routes["virtual_hosts"].append(payments)

    cluster = deepcopy(envoy.cluster(configuration, "orders"))
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = "payments"
    (locality,) = cluster["load_assignment"]["endpoints"]
    host, port = address
    moved = {"socket_address": {"address": host, "port_value": port}}
    locality["lb_endpoints"][0]["endpoint"]["address"] = moved
    configuration["static_resources"]["clusters"].append(cluster)


def sso(text: str) -> Field:
    """A session of the SSO, where a request has it."""
    return "cookie", f"{SSO}={text}"


def session(text: str) -> Field:
    """A session token of the gateway's."""
    return "cookie", f"{SESSION}={text}"


def legacy(text: str) -> Field:
    """A session of the older SSO."""
    return LEGACY, text


def bearer(text: str) -> Field:
    """A JWT of a partner's."""
    return "authorization", f"Bearer {text}"


def refused_for_now(passage: Passage, *, within: float) -> None:
    """Check that nobody could be asked, that the client heard so soon, and the service nothing."""
    assert (passage.response.status, passage.reason) == (503, "introspection_unavailable")
    assert int(passage.response.header("retry-after") or 0) > 0
    assert passage.seconds < within
    assert not passage.reached_the_service


def session_in(response: Response) -> str:
    """The session token that a response hands to the browser."""
    (cookie,) = [each for each in response.values("set-cookie") if each.startswith(f"{SESSION}=")]
    return cookie.partition(";")[0].partition("=")[2]
