"""From the models of the file to the frozen settings of the other layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.check.extract import CookieSource, HeaderSource
from sidecar.check.extract import TokenSource as CheckTokenSource
from sidecar.check.identity import IdentitySettings
from sidecar.check.pipeline import CheckSettings
from sidecar.check.policy import REQUEST_TOKENS, Requirement
from sidecar.check.routes import Match, Route
from sidecar.check.trust import TrustEntry
from sidecar.config import models
from sidecar.config.build_keys import key_settings
from sidecar.config.models import Listen, Log, Sidecar
from sidecar.config.problems import Problem
from sidecar.keys.settings import KeySettings
from sidecar.model import TokenKind
from sidecar.snapshots.keys import VerificationKey

_REQUEST_TYPES = ("at+jwt",)  # RFC 9068 §2.1


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that can be used. All times are in seconds.

    ``digest`` is the SHA-256 of the file in hexadecimal digits; ``found_keys`` are the keys that
    were in the key files when it was loaded, by trust entry; ``warnings`` are for whoever wrote it.
    """

    path: Path
    digest: str
    check: CheckSettings
    keys: tuple[KeySettings, ...]
    key_cache: Path | None
    listen: Listen
    log: Log
    realm: str
    pending_checks: int
    key_wait: float
    drain: float
    start_timeout: float
    found_keys: Mapping[str, tuple[VerificationKey, ...]]
    warnings: tuple[Problem, ...]


def build(
    sidecar: Sidecar,
    path: Path,
    digest: str,
    found_keys: Mapping[str, tuple[VerificationKey, ...]],
    warnings: tuple[Problem, ...],
) -> Configuration:
    """The settings of a file in which nothing is wrong."""
    return Configuration(
        path=path,
        digest=digest,
        check=CheckSettings(
            trust=tuple(map(trust_entry, sidecar.trust)),
            routes=tuple(map(route, sidecar.routes)),
            identity=IdentitySettings(
                headers=tuple(sidecar.identity.headers.items()),
                strip=sidecar.identity.strip,
                forward_token=sidecar.identity.forward_token,
                maximum_bytes=sidecar.identity.max_bytes,
            ),
            sources=tuple(map(_token_source, sidecar.token_sources)),
            literal_semicolons=sidecar.paths.semicolons == "literal",
            shadow=sidecar.mode == "shadow",
            maximum_token_bytes=sidecar.limits.token_bytes,
            remembered_tokens=sidecar.limits.remembered_tokens,
        ),
        keys=tuple(
            key_settings(entry, path.parent, sidecar.limits.key_waiters) for entry in sidecar.trust
        ),
        key_cache=path.parent / sidecar.key_cache.directory if sidecar.key_cache else None,
        listen=sidecar.listen,
        log=sidecar.log,
        realm=sidecar.realm,
        pending_checks=sidecar.limits.pending_checks,
        key_wait=sidecar.limits.key_wait,
        drain=sidecar.drain,
        start_timeout=sidecar.start_timeout,
        found_keys=found_keys,
        warnings=warnings,
    )


def accepted_types(trust: models.Trust) -> tuple[str, ...]:
    """The types an entry accepts, as written or by default; empty where they must be written."""
    if trust.types:
        return trust.types
    return _REQUEST_TYPES if trust.kind is TokenKind.REQUEST else ()


def accepted_kinds(allow: models.Allow) -> frozenset[TokenKind]:
    """The kinds of token a route accepts."""
    return frozenset(allow.tokens) if allow.tokens else REQUEST_TOKENS


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


def route(model: models.Route) -> Route:
    """What the check needs of a route."""
    allow = model.allow
    requirement = Requirement(
        public=allow.public,
        optional=allow.optional,
        tokens=accepted_kinds(allow),
        scopes=allow.scopes,
        any_role=frozenset(allow.any_role),
        any_group=frozenset(allow.any_group),
        callers=allow.callers,
        when=allow.when,
    )
    if model.match is None:
        return Route(model.name, requirement)
    match = model.match
    compiled = Match(match.path, frozenset(match.methods), frozenset(match.hosts))
    return Route(model.name, requirement, compiled)


def _token_source(source: models.TokenSource) -> CheckTokenSource:
    if source.cookie is not None:
        return CookieSource(source.cookie)
    return HeaderSource(source.header or "", source.scheme)
