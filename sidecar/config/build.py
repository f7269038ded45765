"""From the models of the file to the frozen settings of the other layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sidecar.check.extract import CookieSource, HeaderSource, TokenSource
from sidecar.check.pipeline import CheckSettings
from sidecar.check.routes import Match, Route
from sidecar.check.rules import (
    DEFAULT_KINDS,
    AnyGroup,
    AnyRole,
    Callers,
    Issuers,
    Rule,
    Scopes,
    TokenKinds,
    When,
)
from sidecar.check.trust import TrustEntry
from sidecar.config.addresses import Endpoint
from sidecar.config.problems import Problem
from sidecar.config.sections import root as models
from sidecar.config.sections import routes as route_models
from sidecar.config.sections.build_keys import key_settings
from sidecar.config.sections.root import Configured, Log
from sidecar.keys.settings import KeySettings
from sidecar.model import TokenKind
from sidecar.snapshots.keys import VerificationKey

if TYPE_CHECKING:  # a sidecar keeps none of the gateway in memory
    from sidecar.gateway.settings import GatewaySettings

_REQUEST_TYPES = ("at+jwt",)  # RFC 9068 §2.1


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where it listens. ``authz`` is a gRPC address; ``internal`` is the gateway's alone."""

    authz: str
    metrics: Endpoint
    admin: Endpoint | None
    internal: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that can be used. All times are in seconds.

    ``digest`` is the SHA-256 of the file in hexadecimal digits; ``found_keys`` are the keys that
    were in the key files when it was loaded, by trust entry; ``warnings`` are for whoever wrote it.
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
    request_bytes: int
    header_lines: int
    pending_checks: int
    key_wait: float
    drain: float
    start_timeout: float
    found_keys: Mapping[str, tuple[VerificationKey, ...]]
    warnings: tuple[Problem, ...]
    gateway: "GatewaySettings | None" = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What there is to know about a file besides what it says; as in ``Configuration``."""

    path: Path
    digest: str
    found_keys: Mapping[str, tuple[VerificationKey, ...]]
    warnings: tuple[Problem, ...]


def build(
    root: Configured,
    loaded: Loaded,
    check: CheckSettings,
    gateway: "GatewaySettings | None" = None,
    internal: Endpoint | None = None,
) -> Configuration:
    """What both roles are told, with the parts of one role."""
    beside = loaded.path.parent
    return Configuration(
        path=loaded.path,
        digest=loaded.digest,
        check=check,
        keys=tuple(key_settings(entry, beside, root.limits.key_waiters) for entry in root.trust),
        key_cache=beside / root.key_cache.directory if root.key_cache else None,
        listen=Listeners(root.listen.authz, root.listen.metrics, root.listen.admin, internal),
        log=root.log,
        realm=root.realm,
        request_bytes=root.limits.request_bytes,
        header_lines=root.limits.header_lines,
        pending_checks=root.limits.pending_checks,
        key_wait=root.limits.key_wait,
        drain=root.drain,
        start_timeout=root.start_timeout,
        found_keys=loaded.found_keys,
        warnings=loaded.warnings,
        gateway=gateway,
    )


def accepted_types(trust: models.Trust) -> tuple[str, ...]:
    """The types an entry accepts, as written or by default; empty where they must be written."""
    if trust.types:
        return trust.types
    return _REQUEST_TYPES if trust.kind is TokenKind.REQUEST else ()


def trust_entry(trust: models.Trust) -> TrustEntry:
    """What the check needs of a trust entry."""
    return TrustEntry(
        name=trust.name,
        kind=trust.kind,
        issuer=trust.issuer,
        audiences=frozenset(trust.audiences),
        algorithms=frozenset(trust.algorithms),
        types=frozenset(None if name == "none" else name for name in accepted_types(trust)),
        audience_claim=trust.audience_claim,
        leeway=trust.leeway,
        subjects=trust.subjects,
        required_claims=trust.required_claims,
        scope_claim=trust.scope_claim,
        roles_claim=trust.roles_claim,
        groups_claim=trust.groups_claim,
    )


# The rules of ``allow`` by their keys, in the order in which they are asked.
_RULES: Final[Mapping[str, Callable[[Any], Rule]]] = {
    "scopes": Scopes,
    "any_role": lambda roles: AnyRole(frozenset(roles)),
    "any_group": lambda groups: AnyGroup(frozenset(groups)),
    "callers": Callers,
    "when": When,
}


def rules(allow: route_models.Allow) -> dict[str, Rule]:
    """The rules that ``allow`` names, by their keys."""
    return {key: make(value) for key, make in _RULES.items() if (value := getattr(allow, key))}


def route(
    model: route_models.Route,
    kinds: frozenset[TokenKind] = DEFAULT_KINDS,
    issuers: frozenset[str] = frozenset(),
) -> Route:
    """What the check needs of a route, which accepts these kinds of token, of these issuers."""
    match = None
    if model.match is not None:
        methods, hosts = frozenset(model.match.methods), frozenset(model.match.hosts)
        match = Match(model.match.path, methods, hosts)
    accepted: tuple[Rule, ...] = (TokenKinds(kinds),)
    if issuers:
        accepted = (*accepted, Issuers(issuers))
    return Route(
        name=model.name,
        match=match,
        rules=(*accepted, *rules(model.allow).values()),
        public=model.allow.public,
        optional=model.allow.optional,
    )


def token_source(source: models.TokenSource) -> TokenSource:
    """Where a token is looked for."""
    if source.cookie is not None:
        return CookieSource(source.cookie)
    return HeaderSource(source.header or "", source.scheme)
