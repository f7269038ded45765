"""Checks a file of policy tests against the configuration it is for."""

from collections.abc import Iterable, Iterator

from sidecar.cli.policy_tests import Case, PolicyTests, Session, Token
from sidecar.config import Configuration
from sidecar.config.problems import Finding, Location
from sidecar.gateway.settings import GatewaySettings, JwtCredential, SessionCredential


def mistakes(tests: PolicyTests, configuration: Configuration) -> Iterator[Finding]:
    """Every mismatch, with its location in the file of tests."""
    names = [entry.name for entry in configuration.check.trust]
    for index, case in enumerate(tests.tests):
        here = ("tests", index)
        if case.token is not None:
            yield from _unknown((*here, "token", "trust"), "trust entry", case.token.trust, names)
        if configuration.gateway is None:
            yield from _beyond_a_sidecar(here, case)
        elif case.token is not None and case.token.credential:
            yield from _in_token(here, case.token, configuration.gateway)
        elif case.session is not None:
            yield from _in_session(here, case.session, configuration.gateway)
        if case.token is not None and case.session is not None:
            text = "a request has one credential; leave out the token or the session"
            yield Finding((*here, "session"), text)


def _beyond_a_sidecar(here: Location, case: Case) -> Iterator[Finding]:
    if case.session is not None:
        yield Finding((*here, "session"), "a sidecar takes tokens and no sessions; write token")
    if case.token is not None and case.token.credential:
        text = "a sidecar has token_sources and no credentials; leave it out"
        yield Finding((*here, "token", "credential"), text)
    if case.expect.token:
        text = "a sidecar makes no token; write the headers that it sets"
        yield Finding((*here, "expect", "token"), text)


def _in_token(here: Location, token: Token, gateway: GatewaySettings) -> Iterator[Finding]:
    takes = [
        each.name
        for each in gateway.credentials
        if isinstance(each, JwtCredential) and token.trust in each.trusts
    ]
    what = f"credential with tokens of {token.trust}"
    yield from _unknown((*here, "token", "credential"), what, token.credential, takes)


def _in_session(here: Location, session: Session, gateway: GatewaySettings) -> Iterator[Finding]:
    own = {
        each.name: isinstance(each, SessionCredential)
        for each in gateway.credentials
        if not isinstance(each, JwtCredential)
    }
    place = (*here, "session", "credential")
    yield from _unknown(place, "credential with sessions", session.credential, own)
    if own.get(session.credential) and not session.active:
        text = "a session of the gateway's own ends by its dates alone; write expires_in"
        yield Finding((*here, "session", "active"), text)


def _unknown(place: Location, what: str, name: str, names: Iterable[str]) -> Iterator[Finding]:
    accepted = sorted(names)
    if name not in accepted:
        text = f'no {what} is called "{name}"; accepted: {", ".join(accepted) or "none"}'
        yield Finding(place, text)
