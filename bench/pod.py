"""A running pod: the sidecar with a service's rules, and Envoy in front, as shipped or otherwise.

Envoy answers by itself (``direct_response``) and writes no access log, so that what is left to
measure is the check.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import ENVOY_VERSION
from bench.service import Service
from tests.support import envoy
from tests.support.envoy import Envoy
from tests.support.ports import socket_directory
from tests.support.sidecar_process import SidecarProcess
from tests.support.tokens import jwks

Json = Any

_JWT_AUTHN = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"


@dataclass(frozen=True, slots=True)
class Pod:
    """The sidecar of a service, and how to put an Envoy in front of it."""

    service: Service
    sidecar: SidecarProcess
    envoy: Callable[[Json], Envoy]

    def checked(self) -> Json:
        """Envoy's configuration as shipped: it asks the sidecar."""
        return answering(envoy.PLAIN, self.sidecar.socket)

    def alone(self) -> Json:
        """The same without any check."""
        return self._instead([])

    def jwt_authn(self) -> Json:
        """The same with Envoy's own filter, which verifies every token (its cache is off)."""
        provider = {
            "issuer": self.service.issuer,
            "audiences": ["orders"],
            "forward": True,
            "local_jwks": {"inline_string": json.dumps(jwks(self.service.keys["ES256"]))},
            "claim_to_headers": [
                {"header_name": name, "claim_name": claim}
                for name, claim in (
                    *(("x-user-id", "sub"), ("x-user-groups", "groups")),
                    *(("x-user-roles", "realm_access.roles"), ("x-user-scopes", "scope")),
                    ("x-user-tenant", "tenant"),
                )
            ],
        }
        settings = {
            "@type": f"type.googleapis.com/{_JWT_AUTHN}",
            "providers": {"gateway": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "gateway"}}],
        }
        return self._instead([{"name": "envoy.filters.http.jwt_authn", "typed_config": settings}])

    def _instead(self, filters: list[Json]) -> Json:
        """The configuration with other filters in the place of ext_authz."""
        configuration = self.checked()
        manager = envoy.http_connection_manager(configuration)
        manager["http_filters"] = [*filters, manager["http_filters"][-1]]
        return configuration


def answering(template: Path, authz: Path) -> Json:
    """A configuration as shipped, but for what answers: Envoy itself, and nothing is logged.

    Nor is anything limited: everything that is measured goes through one connection.
    """
    configuration = envoy.load(template)
    envoy.move(configuration, authz=authz, application=("127.0.0.1", 9))
    manager = envoy.http_connection_manager(configuration)
    del manager["access_log"]
    envoy.leave_out(configuration, "local_ratelimit")
    (host,) = manager["route_config"]["virtual_hosts"]
    host["routes"] = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
    return configuration


@contextmanager
def running_pod() -> Iterator[Pod]:
    """A sidecar, and Envoys as they are asked for, until the end of the block."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = directory / "sidecar"
        folder.mkdir()
        service = Service(folder)
        sidecar = stack.enter_context(
            SidecarProcess(service.configuration, folder, stack.enter_context(socket_directory()))
        )

        def start(configuration: Json) -> Envoy:
            return stack.enter_context(
                Envoy(
                    ENVOY_VERSION,
                    configuration,
                    Path(tempfile.mkdtemp(prefix="envoy-", dir=directory)),
                )
            )

        yield Pod(service, sidecar, start)
