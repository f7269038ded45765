"""`make demo`: a real Envoy, the sidecar and the orders service, and a tour of what they do.

Without a terminal it ends after the tour: 0 if every answer was as expected, 1 otherwise.
"""

import base64
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from tests.support import envoy
from tests.support.envoy import Envoy
from tests.support.http1 import HOST
from tests.support.ports import LOOPBACK, free_port, socket_directory
from tests.support.processes import Child
from tests.support.sidecar_process import SidecarProcess, write_json
from tests.support.tokens import claims, jwks, new_key, sign

ENVOY_VERSION: Final = "1.40.0"
RULES: Final = Path(__file__).parent / "shop" / "orders.yaml"
KEY: Final = new_key("ES256", "demo")


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop of the tour: a request, and what should come of it."""

    title: str
    path: str
    status: int
    reason: str
    method: str = "GET"
    token: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    identity: dict[str, list[str]] = field(default_factory=dict)


def token(subject: str = "alice", lifetime: float = 3600, **others: object) -> str:
    """A request token as the gateway of the shop would mint it."""
    document = claims(
        issuer="https://gateway.shop.internal",
        audience="orders",
        subject=subject,
        lifetime=lifetime,
        scope="orders:read",
        realm_access={"roles": ["customer"]},
    )
    return sign(document | others, KEY)


def tour() -> Iterator[Stop]:
    """What is worth seeing, in order."""
    alice = token(groups=["gold", "Zürich, west"])
    known = {
        "x-user-id": ["alice"],
        "x-user-groups": ["gold,Z%C3%BCrich%2C west"],
        "x-user-roles": ["customer"],
        "x-user-scopes": ["orders:read"],
    }
    yield Stop("A public route looks at no credential", "/healthz", 200, "public")
    yield Stop("No token where one is needed", "/orders/42", 401, "no_credential")
    yield Stop(
        "A valid token: the service gets identity headers",
        "/orders/42",
        200,
        "authorized",
        token=alice,
        identity=known,
    )
    yield Stop(
        "A client that claims to be somebody else: overwritten",
        "/orders/42",
        200,
        "authorized",
        token=alice,
        headers=(("x-user-id", "root"), ("x-user-roles", "admin")),
        identity=known,
    )
    yield Stop(
        "The same on a public route: removed",
        "/healthz",
        200,
        "public",
        headers=(("x-user-id", "root"),),
    )
    yield Stop("A scope is missing", "/orders", 403, "insufficient_scope", "POST", alice)
    yield Stop(
        "Somebody else's orders", "/customers/bob/orders", 403, "condition_not_met", token=alice
    )
    yield Stop("An expired token", "/orders/42", 401, "expired", token=token(lifetime=-60))
    yield Stop(
        "A token for another service", "/orders/42", 401, "wrong_audience", token=token(aud="stock")
    )
    yield Stop(
        "Claims changed after signing", "/orders/42", 401, "bad_signature", token=forged(alice)
    )
    yield Stop("A path that can be read in two ways", "/public//orders", 400, "unsafe_path")
    yield Stop("A path no rule names", "/admin", 403, "no_route", token=alice)


def forged(genuine: str) -> str:
    """The token with another subject and the old signature."""
    header, payload, signature = genuine.split(".")
    document = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = json.dumps({**document, "sub": "root"}).encode()
    return ".".join([header, base64.urlsafe_b64encode(changed).rstrip(b"=").decode(), signature])


@contextmanager
def shop(directory: Path) -> Iterator[tuple[Envoy, SidecarProcess]]:
    """The service, its sidecar and its Envoy, as one pod on loopback."""
    with ExitStack() as stack:
        folders = {name: directory / name for name in ("orders", "sidecar", "envoy")}
        for folder in folders.values():
            folder.mkdir()
        write_json(folders["sidecar"] / "jwks.json", jwks(KEY))
        port = free_port()
        stack.enter_context(
            Child([sys.executable, "-m", "examples.shop.orders", str(port)], folders["orders"])
        )
        sidecar = stack.enter_context(
            SidecarProcess(
                YAML(typ="safe").load(RULES),
                folders["sidecar"],
                stack.enter_context(socket_directory()),
            )
        )
        configuration = envoy.load(envoy.PLAIN)
        envoy.move(configuration, authz=sidecar.socket, application=(LOOPBACK, port))
        yield stack.enter_context(Envoy(ENVOY_VERSION, configuration, folders["envoy"])), sidecar


def visit(stop: Stop, number: int, front: Envoy) -> bool:
    """Make the request, print what came of it, and return whether it is what should."""
    request_id = f"demo-{number}"
    headers = [("x-request-id", request_id), *stop.headers]
    if stop.token:
        headers.append(("authorization", f"Bearer {stop.token}"))
    response = front.request(stop.method, stop.path, tuple(headers))
    line = front.access_log(request_id)
    identity = response.json()["identity"] if response.status == 200 else {}

    print(f"\n{number}. {stop.title}")
    print(
        f"   {stop.method} {stop.path}"
        + "".join(f"  {name}: {value}" for name, value in stop.headers)
    )
    print(f"   → {response.status}, reason {line['reason']}, route {line['route'] or '-'}")
    for name, values in identity.items():
        print(f"     the service sees  {name}: {' and '.join(values)}")
    if challenge := response.header("www-authenticate"):
        print(f"     the client sees   www-authenticate: {challenge}")
    expected = (stop.status, stop.reason, stop.identity)
    if (response.status, line["reason"], identity) == expected:
        return True
    print(f"   ✗ expected {stop.status}, {stop.reason}, {stop.identity}")
    return False


def invitation(front: Envoy, sidecar: SidecarProcess) -> str:
    """Lines to copy into another terminal."""
    url, alice = front.url, token()
    host = shlex.quote(f"host: {HOST}")
    check = f"{shlex.quote(sys.executable)} -m sidecar check -c {sidecar.configuration_file}"
    return f"""
Everything stays up until Ctrl-C. In another terminal, in this folder:

  TOKEN={alice}
  curl -i -H {host} -H "authorization: Bearer $TOKEN" {url}/orders/42
  curl -i -H {host} -H "authorization: Bearer $TOKEN" -H 'x-user-id: root' {url}/orders/42
  curl -i -H {host} {url}/orders/42

Why was it denied? Ask with the same token:

  echo "$TOKEN" | {check} POST /orders

What the sidecar has to show:

  curl {sidecar.metrics_url}/metrics
  curl {sidecar.admin_url}/
"""


def main() -> int:
    """Run the tour; stay up when there is somebody to talk to."""
    # `kill` ends it as Ctrl-C does, with everything it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="authz-sidecar-demo-") as directory,
        shop(Path(directory)) as (front, sidecar),
    ):
        print(f"Envoy {ENVOY_VERSION} on {front.url} asks the sidecar about every request;")
        print("the orders service behind it reads headers. Its rules: examples/shop/orders.yaml")
        good = [visit(stop, number, front) for number, stop in enumerate(tour(), start=1)]
        print(f"\n{sum(good)} of {len(good)} answers were as expected.")
        if sys.stdout.isatty():
            print(invitation(front, sidecar))
            try:
                signal.pause()
            except KeyboardInterrupt:
                print()
        return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
