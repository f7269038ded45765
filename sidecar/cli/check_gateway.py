"""``sidecar check`` for a gateway: which credential it is about, and what is known of it."""

from pathlib import Path
from typing import Final

from sidecar.check.extract import TokenSource
from sidecar.cli.gateway_simulation import GatewaySimulation
from sidecar.clients.files import read
from sidecar.config import Configuration
from sidecar.errors import ConfigurationFault
from sidecar.gateway.settings import (
    CredentialSettings,
    GatewaySettings,
    IntrospectedCredential,
    SessionCredential,
)
from sidecar.keys.rings.directory import load_directory
from sidecar.keys.rings.ring import KeyRing
from sidecar.keys.rings.sealing import SealingKey
from sidecar.keys.rings.settings import InDirectory
from sidecar.keys.rings.stored import of_kind

_LARGEST_ANSWER: Final = 1024 * 1024


def simulated(
    configuration: Configuration, name: str | None, answer: Path | None, token: str, now: float
) -> tuple[GatewaySimulation, TokenSource]:
    """A gateway's checks, and where the credential stands.

    Args:
        configuration: a gateway's.
        name: the credential's; None for the first that requests may have.
        answer: the file with what the issuer of a session says about it.
        token: the credential's text; empty for a request without one.
        now: Unix seconds.

    Raises:
        ConfigurationFault: there is no such credential, or an answer is missing or of no use.
        SourceFault: the answer, or the keys a session is opened with, cannot be read.
    """
    assert configuration.gateway is not None  # noqa: S101 - the caller has looked
    credential = _credential(configuration.gateway, name)
    asked = isinstance(credential, IntrospectedCredential)
    if asked and token and answer is None:
        raise ConfigurationFault(
            f"only its issuer knows whose a session of {credential.name} is; write what it would "
            "answer to a file, and name that with --answer"
        )
    if answer is not None and not asked:
        raise ConfigurationFault(f"nobody is asked about {credential.name}; leave --answer out")
    sealing = _sealing(credential) if isinstance(credential, SessionCredential) and token else None
    simulation = GatewaySimulation(configuration, now, sealing)
    if answer is not None:
        simulation.answer(token, read(answer, _LARGEST_ANSWER))
    return simulation, credential.source


def _credential(gateway: GatewaySettings, name: str | None) -> CredentialSettings:
    usable = [each for each in gateway.credentials if each.name not in gateway.only_exchanged]
    for each in usable:
        if name in {None, each.name}:
            return each
    names = ", ".join(each.name for each in usable)
    raise ConfigurationFault(f"--credential {name}: requests may have {names or 'none'}")


def _sealing(credential: SessionCredential) -> KeyRing[SealingKey]:
    """The keys that open sessions, where they can be read."""
    assert isinstance(credential.ring.place, InDirectory)  # noqa: S101 - its model has nothing else
    return of_kind(load_directory(credential.ring.place.directory), SealingKey)
