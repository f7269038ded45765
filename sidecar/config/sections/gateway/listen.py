"""``listen`` of a gateway, which has an additional listener for the cluster."""

from collections.abc import Iterator
from itertools import combinations

from pydantic import Field

from sidecar.config.addresses import HttpAddress
from sidecar.config.problems import Finding
from sidecar.config.section import Section, written
from sidecar.config.sections.listen import Listen
from sidecar.config.values import File


class InternalTls(Section):
    """The certificate of the internal listener. Without it, the listener serves plain HTTP."""

    certificate: File = Field(description="The certificate with its chain, PEM.")
    private_key: File = Field(description="The certificate's key, PEM.")


class GatewayListen(Listen):
    """Where it listens."""

    internal: HttpAddress = written(
        "[::]:9467",
        "The public keys, the metadata and `POST /session` over HTTP, for the cluster "
        "alone: the edge Envoy has no route to it.",
    )
    internal_tls: InternalTls | None = written(
        None, "What `internal` shows over TLS; without it, it speaks plain HTTP, for a mesh."
    )

    def findings(self) -> Iterator[Finding]:
        """Each listener has a port of its own."""
        ends = [("metrics", self.metrics), ("admin", self.admin), ("internal", self.internal)]
        for (first, one), (second, other) in combinations(ends, 2):
            if one is None or other is None or one.port != other.port or one.port == 0:
                continue
            text = f"{first} listens on port {one.port} already; give {second} one of its own"
            yield Finding((second,), text)
