"""A sidecar's pod and a gateway's edge, each with what its good client and a hostile one need."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.abuse.attacks import SECONDS, Sample
from tests.abuse.good_client import GoodClient, Served
from tests.e2e import shop
from tests.e2e.gateway import bearer, running_edge, session, sso
from tests.e2e.gateway_shop import HOSTS, ORDERS, gateway_configuration, partner_token
from tests.support import envoy
from tests.support.gateway_process import GatewayProcess
from tests.support.hostile import Attack, Hostile, Report
from tests.support.http1 import HOST, Address, Field
from tests.support.openid_provider import OpenIdProvider
from tests.support.pod import running_pod
from tests.support.ports import socket_directory
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream, respond

# What a service may well answer; a hostile client does not read it.
LARGE_ANSWER = respond(body=b"a" * 100_000)


@dataclass(frozen=True, slots=True)
class Target:
    """Envoy and who answers its checks, and how a good client fares that is alone with them."""

    role: str
    process: SidecarProcess
    address: Address
    host: str
    good: GoodClient
    sample: Sample
    quiet: Served

    @property
    def tls(self) -> bool:
        return self.good.tls is not None

    def beside(self, attack: Attack, directory: Path) -> tuple[Served, Report]:
        """How the good client fares beside a hostile one, and how that one."""
        hostile = Hostile(attack, self.address, self.host, directory, seconds=SECONDS, tls=self.tls)
        return self._beside(hostile)

    def beside_neighbour(self, attack: Attack, directory: Path) -> tuple[Served, Report]:
        """The same, where the hostile one is at the listener for metrics."""
        url = urlsplit(self.process.metrics_url)
        address = url.hostname or "", url.port or 0
        return self._beside(Hostile(attack, address, self.host, directory, seconds=SECONDS))

    def _beside(self, hostile: Hostile) -> tuple[Served, Report]:
        with hostile:
            served = self.good.ask(SECONDS)
            return served, hostile.report()


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as application:
        application.answers["/healthz"] = LARGE_ANSWER
        yield application


@pytest.fixture(scope="session")
def sidecar_target(
    envoy_version: str, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """The order service, that takes a token from a cookie as well."""
    directory = tmp_path_factory.mktemp("sidecar")
    sources = [{"header": "authorization", "scheme": "Bearer"}, {"cookie": "token"}]
    configuration = shop.configuration(directory, token_sources=sources, limits={}, log={})
    described = envoy.load(envoy.PLAIN)
    # As long as the edge waits for its gateway. How long answers take is printed and compared; that
    # a busy machine stands still for half a second is no failure of the sidecar's.
    service = envoy.http_filter(described, "ext_authz")["grpc_service"]
    service["timeout"] = service["retry_policy"]["retry_back_off"]["max_interval"] = "3s"
    with (
        socket_directory() as sockets,
        SidecarProcess(configuration, directory, sockets) as sidecar,
        running_pod(
            envoy_version,
            tmp_path_factory.mktemp("envoy"),
            authz=sidecar.socket,
            upstream=upstream,
            configuration=described,
        ) as pod,
    ):
        # Each request of the good client has a token of its own, which has to be verified.
        good = GoodClient(pod.envoy.address, lambda: [bearer(shop.token())])
        address = pod.envoy.address
        yield Target("sidecar", sidecar, address, HOST, good, Sample(shop.token), _quiet(good))


@pytest.fixture(scope="session")
def gateway_target(
    envoy_version: str,
    upstream: Upstream,
    openid_provider: OpenIdProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Target]:
    """The shop's edge, right in front of the service."""
    directory = tmp_path_factory.mktemp("gateway")
    configuration = gateway_configuration(directory, openid_provider, log={})
    # The SSO is asked about the good client's session all the time.
    configuration["credentials"][0]["introspection"]["cache"] = "100ms"
    # A service's own Envoy, for HTTP/2 comes out of the edge; not its sidecar.
    unchecked = envoy.load(envoy.PLAIN)
    envoy.leave_out(unchecked, "ext_authz")
    with (
        running_pod(
            envoy_version,
            tmp_path_factory.mktemp("envoy"),
            authz=directory / "nobody",
            upstream=upstream,
            configuration=unchecked,
        ) as pod,
        socket_directory() as sockets,
        GatewayProcess(configuration, directory, sockets) as gateway,
        running_edge(
            envoy_version,
            tmp_path_factory.mktemp("edge"),
            gateway,
            dict.fromkeys(HOSTS, pod.envoy.address),
            dict.fromkeys(HOSTS, upstream),
        ) as edge,
    ):
        sealed = edge.begin_session(sso(openid_provider.login("alice")))
        # In turn with each kind of credential.
        credentials = cycle([sso(openid_provider.login("alice")), session(sealed), None])

        def headers() -> Sequence[Field]:
            return [("host", ORDERS), next(credentials) or bearer(partner_token())]

        good = GoodClient(edge.envoy.address, headers, edge.tls)
        sample = Sample(partner_token, sealed)
        address = edge.envoy.address
        yield Target("gateway", gateway, address, ORDERS, good, sample, _quiet(good))


def _quiet(good: GoodClient) -> Served:
    good.ask(SECONDS / 2)  # the first requests of all take longer
    return good.ask(SECONDS)
