"""``sidecar check`` for a gateway: finds the credential of the request, and the keys it needs."""

from pathlib import Path
from typing import Final

from sidecar.check.extract import Credential, TokenSource, cookie_finder, extract
from sidecar.check.refusal import Refusal
from sidecar.check.routes import Router
from sidecar.cli.gateway_simulation import GatewaySimulation
from sidecar.clients.files import read
from sidecar.config import Configuration
from sidecar.errors import ConfigurationFault
from sidecar.gateway.places import Places
from sidecar.gateway.settings import (
    CredentialSettings,
    GatewaySettings,
    IntrospectedCredential,
    SessionCredential,
)
from sidecar.model import RequestView
from sidecar.rings.ring import KeyRing
from sidecar.rings.ring_file import load_directory, require_kind
from sidecar.rings.sealing_key import SealingKey
from sidecar.rings.settings import InDirectory

_LARGEST_ANSWER: Final = 1024 * 1024


def simulated(
    configuration: Configuration,
    name: str | None,
    answer: Path | None,
    request: RequestView,
    now: float,
) -> GatewaySimulation:
    """A gateway's checks, with the introspection answer or keys that the credential needs.

    Args:
        configuration: a gateway's.
        name: the credential to assume if the request carries none; as in ``named_credential``.
        answer: the file with the introspection response for a session (RFC 7662 §2.2).
        request: the request, with its credential.
        now: Unix seconds.

    Raises:
        ConfigurationFault: there is no such credential, or an answer is missing or not needed.
        SourceFault: the answer, or the keys that sessions are sealed with, cannot be read.
    """
    assert configuration.gateway is not None  # noqa: S101 - the caller has checked
    places = Places(configuration.gateway.credentials, _usable(configuration.gateway))
    credential = named_credential(configuration.gateway, name)
    carried = _carried(configuration, request, places.sources)
    if carried is not None:
        found = places.find(carried)
        if isinstance(found, Refusal):  # the checks refuse it, whatever an issuer would answer
            return GatewaySimulation(configuration, now)
        credential = found
    asked = isinstance(credential, IntrospectedCredential)
    if asked and carried is not None and answer is None:
        raise ConfigurationFault(
            f"only its issuer knows whose a session of {credential.name} is; write what it would "
            "answer to a file, and name that with --answer"
        )
    if answer is not None and not asked:
        raise ConfigurationFault(f"nobody is asked about {credential.name}; leave --answer out")
    sealing = None
    if isinstance(credential, SessionCredential) and carried is not None:
        sealing = _sealing(credential)
    simulation = GatewaySimulation(configuration, now, sealing)
    if answer is not None and carried is not None:
        simulation.answer(carried.text, read(answer, _LARGEST_ANSWER))
    return simulation


def named_credential(gateway: GatewaySettings, name: str | None) -> CredentialSettings:
    """The credential of this name, or without a name the first that requests may have.

    Raises:
        ConfigurationFault: there is none.
    """
    usable = _usable(gateway)
    for each in gateway.credentials:
        if each.name in usable and name in {None, each.name}:
            return each
    names = ", ".join(usable)
    raise ConfigurationFault(f"--credential {name}: requests may have {names or 'none'}")


def _usable(gateway: GatewaySettings) -> list[str]:
    """The names of the credentials that a request may have."""
    return [each.name for each in gateway.credentials if each.name not in gateway.exchange_only]


def _carried(
    configuration: Configuration, request: RequestView, sources: tuple[TokenSource, ...]
) -> Credential | None:
    """The credential that the gateway would use; None when the request carries none.

    ``sources`` are where requests may have one.
    """
    check = configuration.check
    routed = Router(check.routes, literal_semicolons=check.literal_semicolons).find(request)
    if isinstance(routed, Refusal) or routed.route.public:
        return None
    cookies = cookie_finder(sources, check.cookies).find(request)
    found = None if isinstance(cookies, Refusal) else extract(request, sources, cookies)
    return found if isinstance(found, Credential) else None


def _sealing(credential: SessionCredential) -> KeyRing:
    """The keys that sessions are sealed with."""
    assert isinstance(credential.ring.place, InDirectory)  # noqa: S101 - its model has nothing else
    return require_kind(load_directory(credential.ring.place.directory), SealingKey)
