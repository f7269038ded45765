"""What a check found at each of its steps, as lines of text for ``sidecar check``.

No line contains a token.
"""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from sidecar.check import jws
from sidecar.check.claims import SignedToken, find
from sidecar.check.extract import CookieSource, Credential, TokenSource, WebSocketProtocolSource
from sidecar.check.identity import IdentitySettings, IdentitySource, Normalised
from sidecar.check.jws import UnverifiedToken
from sidecar.check.routes import METHOD, Route
from sidecar.check.trust import ClaimPath, TrustEntry
from sidecar.check.websocket_protocols import HEADER as PROTOCOLS
from sidecar.cli.claim_places import describe, format_found, problem_of
from sidecar.cli.key_sets import KnownKeys
from sidecar.cli.texts import dated, printable
from sidecar.gateway.settings import Attributes, GatewaySettings, IntrospectedCredential
from sidecar.jose.jwk import VerificationKey
from sidecar.model import RequestView, Step, VerifiedToken
from sidecar.session.settings import IntrospectionSettings
from sidecar.snapshots.keys import KeySet

Findings = Mapping[Step, tuple[str, ...]]

_LARGEST_TOKEN: Final = 65536  # the most that ``request_tokens.max_bytes`` allows


class Explanation:
    """Collects what a check finds at ``now`` (``check.trace.Trace``), as lines under their steps.

    ``known`` has the keys it is made with, ``gateway`` the settings of a gateway.
    """

    def __init__(self, known: KnownKeys, now: float, gateway: GatewaySettings | None) -> None:
        self._known, self._now = known, now
        self._attributes = gateway.attributes if gateway else {}
        self._asked = {
            each.name: each.introspection
            for each in (gateway.credentials if gateway else ())
            if isinstance(each, IntrospectedCredential)
        }
        self._found: dict[Step, tuple[str, ...]] = {Step.RECEIVE: ()}
        self._grants: tuple[str, ...] = ()

    @property
    def findings(self) -> Findings:
        """The lines by step. A step that was not reached is not among them."""
        return self._found

    def note(self, step: Step, *found: Any) -> None:
        """Something was found at a step (``Trace.note``)."""
        format_step = getattr(self, f"_{step.name.lower()}")
        self._found[step] = tuple(format_step(*found))

    def _path(self, path: str) -> tuple[str, ...]:
        return (printable(path),)

    def _route(self, request: RequestView, route: Route | None) -> tuple[str, ...]:
        if not METHOD.fullmatch(request.method):
            return (printable(request.method),)
        if route is None:
            if request.route is not None:
                return (f"none is called {printable(request.route)}",)
            host = printable(request.host) or "any host"
            return (f"none for {printable(request.method)} on {host}",)
        if request.route is not None:
            return (f"{route.name}, as named in the request",)
        if route.match is None:
            return (route.name,)
        methods = ", ".join(sorted(route.match.methods)) or "any method"
        hosts = ", ".join(sorted(route.match.hosts)) or "any host"
        return (f"{route.name}: {methods} {route.match.template.text} on {hosts}",)

    def _credential(self, credential: Credential | None) -> tuple[str, ...]:
        return (f"in {_format_source(credential.source)}" if credential else "none",)

    def _parse(self, text: str, token: UnverifiedToken | None) -> tuple[str, ...]:
        size = _format_size(text)
        if token is None:
            return (size,)
        kid = "no kid" if token.header.kid is None else f"kid {printable(token.header.kid)}"
        return (size, f"alg {printable(token.header.algorithm)}, {kid}, typ {_format_type(token)}")

    def _trust(self, token: UnverifiedToken, trust: TrustEntry | None) -> tuple[str, ...]:
        issuer = f"iss {format_found(token.claims.get('iss'))}, typ {_format_type(token)}"
        return (issuer, f"{trust.name}, for {trust.kind.value} tokens") if trust else (issuer,)

    def _key(self, trust: TrustEntry, keys: KeySet | None) -> tuple[str, ...]:
        allowed = f"{trust.name} allows {', '.join(sorted(trust.algorithms))}"
        if keys is None:
            return (allowed, printable(self._known.missing[trust.name]))
        kids = sorted("without kid" if key.kid is None else key.kid for key in keys.keys)
        return (allowed, f"its keys: {printable(', '.join(kids))}")

    def _signature(self, key: VerificationKey, holds: bool) -> tuple[str, ...]:
        if holds:
            return (f"signed by the key {key.thumbprint}",)
        return (*self._found.get(Step.SIGNATURE, ()), f"not signed by the key {key.thumbprint}")

    def _session(self, credential: str, text: str) -> tuple[str, ...]:
        return (f"of {credential}: {_format_size(text)}",)

    def _claims(self, token: SignedToken) -> tuple[str, ...]:
        claims, trust = token.claims, token.trust
        self._grants = tuple(
            f"the token's {name}: {describe(claims, path)}" for name, path in _grant_claims(trust)
        )
        audience = _format_read(claims, trust.audience_claim)
        accepted = ", ".join(sorted(trust.audiences))
        return (
            *self._dates(claims),
            f"{'.'.join(trust.audience_claim)} {audience}, accepted: {accepted}",
            *(
                f"{'.'.join(each.claim)} {_format_read(claims, each.claim)}, "
                f"accepted: {printable(', '.join(each.values))}"
                for each in trust.claim_values
            ),
            f"{'.'.join(trust.subject_claim)} {_format_read(claims, trust.subject_claim)}",
            *(
                f"{'.'.join(path)} {_format_read(claims, path)}"
                for path in trust.required_claims
                if path not in {trust.subject_claim, trust.audience_claim}
            ),
        )

    def _policy(
        self,
        route: Route,
        token: VerifiedToken | None,
        credential: str | None = None,
        claims: Mapping[str, object] = MappingProxyType({}),
    ) -> tuple[str, ...]:
        if token is not None and Step.SESSION in self._found:
            # A session's claims are known only after its step: it has no claims step of its own.
            self._found[Step.CLAIMS] = (
                *self._dates(token.claims),
                f"sub {printable(token.subject)}",
            )
            self._grants = tuple(self._grants_of_session(token, credential or "", claims))
        rules = [printable(rule.describe()) for rule in route.rules]
        if route.optional:
            rules.append("optional: true")
        return (
            *(f"asked for: {rule}" for rule in rules),
            *self._grants,
            *_format_attributes(self._attributes[credential] if credential else None),
        )

    def _grants_of_session(
        self, token: VerifiedToken, credential: str, claims: Mapping[str, object]
    ) -> Iterator[str]:
        """What a session has of that which it may bring; for none, what its issuer's answer has."""
        asked = self._asked.get(credential)
        paths = dict(_grant_claims(asked)) if asked else {}
        grants = (("scopes", token.scopes), ("roles", token.roles), ("groups", token.groups))
        for name, held in grants:
            problem = problem_of(claims, paths[name]) if name in paths and not held else ""
            value = printable(", ".join(sorted(held))) or "none"
            yield f"the session's {name}: {value}{', ' if problem else ''}{problem}"

    def _identity(self, settings: IdentitySettings, token: VerifiedToken) -> tuple[str, ...]:
        return tuple(
            f"{name} from {_format_identity(source, token)}" for name, source in settings.headers
        )

    def _mint(self, text: str) -> tuple[str, ...]:
        claims = read_claims(text)
        return tuple(f"{name} {json.dumps(value)}" for name, value in claims.items())

    def _dates(self, claims: Mapping[str, object]) -> tuple[str, ...]:
        names = ("iat", "nbf", "exp")
        return tuple(f"{name} {dated(claims[name], self._now)}" for name in names if name in claims)


