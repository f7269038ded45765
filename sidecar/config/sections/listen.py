"""``listen``: where the program listens."""

from pydantic import Field

from sidecar.config.addresses import AuthzAddress, HttpAddress, LoopbackAddress
from sidecar.config.section import Section


class Listen(Section):
    """Where it listens."""

    authz: AuthzAddress = Field(
        default="unix:/run/sidecar/authz.sock",
        description="Where Envoy asks, over gRPC: `unix:` and an absolute path, or a port of the "
        "loopback interface.",
    )
    metrics: HttpAddress = Field(
        default="[::]:9465",
        validate_default=True,
        description="`/metrics`, `/livez` and `/readyz` over HTTP, for Prometheus and the kubelet.",
    )
    admin: LoopbackAddress | None = Field(
        default="127.0.0.1:9466",
        validate_default=True,
        description="The status page for people, on the loopback interface; null for none.",
    )
