"""The rules between the values of ``credentials``, and those that need what is around them."""

from collections.abc import Iterator
from typing import Final

from sidecar.check.identity import folded
from sidecar.config.problems import Location
from sidecar.config.rules import (
    Draft,
    Finding,
    Rule,
    duplicate_names,
    listed,
    sources_are_one_thing,
)
from sidecar.config.sections.gateway.credentials import Credential, Session
from sidecar.config.sections.gateway.root import Gateway
from sidecar.config.sections.key_rules import https, private_key_alone

_HOST_PREFIX: Final = "__Host-"


def credentials(draft: Draft[Gateway]) -> Iterator[tuple[Location, Credential]]:
    """The readable credentials with their places."""
    return draft.located("credentials", draft.root.credentials)


def _sessions(draft: Draft[Gateway]) -> Iterator[tuple[Location, Credential, Session]]:
    for here, credential in credentials(draft):
        if credential.session is not None:
            yield here, credential, credential.session


def _names(draft: Draft[Gateway]) -> Iterator[Finding]:
    yield from duplicate_names(draft, credentials(draft), "credentials")
    taken = {trust.name: here for here, trust in draft.trust}
    for here, credential in credentials(draft):
        if credential.name in taken:
            text = (
                f'"{credential.name}" is the name of the trust entry on line '
                f"{draft.line(taken[credential.name])} too; both are named where tokens are, so "
                "call one of them something else"
            )
            yield Finding((*here, "name"), text)


def _places(draft: Draft[Gateway]) -> Iterator[Finding]:
    yield from sources_are_one_thing(draft, credentials(draft))
    for here, credential in credentials(draft):
        if credential.header == "authorization" and credential.scheme is None:
            text = (
                "authorization holds a scheme in front of the credential (RFC 9110 §11.6.2); "
                "write scheme: Bearer"
            )
            yield Finding((*here, "header"), text)
        elif credential.header is not None and folded(credential.header) == "txn-token":
            text = "services look for request tokens in txn-token; choose another header"
            yield Finding((*here, "header"), text)


def _trust_is_there(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "trust" in draft.bad:
        return
    names = [trust.name for trust in draft.root.trust]
    for here, credential in credentials(draft):
        for index, name in enumerate(credential.jwt.trust if credential.jwt else ()):
            if name not in names:
                accepted = listed(names) or "none, there is no trust entry"
                text = f'no trust entry is called "{name}"; accepted: {accepted}'
                yield Finding((*here, "jwt", "trust", index), text)


def _trust_is_used_once(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "credentials" in draft.bad:
        return
    users: dict[str, Location] = {}
    for here, credential in credentials(draft):
        for index, name in enumerate(credential.jwt.trust if credential.jwt else ()):
            place = (*here, "jwt", "trust", index)
            other = users.setdefault(name, place)
            if other is not place:
                text = (
                    f'"{name}" is named on line {draft.line(other)} already; whose a token is must '
                    "not depend on where it stands: leave one out"
                )
                yield Finding(place, text)
    for here, trust in draft.trust:
        if trust.name not in users:
            text = (
                f'no credential takes tokens of "{trust.name}"; name it in the jwt of one, or '
                "leave it out"
            )
            yield Finding((*here, "name"), text)


def _issuers_are_reached_safely(draft: Draft[Gateway]) -> Iterator[Finding]:
    for here, credential in credentials(draft):
        if credential.introspection is not None:
            place = (*here, "introspection")
            asked = credential.introspection
            yield from https((*place, "url"), asked.url, asked, "could read sessions and answer")
            yield from private_key_alone(place, asked)


def _one_session(draft: Draft[Gateway]) -> Iterator[Finding]:
    places = [here for here, _, _ in _sessions(draft)]
    for here in places[1:]:
        text = (
            f"there is a session on line {draft.line(places[0])} already; the gateway issues one "
            "kind: leave one out"
        )
        yield Finding((*here, "session"), text)


def _session_cookie_is_the_hosts(draft: Draft[Gateway]) -> Iterator[Finding]:
    """RFC 6265bis §4.1.3.2."""
    for here, credential, _ in _sessions(draft):
        if credential.header is not None:
            text = f"a session is held in a cookie; write cookie: {_HOST_PREFIX}session"
            yield Finding((*here, "header"), text)
        elif credential.cookie is not None and not credential.cookie.startswith(_HOST_PREFIX):
            text = (
                "another host of the domain could set this cookie, too; begin its name with "
                f"{_HOST_PREFIX}"
            )
            yield Finding((*here, "cookie"), text)


def _session_is_issued_for_others(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "credentials" in draft.bad:
        return
    names = [each.name for each in draft.root.credentials if each.session is None]
    for here, credential, session in _sessions(draft):
        for index, name in enumerate(session.issued_for):
            if name == credential.name:
                text = (
                    "a session issued for itself would never end; it is renewed by itself: name "
                    "other credentials"
                )
                yield Finding((*here, "session", "issued_for", index), text)
            elif name not in names:
                accepted = listed(names) or "none, there is no other credential"
                text = f'no credential is called "{name}"; accepted: {accepted}'
                yield Finding((*here, "session", "issued_for", index), text)


def _session_times_fit(draft: Draft[Gateway]) -> Iterator[Finding]:
    for here, _, session in _sessions(draft):
        if session.idle > session.absolute:
            text = "idle is longer than absolute, after which no session goes on; write it or less"
            yield Finding((*here, "session", "idle"), text)
        if session.renew >= session.idle:
            text = (
                "renew is not shorter than idle: a session in use would end between two cookies; "
                "write less than idle"
            )
            yield Finding((*here, "session", "renew"), text)


def _session_is_no_other_credential(draft: Draft[Gateway]) -> Iterator[Finding]:
    for here, credential, _ in _sessions(draft):
        if credential.exchange_only:
            text = "a session that is no use on requests is no use at all; leave exchange_only out"
            yield Finding((*here, "exchange_only"), text)
        if credential.subject_prefix:
            text = (
                "a session has the subject of the credential it was issued for, prefix and all; "
                "leave subject_prefix out"
            )
            yield Finding((*here, "subject_prefix"), text)


def _exchanges_are_possible(draft: Draft[Gateway]) -> Iterator[Finding]:
    if "credentials" in draft.bad:
        return
    exchanged = {name for _, _, session in _sessions(draft) for name in session.issued_for}
    for here, credential in credentials(draft):
        if credential.exchange_only and credential.name not in exchanged and not credential.session:
            text = (
                f'no session is issued for "{credential.name}", so it is no use at all; name it in '
                "issued_for, or leave exchange_only out"
            )
            yield Finding((*here, "exchange_only"), text)


RULES: Final[tuple[Rule[Gateway], ...]] = (
    _names,
    _places,
    _trust_is_there,
    _trust_is_used_once,
    _issuers_are_reached_safely,
    _one_session,
    _session_cookie_is_the_hosts,
    _session_is_issued_for_others,
    _session_times_fit,
    _session_is_no_other_credential,
    _exchanges_are_possible,
)