def read_claims(text: str) -> Mapping[str, Any]:
    """The claims of a minted token; empty for a text that is no token."""
    token = jws.parse(text, _LARGEST_TOKEN)
    return token.claims if isinstance(token, UnverifiedToken) else {}


def _format_size(text: str) -> str:
    fingerprint = sha256(text.encode("latin-1")).hexdigest()[:16]
    return f"{len(text)} bytes, fingerprint {fingerprint}"


def _format_source(source: TokenSource) -> str:
    if isinstance(source, CookieSource):
        return f"the cookie {source.name}"
    if isinstance(source, WebSocketProtocolSource):
        return f"the header {PROTOCOLS}, behind {source.prefix}"
    scheme = f", behind {source.scheme}" if source.scheme else ""
    return f"the header {source.name}{scheme}"


def _grant_claims(
    source: TrustEntry | IntrospectionSettings,
) -> tuple[tuple[str, ClaimPath], ...]:
    """Where scopes, roles and groups are read."""
    return (
        ("scopes", source.scope_claim),
        ("roles", source.roles_claim),
        ("groups", source.groups_claim),
    )


def _format_identity(source: IdentitySource, token: VerifiedToken) -> str:
    """What an identity header carries, and why it is empty."""
    if isinstance(source, Normalised):
        held = getattr(token, source.value)
        return f"the {source.value}{'' if held else ', of which there are none'}"
    value = find(token.claims, source)
    problem = "" if isinstance(value, Mapping) else problem_of(token.claims, source)
    return f"{'.'.join(source)}, {problem}" if problem else ".".join(source)


def _format_read(claims: Mapping[str, object], path: ClaimPath) -> str:
    """A claim's value; "missing", and where there is one of its name, if there is none."""
    value = find(claims, path)
    if value is not None:
        return format_found(value)
    _, _, others = problem_of(claims, path).partition("; ")
    return f"missing; {others}" if others else "missing"


def _format_type(token: UnverifiedToken) -> str:
    return "absent" if token.header.type is None else printable(token.header.type)


def _format_attributes(attributes: Attributes | None) -> tuple[str, ...]:
    """What a credential may bring; empty for a session, which was limited when it was issued."""
    if attributes is None:
        return ()
    claims = tuple(".".join(path) for path in attributes.claims)
    allowed = (("roles", attributes.roles), ("groups", attributes.groups), ("claims", claims))
    return tuple(
        f"{name} it may bring: {printable(', '.join(names)) or 'none'}" for name, names in allowed
    )
