"""``Configuration``: the settings that a file is loaded into."""

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

if TYPE_CHECKING:  # a sidecar does not import the modules of a gateway
    from sidecar.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Listeners:
    """The listeners. ``authz`` is a gRPC address; only a gateway has ``internal``."""

    authz: str
    metrics: Endpoint
    admin: Endpoint | None
    internal: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that can be used. All times are in seconds.

    ``digest`` is the SHA-256 of the file in hexadecimal digits; ``found_keys`` are the keys that
    were in the key files when it was loaded, by trust entry; ``warnings`` are for its author.
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
    resource_metadata: str | None
    request_bytes: int
    header_lines: int
    pending_checks: int
    key_wait: float
    drain: float
    start_timeout: float
    found_keys: Mapping[str, tuple[VerificationKey, ...]]
    warnings: tuple[FileProblem, ...]
    gateway: "GatewaySettings | None" = None

    @property
    def challenge(self) -> tuple[tuple[str, str], ...]:
        """The parameters of every challenge, by name (``wire.denials.problem``)."""
        realm = ("realm", self.realm)
        if self.resource_metadata is None:
            return (realm,)
        return (realm, ("resource_metadata", self.resource_metadata))


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """What is known of a file besides its values; as in ``Configuration``."""

    path: Path
    digest: str
    found_keys: Mapping[str, tuple[VerificationKey, ...]]
    warnings: tuple[FileProblem, ...]
