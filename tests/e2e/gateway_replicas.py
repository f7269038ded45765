"""Replicas of a gateway, each a process of its own.

Their clients are a partner's: its JWT costs no look-up.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGHUP, SIGKILL
from typing import Final

import grpc
import jwt

from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from sidecar.wire.grpc.authorization import METHOD
from tests.e2e.gateway_rings import TIMINGS, Place
from tests.support.flood import check_request
from tests.support.gateway_process import ISSUER, GatewayProcess
from tests.support.ports import socket_directory
from tests.support.processes import eventually
from tests.support.served import unary
from tests.support.sidecar_process import write_json
from tests.support.tokens import Json, claims, jwks, key_for, sign

PARTNER: Final = "https://partner.example"
ROUTES: Final[Sequence[Json]] = (
    {"name": "health", "match": {"path": "/healthz"}, "allow": {"public": True}},
    {"name": "catalogue", "match": {"path": "/catalogue"}, "allow": {"optional": True}},
    {"name": "orders", "match": {"path": "/orders/**"}, "allow": {"authenticated": True}},
)
# The service has this one as well; a gateway only where it is told to.
ABOUT: Final[Json] = {"name": "about", "match": {"path": "/about"}, "allow": {"public": True}}


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
        "start_timeout": "2s",
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

    def rotation_due(self) -> float | None:
        """When its request keys are to be rotated, in Unix seconds, where it says so."""
        name = "sidecar_signing_key_rotation_due_timestamp_seconds"
        due = [
            each.value
            for each in self.metrics()
            if each.name == name and each.labels == {"set": "request"}
        ]
        return due[0] if due else None

    def ring(self) -> Json:
        """What its status page says about the request keys."""
        told: Json = self.status_page()["signing_keys"]["request"]
        return told

    def reload(self, place: Place, *further_routes: Json, succeeds: bool = True) -> None:
        """Give it another configuration; return once it uses it, or has refused to."""
        result = "success" if succeeds else "failure"
        before = self._reloads(result)
        home = self.configuration_file.parent
        self.configure(gateway_configuration(home, place.keys(home.name), *further_routes))
        self.process.signal(SIGHUP)
        eventually(lambda: self._reloads(result) > before)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self.process.signal(SIGKILL)
        self.process.wait()

    def _reloads(self, result: str) -> float:
        return self.metric("sidecar_config_reloads_total", result=result)

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
