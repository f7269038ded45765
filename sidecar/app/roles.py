"""The roles: each creates from a configuration what checks need. A reload creates a new one."""

from typing import NamedTuple, Protocol

from sidecar.check.pipeline import Pipeline
from sidecar.config import Configuration
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.shell.check import CheckContext, RequestLimits
from sidecar.shell.check import Pipeline as AnyPipeline
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.refreshes import RefreshLog


class Instruments(NamedTuple):
    """The metrics and logs, which live as long as the process."""

    metrics: Metrics
    refreshes: RefreshLog


class Role(Protocol):
    """One role under one configuration."""

    @property
    def context(self) -> CheckContext:
        """The pipeline, keys and limits of the checks."""
        ...

    async def start(self) -> None:
        """Start the background tasks.

        Raises:
            Fault: one cannot start. ``stop`` ends those that have started.
        """
        ...

    async def first_keys(self, timeout: float) -> None:
        """Return when all needed keys are there, or after ``timeout`` seconds."""
        ...

    async def stop(self) -> None:
        """Stop everything that the role of a later configuration has not taken over."""
        ...

    def fixed_but_changed(self, configuration: Configuration) -> list[str]:
        """The settings that differ in a later configuration and need a restart to change."""
        ...

    def status(self) -> dict[str, object]:
        """The role's entries on the status page."""
        ...


class SidecarRole:
    """Beside a service: verifies tokens and passes the identity on in headers (``Role``).

    ``before`` is the role it replaces: its keys stay in use until others have been fetched.
    """

    def __init__(
        self, instruments: Instruments, configuration: Configuration, before: Role | None
    ) -> None:
        check = configuration.check
        metrics = instruments.metrics
        metrics.expect([entry.name for entry in check.trust], check.routes, shadow=check.shadow)
        self._pipeline = Pipeline(check, metrics)
        keys = new_keys(configuration, instruments, before)
        self.context = new_context(configuration, self._pipeline, keys)

    async def start(self) -> None:
        """Start to fetch keys (``Role.start``)."""
        self.context.keys.start()

    async def first_keys(self, timeout: float) -> None:
        """Wait for first keys (``Role.first_keys``)."""
        await self.context.keys.first_keys(timeout)

    async def stop(self) -> None:
        """Stop fetching (``Role.stop``)."""
        await self.context.keys.stop()

    def fixed_but_changed(self, configuration: Configuration) -> list[str]:
        """The role alone (``Role.fixed_but_changed``)."""
        return [] if configuration.gateway is None else ["role"]

    def status(self) -> dict[str, object]:
        """The number of remembered tokens (``Role.status``)."""
        return {"remembered_tokens": self._pipeline.remembered_tokens}


def new_keys(
    configuration: Configuration, instruments: Instruments, before: Role | None
) -> VerificationKeys:
    """The public keys of the trust entries, starting with those of ``before``."""
    return VerificationKeys(
        configuration.keys,
        instruments.refreshes,
        cache=configuration.key_cache,
        before=before.context.keys if before else None,
    )


def new_context(
    configuration: Configuration, pipeline: AnyPipeline, keys: VerificationKeys
) -> CheckContext:
    """The context of the checks of a configuration."""
    return CheckContext(
        pipeline,
        keys,
        challenge=configuration.challenge,
        key_wait=configuration.key_wait,
        limits=RequestLimits(configuration.request_bytes, configuration.header_lines),
    )
