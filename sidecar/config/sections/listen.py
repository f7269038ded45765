"""``listen``: where the program listens."""

from sidecar.config.addresses import AuthzAddress, HttpAddress, LoopbackHttpAddress
from sidecar.config.section import Section, written


class Listen(Section):
    """The addresses of the listeners."""

    authz: AuthzAddress = written(
        "unix:/run/sidecar/authz.sock",
        "The gRPC address for Envoy's checks: `unix:` and an absolute path, or a port of the "
        "loopback interface.",
    )
    metrics: HttpAddress = written(
        "[::]:9465", "`/metrics`, `/livez` and `/readyz` over HTTP, for Prometheus and the kubelet."
    )
    admin: LoopbackHttpAddress | None = written(
        "127.0.0.1:9466", "The status page for people, on the loopback interface; null for none."
    )
