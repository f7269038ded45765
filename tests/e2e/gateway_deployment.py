"""A shop behind gateways: the Envoy at the edge, which asks each in turn, and a service's pods.

Each pod's sidecar finds the gateway's keys in a place of its own: at one replica, at the other, or
where the replicas publish them. A Kubernetes Service would lead each to any replica.
"""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from typing_extensions import override

from tests.e2e.gateway_replicas import (
    ABOUT,
    ROUTES,
    Replica,
    kid_of,
    partner_token,
    running_replica,
)
from tests.e2e.gateway_rings import TIMINGS, Place
from tests.e2e.keys_authorities import TIMES, Authority
from tests.e2e.keys_pod import KeysPod, Pace, keys_pod
from tests.support import envoy
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import GATEWAY, Envoy
from tests.support.gateway_process import ISSUER
from tests.support.http1 import Field, Response
from tests.support.load import Load
from tests.support.tokens import Json
from tests.support.upstream import Received, Upstream, respond

HOST: Final = "orders.shop.example"
ORDERS: Final = "/orders/1"
_REQUESTS_PER_SECOND: Final = 80
_PREVIOUS_HOSTS: Final = "envoy.retry_host_predicates.previous_hosts"
_TYPE: Final = (
    "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
)


class Application:
    """The order service itself: it keeps what reaches it."""

    def __init__(self, upstream: Upstream) -> None:
        upstream.answers[ORDERS] = self._answer
        self.upstream = upstream
        self.kids: list[str] = []
        self.without_token = 0

    def _answer(self, request: Received, reader: BufferedIOBase, writer: BufferedIOBase) -> None:
        match request.values("authorization"):
            case [value] if value.startswith(b"Bearer "):
                self.kids.append(kid_of(value.decode().removeprefix("Bearer ")))
            case _:
                self.without_token += 1
        respond()(request, reader, writer)


class _Gateway(Authority):
    """The gateway, as a pod finds it whose keys are at ``source``."""

    def __init__(self, source: Json) -> None:
        super().__init__("gateway", ISSUER)
        self._source = source

    @override
    def trust(self) -> Json:
        return {**super().trust(), "leeway": TIMINGS["leeway"]}

    @override
    def source(self) -> Json:
        return self._source

    @override
    def _publish(self) -> None:
        """The replicas do."""


@dataclass(frozen=True, slots=True)
class Service:
    """A pod of the order service."""

    application: Application
    pod: KeysPod

    @property
    def known_kids(self) -> set[str]:
        """The keys that its sidecar has."""
        return set(self.pod.issuer("gateway")["kids"])


@dataclass(frozen=True, slots=True)
class Shop:
    """All of it, running."""

    replicas: Sequence[Replica]
    edge: Envoy
    tls: ssl.SSLContext
    services: Sequence[Service]
    client: Sequence[Field]

    def ask(self, target: str = ORDERS, *, anonymous: bool = False) -> Response:
        """One request to the edge, of the partner's or of nobody's."""
        headers = [("host", HOST), *(() if anonymous else self.client)]
        return self.edge.request("GET", target, headers, tls=self.tls)

    def statuses(self, token: str) -> set[int]:
        """What the pods answer to a token."""
        return {service.pod.status(token) for service in self.services}

    def kids(self) -> set[str]:
        """The keys of the tokens that have reached the service."""
        return {kid for service in self.services for kid in service.application.kids}

    def knows(self, kid: str) -> bool:
        """Whether any replica publishes this key, or any pod has it."""
        return any(kid in replica.published_kids() for replica in self.replicas) or any(
            kid in service.known_kids for service in self.services
        )

    @contextmanager
    def requests(self) -> Iterator[Load]:
        """Steady requests; the block looks at what went wrong."""
        pace = Pace(_REQUESTS_PER_SECOND)

        def headers() -> Sequence[Field]:
            pace.wait()
            return [("host", HOST), *self.client]

        with Load(self.edge.address, ORDERS, headers, tls=self.tls) as load:
            yield load
        assert not any(service.application.without_token for service in self.services)

    @contextmanager
    def traffic(self) -> Iterator[Load]:
        """Steady requests that all must be allowed."""
        with self.requests() as load:
            yield load
        assert not load.failures, load.failures[:5]


@contextmanager
def running_shop(
    version: str,
    directory: Path,
    place: Place,
    *,
    replicas: int = 2,
    key_wait: str = "400ms",
    **request_tokens: str,
) -> Iterator[Shop]:
    """Start it with replicas that have their keys in this place; they may not all sign yet.

    ``key_wait`` is how long a pod's check waits for a key that it does not know.
    """
    authority = CertificateAuthority(directory)
    authority.issue("tls", dns=HOST)
    tls = authority.client_context()
    tls.check_hostname = False  # the raw client asks for the host of the tests of sidecars
    with ExitStack() as stack:
        started = [
            stack.enter_context(running_replica(_new(directory / name), place, **request_tokens))
            for name in ("first", "second")[:replicas]
        ]
        sources: list[Json] = [
            {"jwks": {"url": replica.jwks_url, "allow_http": True, **TIMES}} for replica in started
        ]
        services = [
            stack.enter_context(
                _service(version, _new(directory / f"orders-{number}"), source, key_wait)
            )
            for number, source in enumerate([*sources, *place.verifiers()])
        ]
        edge = Envoy(version, _edge(directory, started, services), _new(directory / "edge"))
        stack.enter_context(edge)
        client = [("authorization", f"Bearer {partner_token()}")]
        yield Shop(started, edge, tls, services, client)


@contextmanager
def _service(version: str, directory: Path, source: Json, key_wait: str) -> Iterator[Service]:
    with (
        Upstream() as upstream,
        keys_pod(
            version,
            upstream,
            directory,
            _Gateway(source),
            routes=[*ROUTES, ABOUT],
            identity={"forward_token": True},
            limits={"key_wait": key_wait},
        ) as pod,
    ):
        yield Service(Application(upstream), pod)


def _edge(directory: Path, replicas: Sequence[Replica], services: Sequence[Service]) -> envoy.Json:
    """The configuration of the edge as it is shipped, with more than one gateway and pod."""
    configuration = envoy.load(GATEWAY)
    sockets = [replica.socket for replica in replicas]
    pods = [service.pod.pod.envoy.address for service in services]
    envoy.move(configuration, authz=sockets[0], application=pods[0], certificates=directory)
    for socket in sockets[1:]:
        _add(configuration, "gateway", {"pipe": {"path": str(socket)}})
    # What is shipped asks the one gateway of its pod. With several, another try goes to another.
    retries = envoy.http_filter(configuration, "ext_authz")["grpc_service"]["retry_policy"]
    retries["retry_host_predicate"] = [{"name": _PREVIOUS_HOSTS, "typed_config": {"@type": _TYPE}}]
    retries["host_selection_retry_max_attempts"] = 3
    for host, port in pods[1:]:
        address = {"socket_address": {"address": host, "port_value": port}}
        _add(configuration, "orders", address)
    return configuration


def _add(configuration: envoy.Json, cluster: str, address: Json) -> None:
    (locality,) = envoy.cluster(configuration, cluster)["load_assignment"]["endpoints"]
    locality["lb_endpoints"].append({"endpoint": {"address": address}})


def _new(directory: Path) -> Path:
    directory.mkdir()
    return directory
