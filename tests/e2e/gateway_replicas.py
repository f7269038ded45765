"""Replicas of a gateway behind the Envoy at the edge, and the pods of a service behind that.

Clients are a partner's: their JWT costs no look-up. Each pod's sidecar finds the gateway's keys in
a place of its own: at one replica, at the other, or where the replicas publish them. A Kubernetes
Service would lead each to any replica.
"""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from signal import SIGHUP, SIGKILL
from typing import Final
from urllib.parse import urlsplit

import grpc
import jwt
from typing_extensions import override

from sidecar.wire._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from sidecar.wire.authorization import METHOD
from tests.e2e.gateway_rings import TIMINGS, Place
from tests.e2e.keys_authorities import TIMES, Authority
from tests.e2e.keys_pod import KeysPod, Pace, keys_pod
from tests.support import envoy, http1
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import GATEWAY, Envoy
from tests.support.flood import check_request
from tests.support.gateway_process import ISSUER, GatewayProcess
from tests.support.http1 import Field, Response
from tests.support.load import Load
from tests.support.ports import socket_directory
from tests.support.processes import eventually
from tests.support.served import unary
from tests.support.sidecar_process import write_json
from tests.support.tokens import Json, claims, jwks, key_for, sign
from tests.support.upstream import Received, Upstream, respond

HOST: Final = "orders.shop.example"
PARTNER: Final = "https://partner.example"
ORDERS: Final = "/orders/1"
ROUTES: Final[Sequence[Json]] = (
    {"name": "health", "match": {"path": "/healthz"}, "allow": {"public": True}},
    {"name": "catalogue", "match": {"path": "/catalogue"}, "allow": {"optional": True}},
    {"name": "orders", "match": {"path": "/orders/**"}, "allow": {"authenticated": True}},
)
# The service has this one as well; a gateway only where it is told to.
ABOUT: Final[Json] = {"name": "about", "match": {"path": "/about"}, "allow": {"public": True}}
_REQUESTS_PER_SECOND: Final = 80
_PREVIOUS_HOSTS: Final = "envoy.retry_host_predicates.previous_hosts"
_TYPE: Final = (
    "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
)


def gateway_configuration(
    directory: Path, keys: Json, *further_routes: Json, **request_tokens: str
) -> Json:
    """A gateway that signs with ``keys``; settings of its tokens may be changed."""
    write_json(directory / "partner.json", jwks(key_for("ES256")))
    partner = {
        "name": "acme",
        "kind": "external",
        "issuer": PARTNER,
        "audiences": [ISSUER],
        "algorithms": ["ES256"],
        "types": ["jwt"],
        "keys": {"file": {"path": "partner.json"}},
    }
    return {
        "issuer": ISSUER,
        "trust": [partner],
        "credentials": [
            {
                "name": "partner",
                "header": "authorization",
                "scheme": "Bearer",
                "jwt": {"trust": ["acme"]},
            }
        ],
        "request_tokens": {
            "keys": keys,
            "audiences": {"orders": ["orders:read"]},
            **TIMINGS,
            **request_tokens,
        },
        "routes": [
            route if "public" in route["allow"] else {**route, "token": {"audiences": ["orders"]}}
            for route in (*ROUTES, *further_routes)
        ],
    }


def partner_token() -> str:
    """What a client authenticates with, for an hour."""
    document = claims(issuer=PARTNER, audience=ISSUER, subject="bob", lifetime=3600)
    return sign({**document, "scope": "orders:read"}, key_for("ES256"), typ="JWT")


def kid_of(token: str) -> str:
    """The key that a token names."""
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


class Replica(GatewayProcess):
    """One process of the gateway."""

    def mint(self) -> str:
        """A token that this replica makes, as Envoy would ask for it."""
        token = self._minted()
        assert token is not None
        return token

    @property
    def kid(self) -> str | None:
        """The key it signs with now, if it can."""
        token = self._minted()
        return None if token is None else kid_of(token)

    @property
    def minted(self) -> float:
        """How many tokens it has made."""
        return self.metric("sidecar_tokens_minted_total", kind="request", result="minted")

    def ring(self) -> Json:
        """What its status page says about the request keys."""
        host_and_port = urlsplit(self.admin_url)
        assert host_and_port.hostname
        assert host_and_port.port
        address = (host_and_port.hostname, host_and_port.port)
        page = http1.request(address, target="/", headers=[("accept", "application/json")])
        told: Json = page.json()["signing_keys"]["request"]
        return told

    def reload(self, place: Place, *further_routes: Json) -> None:
        """Have it use another configuration; return once it does."""
        before = self._reloads
        home = self.configuration_file.parent
        self.configure(gateway_configuration(home, place.keys(home.name), *further_routes))
        self.process.signal(SIGHUP)
        eventually(lambda: self._reloads > before)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self.process.signal(SIGKILL)
        self.process.wait()

    @property
    def _reloads(self) -> float:
        return self.metric("sidecar_config_reloads_total", result="success")

    def _minted(self) -> str | None:
        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            answer = unary(channel, METHOD)(check_request(partner_token()), timeout=10)
        response = CheckResponse.FromString(answer)
        if response.status.code:
            return None
        headers = {line.header.key: line.header.value for line in response.ok_response.headers}
        scheme, _, token = headers["authorization"].partition(" ")
        assert scheme == "Bearer"
        return token


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
def running_replica(directory: Path, place: Place, **request_tokens: str) -> Iterator[Replica]:
    """Start one replica, called as its directory, with its keys in this place."""
    keys = place.keys(directory.name)
    configuration = gateway_configuration(directory, keys, **request_tokens)
    with (
        socket_directory() as sockets,
        Replica(configuration, directory, sockets) as replica,
    ):
        yield replica


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
