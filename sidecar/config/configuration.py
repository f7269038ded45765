"""What a configuration file becomes: the frozen settings of the other layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.check.pipeline import CheckSettings
from sidecar.config.addresses import Endpoint
from sidecar.config.problems import FileProblem
from sidecar.config.sections.log import Log
from sidecar.jose.jwk import VerificationKey
from sidecar.keys.settings import KeySettings

if TYPE_CHECKING:  # a sidecar keeps none of the gateway in memory
    from sidecar.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where it listens. ``authz`` is a gRPC address; ``internal`` is the gateway's alone."""

    authz: str
    metrics: Endpoint
    admin: Endpoint | None
    internal: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that can be used. All times are in seconds.

    ``digest`` is the SHA-256 of the file in hexadecimal digits; ``found_keys`` are the keys that
    were in the key files when it was loaded, by trust entry; ``warnings`` are for whoever wrote it.
    ``gateway`` is None for a sidecar.
    """

    path: Path
    digest: str
    check: CheckSettings
    keys: tuple[KeySettings, ...]
    key_cache: Path | None
    listen: Listeners
    log: Log
    realm: str
    request_bytes: int
    header_lines: int
    pending_checks: int
    key_wait: float
    drain: float
    start_timeout: float
    found_keys: Mapping[str, tuple[VerificationKey, ...]]
    warnings: tuple[FileProblem, ...]
    gateway: "GatewaySettings | None" = None


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """What there is to know about a file besides what it says; as in ``Configuration``."""

    path: Path
    digest: str
    found_keys: Mapping[str, tuple[VerificationKey, ...]]
    warnings: tuple[FileProblem, ...]
