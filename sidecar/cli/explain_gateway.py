"""What a gateway's check finds at each of its steps, for a person who asks why."""

from hashlib import sha256

from sidecar.check.extract import Credential, cookie_finder, extract
from sidecar.check.refusal import Refusal
from sidecar.cli.explain import (
    about_credential,
    about_dates,
    about_jwt,
    about_request,
    about_rules,
)
from sidecar.cli.key_sets import KnownKeys
from sidecar.cli.texts import printable
from sidecar.config import Configuration
from sidecar.gateway.settings import Attributes, JwtCredential
from sidecar.model import Decision, RequestView, Step, VerifiedToken


def explain(
    configuration: Configuration,
    request: RequestView,
    known: KnownKeys,
    now: float,
    decision: Decision,
) -> dict[Step, tuple[str, ...]]:
    """What there is to see at each step before minting, one line each; as ``explain.explain``.

    What a session says is known from ``decision`` alone.
    """
    check, gateway = configuration.check, configuration.gateway
    assert gateway is not None  # noqa: S101 - the caller has looked
    found, route = about_request(check, request)
    if route is None or route.public:
        return found
    credentials = {
        each.source: each for each in gateway.credentials if each.name not in gateway.exchange_only
    }
    cookies = cookie_finder(credentials, check.cookies).find(request)
    if isinstance(cookies, Refusal):
        return found
    credential = extract(request, tuple(credentials), cookies)
    found[Step.CREDENTIAL] = about_credential(credential)
    rules = about_rules(route)
    if not isinstance(credential, Credential):
        return found | {Step.POLICY: rules}
    which = credentials[credential.source]
    if isinstance(which, JwtCredential):
        entries = [entry for entry in check.trust if entry.name in which.trusts]
        seen = about_jwt(check, entries, credential.text, known, now)
    else:
        seen = _about_session(which.name, credential.text, decision.token, now)
    if Step.POLICY in seen:
        brought = _about_attributes(gateway.attributes[which.name])
        seen[Step.POLICY] = (*rules, *seen[Step.POLICY], *brought)
    return found | seen


def _about_attributes(attributes: Attributes | None) -> tuple[str, ...]:
    """What a credential may bring; nothing to say about a session, which was narrowed before."""
    if attributes is None:
        return ()
    claims = tuple(".".join(path) for path in attributes.claims)
    listed = (("roles", attributes.roles), ("groups", attributes.groups), ("claims", claims))
    return tuple(
        f"{name} it may bring: {printable(', '.join(names)) or 'none'}" for name, names in listed
    )


def _about_session(
    name: str, text: str, session: VerifiedToken | None, now: float
) -> dict[Step, tuple[str, ...]]:
    digest = sha256(text.encode("latin-1")).hexdigest()
    found: dict[Step, tuple[str, ...]] = {
        Step.SESSION: (f"of {name}: {len(text)} bytes, fingerprint {digest[:16]}",)
    }
    if session is None:
        return found
    found[Step.CLAIMS] = (
        *about_dates(session.claims, now),
        f"sub {printable(session.subject)}",
    )
    grants = (("scopes", session.scopes), ("roles", session.roles), ("groups", session.groups))
    found[Step.POLICY] = tuple(
        f"the session's {what}: {printable(', '.join(sorted(names))) or 'none'}"
        for what, names in grants
    )
    return found
