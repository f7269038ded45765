"""The shop as it runs: an SSO, the edge, and two services that each have an Envoy and a sidecar.

    client ─▶ Envoy + gateway ─▶ Envoy + sidecar ─▶ orders ─▶ Envoy + sidecar ─▶ payments
                │     ╰─▶ SSO
                ╰─▶ login page ─▶ SSO, gateway

Everything listens on loopback, and ends with the ``with`` block.
"""

import ssl
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples import configurations
from examples.exchange import Arrived, Exchange
from tests.support import envoy, login_page
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import Envoy
from tests.support.gateway_process import GatewayProcess
from tests.support.http1 import Address, Field, Response
from tests.support.openid_provider import CALLBACK, LOGIN_PAGE, OpenIdProvider
from tests.support.ports import LOOPBACK, free_port, socket_directory
from tests.support.processes import Child
from tests.support.sidecar_process import SidecarProcess
from tests.support.tokens import SigningKey, new_key

ENVOY_VERSION: Final = "1.40.0"
HOST: Final = "orders.shop.example"


@dataclass(frozen=True, slots=True)
class Pod:
    """A running service with its Envoy and its sidecar."""

    envoy: Envoy
    sidecar: SidecarProcess
    received: Path

    def arrived(self) -> list[Arrived]:
        """Every request that has reached the service, the latest at the end."""
        lines = self.received.read_text().split("\n")[:-1]
        return [Arrived.read(line) for line in lines]


@dataclass(frozen=True, slots=True)
class Edge:
    """The Envoy that clients talk to. Whoever trusts ``ca_file`` trusts its certificate."""

    envoy: Envoy
    tls: ssl.SSLContext
    ca_file: Path


@dataclass(frozen=True, slots=True)
class World:
    """All that runs. ``request_keys`` is where the gateway's ring is."""

    provider: OpenIdProvider
    partner: SigningKey
    gateway: GatewayProcess
    request_keys: Path
    edge: Edge
    orders: Pod
    payments: Pod

    def ask(self, method: str, path: str, *headers: Field) -> Exchange:
        """Ask the edge, as a client does."""
        fields = [("host", HOST), *headers]
        response = self.edge.envoy.request(method, path, fields, tls=self.edge.tls)
        request_id = response.header("x-request-id") or ""
        return self._followed(f"{method} {path}", request_id, response, "gateway", "orders")

    def ask_orders(self, method: str, path: str, *headers: Field) -> Exchange:
        """Ask the orders service past the edge, as someone inside could."""
        request_id = uuid.uuid4().hex
        response = self.orders.envoy.request(method, path, [("x-request-id", request_id), *headers])
        return self._followed(f"{method} {path}", request_id, response, "orders")

    def _followed(self, request: str, request_id: str, response: Response, *way: str) -> Exchange:
        """What every Envoy on the way logged about a request, and what the services got of it."""
        pods = {"orders": self.orders, "payments": self.payments}
        envoys = {"gateway": self.edge.envoy, **{name: pod.envoy for name, pod in pods.items()}}
        # The orders service tells what it heard from payments, if it has asked.
        asked = ["payments"] if b'"payments"' in response.body else []
        reasons = {}
        for name in [*way, *asked]:
            entry = envoys[name].access_log(request_id)
            reasons[name] = entry["reason"]
            if entry["decision"] != "allow":
                break
        arrived = {
            name: seen
            for name, pod in pods.items()
            for seen in pod.arrived()
            if seen.values("x-request-id") == [request_id]
        }
        return Exchange(request, response, reasons, arrived)


@contextmanager
def running(directory: Path) -> Iterator[World]:
    """Start everything; ``directory`` gets what it writes."""
    for name in ("sso", "gateway", "edge", "login", "orders", "payments"):
        for folder in (name, f"{name}/envoy", f"{name}/service"):
            (directory / folder).mkdir()
    partner = new_key("ES256", "partner")
    with ExitStack() as stack:
        provider = stack.enter_context(OpenIdProvider(directory / "sso"))
        gateway = stack.enter_context(
            GatewayProcess(
                configurations.gateway(directory / "gateway", provider, partner),
                directory / "gateway",
                stack.enter_context(socket_directory()),
            )
        )
        keys = gateway.jwks_url
        payments = stack.enter_context(_pod("payments", directory / "payments", keys))
        beside = {"PAYMENTS_URL": payments.envoy.url}
        orders = stack.enter_context(_pod("orders", directory / "orders", keys, beside))
        login = stack.enter_context(_login(directory / "login" / "service", provider, gateway))
        edge = stack.enter_context(_edge(directory / "edge", gateway, orders, login))
        request_keys = directory / "gateway" / configurations.REQUEST_KEYS
        yield World(provider, partner, gateway, request_keys, edge, orders, payments)


@contextmanager
def _login(directory: Path, provider: OpenIdProvider, gateway: GatewayProcess) -> Iterator[Address]:
    """The login page, which is known at the SSO by where it wants people sent back to."""
    port = free_port()
    environment = {
        "SSO": provider.issuer,
        "SSO_CA": str(provider.ca_file),
        "SSO_SECRET": f"{LOGIN_PAGE}-secret",
        "CALLBACK": CALLBACK,
        "GATEWAY": gateway.internal_url,
    }
    with Child([sys.executable, "-m", "examples.shop.login", str(port)], directory, environment):
        yield LOOPBACK, port


@contextmanager
def _edge(directory: Path, gateway: GatewayProcess, orders: Pod, login: Address) -> Iterator[Edge]:
    """The Envoy of the edge, with a throw-away certificate."""
    authority = CertificateAuthority(directory)
    authority.issue("tls", dns=HOST)
    tls = authority.client_context()
    tls.check_hostname = False  # the raw client asks for the host of the tests of sidecars
    configuration = envoy.load(envoy.GATEWAY)
    envoy.move(
        configuration,
        authz=gateway.socket,
        application=orders.envoy.address,
        certificates=directory,
    )
    login_page.add_to_edge(configuration, login)
    with Envoy(ENVOY_VERSION, configuration, directory / "envoy") as front:
        yield Edge(front, tls, authority.certificate_file)


@contextmanager
def _pod(
    name: str, directory: Path, jwks_url: str, environment: Mapping[str, str] = {}
) -> Iterator[Pod]:
    """A service, its sidecar and its Envoy."""
    port, received = free_port(), directory / "received"
    received.touch()
    service = [sys.executable, "-m", "examples.watched", name, str(port), str(received)]
    configuration = envoy.load(envoy.PLAIN)
    with (
        Child(service, directory / "service", environment),
        socket_directory() as sockets,
        SidecarProcess(configurations.sidecar(name, jwks_url), directory, sockets) as sidecar,
    ):
        envoy.move(configuration, authz=sidecar.socket, application=(LOOPBACK, port))
        with Envoy(ENVOY_VERSION, configuration, directory / "envoy") as front:
            yield Pod(front, sidecar, received)
