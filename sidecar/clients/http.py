"""The one client for everything that is fetched over HTTP, with every limit in place."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How to reach one server.

    ``ca_file`` replaces the system's trusted authorities; ``certificate`` and ``private_key`` are
    the client's own, PEM. ``headers`` are sent with every request, their values read from files
    each time. Without ``allow_http`` only https is spoken. ``read_timeout`` bounds each wait for
    the next bytes, in seconds; the caller bounds the whole. ``maximum_bytes`` bounds a body.
    """

    ca_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    headers: tuple[tuple[str, Path], ...] = ()
    allow_http: bool = False
    read_timeout: float = 5.0
    maximum_bytes: int = 1024 * 1024
