"""``grpc.health.v1.Health/Check``, for Envoy's health checks and for probes.

``Watch`` is not served: the protocol lets a server answer UNIMPLEMENTED, and clients then poll.
"""

from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError
from grpc import StatusCode
from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]  # it has no stubs
    HealthCheckRequest,
    HealthCheckResponse,
)

from sidecar.wire.grpc.calls import Call, Handler

HEALTH_METHOD: Final = "/grpc.health.v1.Health/Check"

# The empty name asks about the server as a whole.
_SERVICES: Final = frozenset({"", "envoy.service.auth.v3.Authorization"})


def health(serving: Callable[[], bool]) -> Handler:
    """Make the handler of HEALTH_METHOD. ``serving`` is asked on every call and must not block."""

    def check(call: Call) -> None:
        try:
            service = HealthCheckRequest.FromString(call.body).service
        except DecodeError:
            call.fail(StatusCode.INVALID_ARGUMENT, "the message is not a HealthCheckRequest")
            return
        if service not in _SERVICES:
            call.fail(StatusCode.NOT_FOUND, "there is no such service")
            return
        status = HealthCheckResponse.SERVING if serving() else HealthCheckResponse.NOT_SERVING
        call.reply(HealthCheckResponse(status=status).SerializeToString())

    return check
