"""What a role makes checks with: made anew by every reload, from the configuration."""

from typing import NamedTuple, Protocol

from sidecar.check.pipeline import Pipeline
from sidecar.config import Configuration
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.refreshes import RefreshLog
from sidecar.wire.authorization import Checks, Policy
from sidecar.wire.grpc.codec import RequestLimits


class Instruments(NamedTuple):
    """What is reported to, for as long as the process lives."""

    metrics: Metrics
    refreshes: RefreshLog


class Role(Protocol):
    """One role under one configuration."""

    @property
    def policy(self) -> Policy:
        """What checks are made with."""
        ...

    async def start(self) -> None:
        """Begin whatever goes on beside the checks.

        Raises:
            Fault: it cannot be had. ``stop`` ends what has begun.
        """
        ...

    async def first_keys(self, timeout: float) -> None:
        """Return when there are keys for everything, or ``timeout`` seconds are over."""
        ...

    async def stop(self) -> None:
        """End it, except for what the role of a later configuration goes on with."""
        ...

    def fixed_but_changed(self, configuration: Configuration) -> list[str]:
        """What a later configuration says otherwise, and a role cannot hand over."""
        ...

    def status(self) -> dict[str, object]:
        """What the status page shows of it."""
        ...


class SidecarRole:
    """Beside a service: it verifies tokens and hands on who they are about (``Role``).

    The keys of ``before``, the role it takes over from, serve on until others have been fetched.
    """

    def __init__(
        self, instruments: Instruments, configuration: Configuration, before: Role | None
    ) -> None:
        check = configuration.check
        metrics = instruments.metrics
        metrics.expect([entry.name for entry in check.trust], check.routes, shadow=check.shadow)
        self._pipeline = Pipeline(check, metrics)
        keys = new_keys(configuration, instruments, before)
        self.policy = new_policy(configuration, self._pipeline, keys)

    async def start(self) -> None:
        """Begin to fetch keys (``Role.start``)."""
        self.policy.keys.start()

    async def first_keys(self, timeout: float) -> None:
        """Wait for first keys (``Role.first_keys``)."""
        await self.policy.keys.first_keys(timeout)

    async def stop(self) -> None:
        """Stop fetching (``Role.stop``)."""
        await self.policy.keys.stop()

    def fixed_but_changed(self, configuration: Configuration) -> list[str]:
        """Nothing but the role (``Role.fixed_but_changed``)."""
        return [] if configuration.gateway is None else ["role"]

    def status(self) -> dict[str, object]:
        """How much is remembered (``Role.status``)."""
        return {"remembered_tokens": self._pipeline.remembered_tokens}


def new_keys(
    configuration: Configuration, instruments: Instruments, before: Role | None
) -> VerificationKeys:
    """The public keys of the trust entries; those of ``before`` are where they begin."""
    return VerificationKeys(
        configuration.keys,
        instruments.refreshes,
        cache=configuration.key_cache,
        before=before.policy.keys if before else None,
    )


def new_policy(configuration: Configuration, checks: Checks, keys: VerificationKeys) -> Policy:
    """The policy of a configuration."""
    return Policy(
        checks,
        keys,
        realm=configuration.realm,
        key_wait=configuration.key_wait,
        limits=RequestLimits(configuration.request_bytes, configuration.header_lines),
    )
