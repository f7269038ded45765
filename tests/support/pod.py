"""Envoy, whatever answers its checks, and the application behind it: what a service pod is."""

import ssl
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import envoy
from tests.support.envoy import PLAIN, Envoy, Json
from tests.support.http1 import Address, Field, Response
from tests.support.upstream import Received, Upstream


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request through a pod: what the client got, and what the application saw of it."""

    pod: "Pod"
    request_id: str
    response: Response

    @property
    def reached_the_application(self) -> bool:
        return bool(self.pod.upstream.received(self.request_id))

    @property
    def received(self) -> Received:
        (received,) = self.pod.upstream.received(self.request_id)
        return received

    @property
    def access_log(self) -> dict[str, Any]:
        return self.pod.envoy.access_log(self.request_id)


@dataclass(frozen=True, slots=True)
class Pod:
    """A running Envoy and the application behind it."""

    envoy: Envoy
    upstream: Upstream

    def request(
        self,
        method: str = "GET",
        target: str | bytes = "/",
        headers: Iterable[Field] = (),
        body: bytes = b"",
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Exchange:
        """Send one request, with ``token`` as its bearer token."""
        request_id = uuid.uuid4().hex
        fields: list[Field] = [("x-request-id", request_id), *headers]
        if token is not None:
            fields.append(("authorization", f"Bearer {token}"))
        response = self.envoy.request(method, target, fields, body, tls=tls)
        return Exchange(self, request_id, response)


@contextmanager
def running_pod(
    version: str,
    directory: Path,
    *,
    authz: Path,
    upstream: Upstream,
    configuration: Json | None = None,
    certificates: Path | None = None,
    application: Address | None = None,
    application_grpc: Address | None = None,
    concurrency: int = 1,
) -> Iterator[Pod]:
    """Start Envoy with ``configuration``, or as shipped, in front of ``upstream``.

    ``application`` is what stands between the two, where something does.
    """
    configuration = configuration or envoy.load(PLAIN)
    envoy.move(
        configuration,
        authz=authz,
        application=application or upstream.address,
        application_grpc=application_grpc,
        certificates=certificates,
    )
    with Envoy(version, configuration, directory, concurrency=concurrency) as running:
        yield Pod(running, upstream)
