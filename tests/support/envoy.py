"""A real Envoy that runs a configuration we ship, moved to addresses of the test's own."""

import json
import ssl
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML

from tests.support import http1
from tests.support.http1 import Address, Field, Response
from tests.support.ports import LOOPBACK
from tests.support.processes import Child, eventually

Json = Any

ROOT = Path(__file__).parents[2]
PLAIN = ROOT / "envoy" / "sidecar.yaml"
MTLS = ROOT / "envoy" / "sidecar-mtls.yaml"
GATEWAY = ROOT / "envoy" / "gateway.yaml"


def binary(version: str) -> Path:
    return ROOT / ".envoy" / version / "envoy" / "_bin" / "envoy"


def load(template: Path) -> Json:
    return YAML(typ="safe").load(template)


def listener(configuration: Json, name: str) -> Json:
    for candidate in configuration["static_resources"]["listeners"]:
        if candidate["name"] == name:
            return candidate
    raise LookupError(name)


def front(configuration: Json) -> Json:
    """The listener that clients use."""
    listeners = configuration["static_resources"]["listeners"]
    (found,) = (each for each in listeners if each["name"] != "status")
    return found


def http_connection_manager(configuration: Json) -> Json:
    """That of the listener that clients use."""
    (chain,) = front(configuration)["filter_chains"]
    (network_filter,) = chain["filters"]
    return network_filter["typed_config"]


def routes(configuration: Json) -> list[Json]:
    """Those of the one virtual host of the listener that clients use."""
    (host,) = http_connection_manager(configuration)["route_config"]["virtual_hosts"]
    found: list[Json] = host["routes"]
    return found


def checked_as(route: str) -> Json:
    """A route's ``typed_per_filter_config`` that names the sidecar's route."""
    return {
        "envoy.filters.http.ext_authz": {
            "@type": (
                "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
            ),
            "check_settings": {"context_extensions": {"route": route}},
        }
    }


def http_filter(configuration: Json, name: str) -> Json:
    return _http_filter(configuration, name)["typed_config"]


def leave_out(configuration: Json, name: str) -> None:
    """Take an HTTP filter out."""
    http_connection_manager(configuration)["http_filters"].remove(_http_filter(configuration, name))


def cluster(configuration: Json, name: str) -> Json:
    for candidate in configuration["static_resources"]["clusters"]:
        if candidate["name"] == name:
            return candidate
    raise LookupError(name)


def move(
    configuration: Json,
    *,
    authz: Path,
    application: Address,
    application_grpc: Address | None = None,
    certificates: Path | None = None,
    admin: Address = (LOOPBACK, 0),
) -> None:
    """Change the addresses and nothing else: Envoy picks its own ports, ``certificates`` holds
    the files the listener reads. All services of a gateway are at ``application``.

    The listener ``status`` has something behind it only if ``admin`` has a port.
    """
    configuration["admin"]["address"] = _socket_address(admin)
    for moved in configuration["static_resources"]["listeners"]:
        moved["address"] = _socket_address((LOOPBACK, 0))
    addresses = {
        "envoy-admin": _socket_address(admin),
        "sidecar": {"pipe": {"path": str(authz)}},
        "gateway": {"pipe": {"path": str(authz)}},
        "application": _socket_address(application),
        "application-grpc": _socket_address(application_grpc or application),
        "orders": _socket_address(application),
    }
    for moved in configuration["static_resources"]["clusters"]:
        (locality,) = moved["load_assignment"]["endpoints"]
        (endpoint,) = locality["lb_endpoints"]
        endpoint["endpoint"]["address"] = addresses[moved["name"]]
    if certificates:
        (chain,) = front(configuration)["filter_chains"]
        tls = chain["transport_socket"]["typed_config"]["common_tls_context"]
        (pair,) = tls["tls_certificates"]
        files = [pair["certificate_chain"], pair["private_key"]]
        if "validation_context" in tls:
            files.append(tls["validation_context"]["trusted_ca"])
        for file in files:
            file["filename"] = str(certificates / Path(file["filename"]).name)


def _http_filter(configuration: Json, name: str) -> Json:
    for candidate in http_connection_manager(configuration)["http_filters"]:
        if candidate["name"] == f"envoy.filters.http.{name}":
            return candidate
    raise LookupError(name)


def validate(configuration: Json, version: str, directory: Path) -> str:
    """Run ``envoy --mode validate``; return what it warns of. Fails if it is refused."""
    file = directory / "envoy.json"
    file.write_text(json.dumps(configuration))
    command = [str(binary(version)), "--mode", "validate", "-l", "warning", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


class Envoy:
    """Envoy for the length of a ``with`` block. ``as_user`` is that of ``Child``."""

    def __init__(
        self,
        version: str,
        configuration: Json,
        directory: Path,
        *,
        concurrency: int = 1,
        as_user: Sequence[str] = (),
    ) -> None:
        self.version = version
        file = directory / "envoy.json"
        file.write_text(json.dumps(configuration))
        self._admin_file = directory / "admin"
        self.process = Child(
            [
                str(binary(version)),
                *("-c", str(file)),
                *("--concurrency", str(concurrency)),
                *("--admin-address-path", str(self._admin_file)),
                *("--file-flush-interval-msec", "20"),
                # A graceful drain asks every client to leave at once, and ends after a second.
                *("--drain-strategy", "immediate"),
                *("--drain-time-s", "1"),
                *("--log-level", "warning"),
                # Another Envoy of the same tests would be taken for this one's predecessor.
                "--disable-hot-restart",
            ],
            directory,
            as_user=as_user,
        )

    def __enter__(self) -> Self:
        self.process.wait_until(self._ready)
        listeners = json.loads(self.admin("/listeners?format=json").body)["listener_statuses"]
        addresses = {
            each["name"]: _address(each["local_address"]["socket_address"]) for each in listeners
        }
        self.status_address = addresses.pop("status")
        (self.address,) = addresses.values()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://{host}:{port}"

    def request(
        self,
        method: str = "GET",
        target: str | bytes = "/",
        headers: Iterable[Field] = (),
        body: bytes = b"",
        *,
        tls: ssl.SSLContext | None = None,
    ) -> Response:
        """Send one request through the listener, on a connection of its own."""
        return http1.request(self.address, method, target, headers, body, tls=tls)

    @property
    def admin_address(self) -> Address:
        host, _, port = self._admin_file.read_text().rpartition(":")
        return host, int(port)

    def admin(self, target: str, method: str = "GET") -> Response:
        return http1.request(self.admin_address, method, target)

    def stats(self) -> dict[str, int]:
        """Every counter and gauge, by name."""
        listed = self.admin("/stats?format=json&type=Counters").json()["stats"]
        listed += self.admin("/stats?format=json&type=Gauges").json()["stats"]
        return {stat["name"]: stat["value"] for stat in listed}

    def access_log(self, request_id: str) -> dict[str, Any]:
        """The one line about this ``x-request-id``, waited for."""

        def written() -> list[dict[str, Any]]:
            entries = [json.loads(line) for line in self.process.stdout()]
            return [entry for entry in entries if entry["request_id"] == request_id]

        (entry,) = eventually(written)
        return entry

    def _ready(self) -> bool:
        try:
            return self.admin("/ready").status == 200
        except (OSError, ValueError):
            # Not listening yet, or the file with its address is still empty.
            return False


def _socket_address(address: Address) -> dict[str, Json]:
    host, port = address
    return {"socket_address": {"address": host, "port_value": port}}


def _address(socket_address: Json) -> Address:
    return socket_address["address"], socket_address["port_value"]
