"""The protocol of the gRPC server, and the choice between its two implementations.

Both serve unary calls, bytes in and bytes out, on one thread: ``queue_server`` drives grpc core's
completion queue, which is private to grpcio; ``public_server`` uses only grpcio's public interface,
for a release in which the private one has changed (docs/decisions/0001-grpc-server.md).
"""

import logging
from collections.abc import Mapping
from typing import Protocol

import grpc

from sidecar.wire.grpc import completion_queue
from sidecar.wire.grpc.calls import Handled, Handler, Limits
from sidecar.wire.grpc.public_server import PublicServer
from sidecar.wire.grpc.queue_server import QueueServer
from sidecar.wire.grpc.sockets import Address

_log = logging.getLogger(__name__)


class GrpcServer(Protocol):
    """Serves unary methods on one address, from one thread."""

    @property
    def implementation(self) -> str:
        """Which of the two it is, as ``sidecar_grpc_server_info`` names it."""
        ...

    @property
    def address(self) -> Address:
        """Where it listens; it has the port that was chosen once the server has started."""
        ...

    @property
    def serving(self) -> bool:
        """Whether calls are answered: from the start until the end, and not if the thread died."""
        ...

    def start(self) -> None:
        """Listen and serve. Raises ListenFault, with what to do, if it cannot listen."""
        ...

    def connections(self) -> int:
        """Count the connections clients hold open."""
        ...

    def stop(self, grace: float) -> None:
        """Go on accepting until clients have closed their connections or ``grace`` seconds passed.

        Then stop: calls that wait for an answer get UNAVAILABLE. Returns when the thread has ended.
        Calling it again, from another thread too, can only shorten the wait.
        """
        ...


def new_server(
    address: Address, methods: Mapping[str, Handler], *, handled: Handled, limits: Limits
) -> GrpcServer:
    """Make the server that fits the installed grpcio.

    Args:
        address: the address to listen on.
        methods: full names (``/package.Service/Method``) and their handlers.
        handled: called for every call that is over.
        limits: the limits of the server.
    """
    missing = completion_queue.missing()
    if missing:
        _log.warning(
            "grpcio %s does not have what the fast gRPC server uses (%s): serving with grpcio's "
            "public interface instead, which costs about 100 to 200 µs more CPU per check; install "
            "a release of grpcio that this program was tested with",
            grpc.__version__,
            ", ".join(missing),
        )
        return PublicServer(address, methods, handled=handled, limits=limits)
    return QueueServer(address, methods, handled=handled, limits=limits)
