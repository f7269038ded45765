"""Every test of the gRPC wire runs on both servers there are."""

import pytest

from sidecar.wire.grpc import completion_queue


@pytest.fixture(params=["completion_queue", "public"], autouse=True)
def grpc_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the server chosen that grpcio would get if it had, or lacked, what the fast one uses."""
    implementation: str = request.param
    if implementation == "public":
        monkeypatch.setattr(completion_queue, "_USED", ("Server.gone",))
    return implementation
