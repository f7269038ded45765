"""The tokens and sessions of policy tests for a gateway."""

import json
from collections.abc import Callable, Mapping

from sidecar.check.extract import TokenSource
from sidecar.cli.gateway_simulation import GatewaySimulation
from sidecar.cli.policy_tests import Case, Session
from sidecar.cli.stand_ins import StandIn
from sidecar.config import Configuration
from sidecar.gateway.settings import SessionCredential

_SUBJECT = "test"


def simulated(
    configuration: Configuration, stand_ins: Mapping[str, StandIn], now: float
) -> tuple[GatewaySimulation, Callable[[Case], tuple[TokenSource, str] | None]]:
    """A gateway's checks, and a function that gives the credential of a test case.

    Args:
        configuration: a gateway's.
        stand_ins: the issuers of tokens, by trust entry.
        now: Unix seconds.
    """
    simulation = GatewaySimulation(configuration, now)

    def bring(case: Case) -> tuple[TokenSource, str] | None:
        if case.session is not None:
            return _session(simulation, case.session, case.name, now)
        if case.token is None:
            return None
        trust, credential = case.token.trust, case.token.credential
        return simulation.source_of(trust, credential), stand_ins[trust].token_for(case.token, now)

    return simulation, bring


def _session(
    simulation: GatewaySimulation, session: Session, case: str, now: float
) -> tuple[TokenSource, str]:
    """The source of a session's credential, and its text; the issuer is told its answer."""
    credential = simulation.credentials[session.credential]
    ends = now + session.expires_in
    claims = {"sub": _SUBJECT, **session.claims}
    if isinstance(credential, SessionCredential):
        return credential.source, simulation.seal(credential, claims, ends)
    text = case.encode().hex()  # unique, and in characters that a session may have
    answer = {"active": session.active, "exp": ends, **claims}
    present = {name: value for name, value in answer.items() if value is not None}
    simulation.answer(text, json.dumps(present).encode())
    return credential.source, text
