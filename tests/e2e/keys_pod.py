"""A pod whose sidecar believes the issuers of ``keys_authorities``, and what its operator sees."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Protocol

from tests.e2e.keys_authorities import REFRESH, Authority
from tests.support import envoy
from tests.support.http1 import Field, Response
from tests.support.load import Load
from tests.support.pod import Pod, running_pod
from tests.support.ports import socket_directory
from tests.support.processes import eventually
from tests.support.sidecar_process import SidecarProcess
from tests.support.tokens import Json
from tests.support.upstream import Upstream

# One refresh with its jitter, and what a busy machine adds; less than two refreshes.
WITHIN_ONE_REFRESH = 1.9 * REFRESH
REQUESTS_PER_SECOND = 500
Note = Callable[[str, object], None]


class Issuer(Protocol):
    """Whoever mints tokens: an ``Authority``, or a gateway with a ring of keys."""

    @property
    def name(self) -> str: ...

    def token(self) -> str: ...


class Pace:
    """Holds threads back so that together they take no more than so many steps a second."""

    def __init__(self, per_second: float) -> None:
        self._between = 1 / per_second
        self._lock = Lock()
        self._next = monotonic()

    def wait(self) -> None:
        """Return when it is this thread's turn."""
        with self._lock:
            turn = self._next = max(self._next + self._between, monotonic())
        sleep(max(0.0, turn - monotonic()))


@dataclass(frozen=True, slots=True)
class KeysPod:
    """A running pod and its sidecar."""

    pod: Pod
    sidecar: SidecarProcess

    def ask(self, token: str) -> Response:
        return self.pod.request(target="/orders/1", token=token).response

    def status(self, token: str) -> int:
        return self.ask(token).status

    def status_page(self) -> Json:
        """What ``/readyz?verbose`` says."""
        return self.sidecar.status_page()

    def issuer(self, name: str) -> Json:
        """What it says about an issuer."""
        status: Json = self.status_page()["issuers"][name]
        return status

    def wait_for_key(self, issuer: str, kid: str) -> None:
        """Return once a regular refresh has brought a key."""
        eventually(lambda: kid in self.issuer(issuer)["kids"])

    def rotate(self, authority: Authority) -> None:
        """Have an issuer sign with a new key, which the sidecar knows by then."""
        new = authority.add()
        self.wait_for_key(authority.name, new.kid)
        authority.signer = new

    def wait_for_failures(self, issuer: str, more: int) -> None:
        """Return once this many more refreshes have failed."""
        goal = self.failures(issuer) + more
        eventually(lambda: self.failures(issuer) >= goal)

    def failures(self, issuer: str) -> float:
        return self.sidecar.metric("sidecar_key_refreshes_total", issuer=issuer, result="failure")

    @contextmanager
    def requests(self, issuer: Issuer, note: Note | None = None) -> Iterator[Load]:
        """Steady requests with fresh tokens of an issuer; the block looks at what went wrong."""
        pace = Pace(REQUESTS_PER_SECOND)

        def headers() -> list[Field]:
            pace.wait()
            return [("authorization", f"Bearer {issuer.token()}")]

        began = monotonic()
        with Load(self.pod.envoy.address, "/orders/1", headers) as load:
            yield load
        if note is not None:
            took = monotonic() - began
            note(issuer.name, f"{load.answered / took:.0f} requests/s for {took:.1f} s")

    @contextmanager
    def traffic(self, issuer: Issuer, note: Note | None = None) -> Iterator[Load]:
        """Steady requests that all must be allowed."""
        with self.requests(issuer, note) as load:
            yield load
        assert not load.failures, (load.failures[:5], self.status_page()["denials"])


@contextmanager
def keys_pod(
    version: str, upstream: Upstream, directory: Path, *issuers: Authority, **changes: object
) -> Iterator[KeysPod]:
    """A pod that has just started; ``changes`` are to the sidecar's configuration."""
    trust = [issuer.trust() for issuer in issuers]
    kinds = {entry["kind"] for entry in trust}
    configuration: Json = {
        "trust": trust,
        "routes": [
            {
                "name": "orders",
                "match": {"path": "/orders/**"},
                "allow": {"tokens": sorted(kinds)},
            }
        ],
        # Longer than the cooldown, so that each unknown key is looked for before it is refused.
        "limits": {"key_wait": "400ms"},
        "start_timeout": "1s",
        **changes,
    }
    envoy_configuration = envoy.load(envoy.PLAIN)
    # These stories are about keys, not about how long a busy machine takes for a check.
    service = envoy.http_filter(envoy_configuration, "ext_authz")["grpc_service"]
    service["timeout"] = service["retry_policy"]["retry_back_off"]["max_interval"] = "5s"
    for name in ("sidecar", "envoy"):
        (directory / name).mkdir()
    with (
        socket_directory() as sockets,
        SidecarProcess(configuration, directory / "sidecar", sockets) as sidecar,
        running_pod(
            version,
            directory / "envoy",
            authz=sidecar.socket,
            upstream=upstream,
            configuration=envoy_configuration,
        ) as pod,
    ):
        yield KeysPod(pod, sidecar)
