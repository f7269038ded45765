"""The edge: what minting adds to a request through a real Envoy, by where the keys are.

Each request brings a session token and leaves with a request token. Client, Envoy, gateway and
OpenBao share the CPUs: latencies hold for this machine.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.figures import ENVOY_VERSION, Figure
from bench.gateway import PATH, SESSION_COOKIE, running_gateway, with_cookie
from bench.http2 import Request
from bench.pod import answering
from bench.sampling import percentiles
from bench.service import HOST
from bench.ways import CALLS, Way, take
from tests.support import envoy
from tests.support.envoy import Envoy
from tests.support.openbao import BINARY, ROOT_TOKEN, OpenBao

Json = dict[str, Any]

ALONE = "Envoy alone"


def measure(*, quick: bool) -> list[Figure]:
    """Latency and CPU per request with each place of keys, and what is added to Envoy alone."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {"keys in a file": None, **in_vault(stack, directory)}
        ways = {
            name: stack.enter_context(_minted(_new(directory), keys))
            for name, keys in places.items()
        }
        ways[ALONE] = stack.enter_context(_alone(_new(directory)))
        take(ways.values(), quick=quick)
    return [figure for in_flight in CALLS for figure in figures(ways, in_flight)]


def figures(ways: Mapping[str, Way], in_flight: int) -> Iterator[Figure]:
    """What came of the ways with so many requests in flight, ``ALONE`` among them."""
    alone = percentiles(ways[ALONE].samples[in_flight].latencies)
    for name, way in ways.items():
        here = f"{name}, {in_flight} in flight"
        samples = way.samples[in_flight]
        yield from samples.figures(here)
        if name != ALONE:
            p50, p99, _ = percentiles(samples.latencies)
            yield Figure(f"{here}: adds p50 / p99", (p50 - alone[0], p99 - alone[1]), "µs")


def in_vault(stack: ExitStack, directory: Path) -> dict[str, Json]:
    """What ``request_tokens.keys`` says where OpenBao has part in it."""
    if not BINARY.exists():
        sys.stderr.write("edge: OpenBao is not installed; no ephemeral keys, none in transit\n")
        return {}
    openbao = stack.enter_context(OpenBao(_new(directory)))
    token_file = directory / "vault-token"
    token_file.write_text(ROOT_TOKEN)
    reached = {
        "address": openbao.address,
        "ca_file": str(openbao.ca_file),
        "login": {"token_file": str(token_file)},
    }
    folder = {"mount": openbao.mount("kv"), "path": "gateways", "replica": "gateway-1"}
    mount = openbao.mount("transit")
    key = {"mount": mount, "key": openbao.new_transit_key(mount, "ecdsa-p256")}
    return {
        "ephemeral keys": {"ephemeral": {**reached, **folder}},
        "a key in transit": {"transit": {**reached, **key}},
    }


@contextmanager
def _minted(directory: Path, keys: Json | None) -> Iterator[Way]:
    """Through Envoy, which asks a gateway whose keys are there."""
    with (
        running_gateway(directory, keys) as (gateway, process),
        Envoy(ENVOY_VERSION, _edge(process.socket), _new(directory)) as front,
    ):
        bearer = ("authorization", f"Bearer {gateway.partner_token()}")
        begun = process.internal("POST", "/session", [("host", HOST), bearer])
        cookie = begun.header("set-cookie") or ""
        session = cookie.partition(";")[0].removeprefix(f"{SESSION_COOKIE}=")
        pids = {"gateway": process.process.pid, "Envoy": front.process.pid}
        yield _way(front, session, pids)


@contextmanager
def _alone(directory: Path) -> Iterator[Way]:
    """Through the same Envoy without a check."""
    configuration = _edge(directory / "nobody")
    envoy.leave_out(configuration, "ext_authz")
    with Envoy(ENVOY_VERSION, configuration, directory) as front:
        yield _way(front, "." * 700, {"Envoy": front.process.pid})


def _way(front: Envoy, session: str, pids: dict[str, int]) -> Way:
    request = Request.get(HOST, PATH, with_cookie(SESSION_COOKIE, session))
    return Way(front.address, lambda: request, pids)


def _edge(authz: Path) -> Json:
    """The edge as shipped, but without TLS, and with the one host that is asked for."""
    configuration: Json = answering(envoy.GATEWAY, authz)
    del envoy.front(configuration)["filter_chains"][0]["transport_socket"]
    (host,) = envoy.http_connection_manager(configuration)["route_config"]["virtual_hosts"]
    host["domains"] = [HOST]
    return configuration


def _new(directory: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=directory))
