"""What both gRPC servers share: the call, its handler, and the limits of a server."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from grpc import StatusCode

# The method under which calls to methods that do not exist are counted: a closed set of labels.
UNKNOWN_METHOD: Final = "unknown"

# How often (seconds) an idle server checks whether it must stop.
TICK: Final = 0.1

# The codes in the spelling of grpc-go, which dashboards look for in grpc_server_handled_total.
CODE_NAMES: Final = {code: code.name.title().replace("_", "") for code in StatusCode} | {
    StatusCode.OK: "OK",
    StatusCode.CANCELLED: "Canceled",
}
# The codes with which calls of a known method can end, and those of an unknown one.
_CODES: Final = (
    *(StatusCode.OK, StatusCode.CANCELLED, StatusCode.RESOURCE_EXHAUSTED),
    *(StatusCode.INVALID_ARGUMENT, StatusCode.INTERNAL, StatusCode.UNAVAILABLE),
)
_CODES_OF_UNKNOWN: Final = (StatusCode.UNIMPLEMENTED, StatusCode.CANCELLED)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server. A call above ``max_pending`` gets RESOURCE_EXHAUSTED.

    ``max_pending`` limits each queue that a call passes: the streams of one connection, the calls
    that grpc core has read and the server's thread has not accepted (above it some are refused,
    above twice that all), and the accepted calls without an answer. ``max_message`` is in bytes.
    """

    max_pending: int = 1024
    max_message: int = 1024 * 1024
    max_connections: int = 256

    @property
    def options(self) -> tuple[tuple[str, int], ...]:
        """The channel arguments: grpc's ``channel_arg_names.h`` and ``server.h`` describe them."""
        return (
            # A second process must fail to bind a port, not share it.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.max_message),
            ("grpc.max_concurrent_streams", self.max_pending),
            ("grpc.server.max_pending_requests", self.max_pending),
            ("grpc.server.max_pending_requests_hard_limit", 2 * self.max_pending),
            ("grpc.max_allowed_incoming_connections", self.max_connections),
            # The headers of a check's own request are in its message; these are the call's.
            ("grpc.max_metadata_size", 8 * 1024),
            ("grpc.absolute_max_metadata_size", 16 * 1024),
            # Only Envoy connects: no compression, no channelz, and no limit on pings (otherwise
            # Envoy's connection_keepalive would be disconnected for pings without calls).
            ("grpc.default_compression_algorithm", 0),
            ("grpc.enable_channelz", 0),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.keepalive_permit_without_calls", 1),
        )


class Call(Protocol):
    """One unary call. Answer it once, with ``reply`` or ``fail``, from any thread.

    ``deadline`` is in Unix seconds, infinite if the client set none. A second answer, and one after
    the server has stopped, is dropped. A call must be answered even if its client has gone: until
    then it counts as pending.
    """

    method: str
    body: bytes
    deadline: float

    def reply(self, body: bytes) -> None:
        """Answer with ``body`` and status OK."""
        ...

    def fail(self, code: StatusCode, text: str) -> None:
        """Answer with a status other than OK. ``text`` is its message."""
        ...


Handler = Callable[[Call], None]
"""Called on the server's thread; it must not block. It may keep the call and answer later: a call
that waits holds no thread."""

Handled = Callable[[str, str], None]
"""Called on the server's thread when a call is over, with its method (or UNKNOWN_METHOD) and the
name of its code."""


def outcomes(methods: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every pair of method and code that a server of these methods reports to ``handled``."""
    yield from ((method, CODE_NAMES[code]) for method in methods for code in _CODES)
    yield from ((UNKNOWN_METHOD, CODE_NAMES[code]) for code in _CODES_OF_UNKNOWN)
