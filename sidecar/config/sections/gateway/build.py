"""From the models of a gateway's file to the settings of its parts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sidecar.check.extract import CookieSource
from sidecar.check.identity import IdentitySettings
from sidecar.check.pipeline import CheckSettings
from sidecar.config.build import Configuration, Loaded, build, route, token_source, trust_entry
from sidecar.config.sections.build_keys import http_settings, vault_settings
from sidecar.config.sections.gateway.credentials import Client, Credential, Introspection, Session
from sidecar.config.sections.gateway.root import Gateway, GatewayRoute, RequestTokens
from sidecar.gateway.settings import (
    Attributes,
    CredentialSettings,
    GatewaySettings,
    IntrospectedCredential,
    JwtCredential,
    ServerTlsFiles,
    SessionCredential,
)
from sidecar.keys.rings.lifecycle import Timings
from sidecar.keys.rings.sealing import ALGORITHM as SEALING_ALGORITHM
from sidecar.keys.rings.settings import InDirectory, InMemory, InTransit, RingSettings
from sidecar.keys.settings import KvKeys, TransitKeys
from sidecar.mint.settings import Grant, RequestTokenSettings
from sidecar.model import TokenKind
from sidecar.session.settings import (
    ClientAuthentication,
    IntrospectionSettings,
    KeyAuthentication,
    SecretAuthentication,
    SessionTokenSettings,
)

# When the keys of a directory or of Vault are replaced, is the business of whoever does it.
_UNKNOWN_PERIOD: Final = 366 * 86400.0
# How often a replica looks for other session keys (MountedRing); nobody else verifies sessions.
_SESSION_KEYS_REFRESH: Final = 1.0


def build_gateway(root: Gateway, loaded: Loaded) -> Configuration:
    """The settings of a file in which nothing is wrong."""
    beside = loaded.path.parent
    check = CheckSettings(
        trust=tuple(map(trust_entry, root.trust)),
        routes=tuple(
            route(
                item,
                frozenset({TokenKind.EXTERNAL, TokenKind.WORKLOAD}),
                frozenset(_trusts(root, item)),
            )
            for item in root.routes
        ),
        identity=IdentitySettings(strip=root.strip, forward_token=False),
        sources=tuple(map(token_source, root.credentials)),
        literal_semicolons=root.paths.semicolons == "literal",
        maximum_cookies=root.limits.cookies,
        maximum_token_bytes=root.limits.token_bytes,
        maximum_token_values=root.limits.token_values,
        remembered_tokens=root.limits.remembered_tokens,
    )
    tls = root.listen.internal_tls
    gateway = GatewaySettings(
        issuer=root.issuer,
        credentials=tuple(_credential(each, root, beside) for each in root.credentials),
        request_tokens=_request_tokens(root),
        request_ring=_request_ring(root.request_tokens, beside),
        grants=dict(_grants(root)),
        prefixes={each.name: each.subject_prefix for each in root.credentials},
        attributes={each.name: _attributes(each) for each in root.credentials},
        only_exchanged=frozenset(each.name for each in root.credentials if each.exchange_only),
        origins=frozenset(root.origins),
        strip=root.strip,
        internal_tls=ServerTlsFiles(beside / tls.certificate, beside / tls.private_key)
        if tls
        else None,
    )
    return build(root, loaded, check, gateway, root.listen.internal)


def request_timings(tokens: RequestTokens) -> Timings:
    """What the dates of request keys follow from.

    Raises:
        ConfigurationFault: a key is replaced sooner than the other times allow.
    """
    rotated = tokens.keys.ephemeral
    return Timings(
        verifier_refresh=tokens.verifiers_refresh,
        token_life=tokens.lifetime,
        leeway=tokens.leeway,
        propagation=tokens.propagation,
        period=rotated.rotate if rotated else _UNKNOWN_PERIOD,
    )


def session_timings(session: Session) -> Timings:
    """What the dates of session keys follow from. A token lives until its session is idle."""
    return Timings(
        verifier_refresh=_SESSION_KEYS_REFRESH,
        token_life=session.idle,
        leeway=session.leeway,
        propagation=session.propagation,
        period=_UNKNOWN_PERIOD,
    )


def _attributes(model: Credential) -> Attributes | None:
    if model.session is not None:
        return None
    declared = model.attributes
    # What lies deeper comes first: the whole object, where it is listed too, replaces its part.
    claims = sorted(declared.claims, key=len, reverse=True)
    return Attributes(declared.roles, declared.groups, tuple(claims))


def _trusts(root: Gateway, item: GatewayRoute) -> Iterator[str]:
    """Whose tokens a route's ``credentials`` stand for; nobody's, where any will do."""
    for each in root.credentials:
        if each.name in item.allow.credentials:
            yield from each.jwt.trust if each.jwt else (each.name,)


def _grants(root: Gateway) -> Iterator[tuple[str, Grant]]:
    declared = root.request_tokens.audiences
    for item in root.routes:
        if item.token is not None:
            audiences = item.token.audiences
            known = frozenset(scope for name in audiences for scope in declared[name])
            yield item.name, Grant(audiences, frozenset(item.token.scopes) or known)


def _request_tokens(root: Gateway) -> RequestTokenSettings:
    tokens = root.request_tokens
    return RequestTokenSettings(
        issuer=root.issuer,
        lifetime=tokens.lifetime,
        claims=tuple(tokens.claims.items()),
        actors=tokens.actors,
        reuse=tokens.reuse,
        maximum_bytes=tokens.max_bytes,
    )


def _request_ring(tokens: RequestTokens, beside: Path) -> RingSettings:
    keys, timings = tokens.keys, request_timings(tokens)
    if keys.directory is not None:  # its keys say themselves what they sign with
        return RingSettings("request", InDirectory(beside / keys.directory), timings=timings)
    if (transit := keys.transit) is not None:
        server = vault_settings(transit, transit, beside)
        key = TransitKeys(server, transit.key, transit.mount)
        return RingSettings("request", InTransit(key), transit.algorithm, timings)
    assert keys.ephemeral is not None  # noqa: S101 - the model refuses keys in no place
    ephemeral = keys.ephemeral
    server = vault_settings(ephemeral, ephemeral, beside)
    folder = KvKeys(server, ephemeral.path, ephemeral.mount, replicas=True)
    place = InMemory(folder, ephemeral.replica)
    return RingSettings("request", place, ephemeral.algorithm, timings)


def _credential(model: Credential, root: Gateway, beside: Path) -> CredentialSettings:
    source = token_source(model)
    if model.jwt is not None:
        return JwtCredential(model.name, source, model.jwt.trust)
    if model.introspection is not None:
        asked = _introspection(model.name, model.introspection, root.limits.token_bytes, beside)
        return IntrospectedCredential(model.name, source, asked)
    assert model.session is not None  # noqa: S101 - the model refuses a credential of no kind
    assert isinstance(source, CookieSource)  # noqa: S101 - a rule refuses a session in a header
    session = model.session
    copied = (path[0] for path in root.request_tokens.claims.values())
    return SessionCredential(
        name=model.name,
        source=source,
        tokens=SessionTokenSettings(
            name=model.name,
            issuer=root.issuer,
            cookie=source.name,
            idle=session.idle,
            absolute=session.absolute,
            renew=session.renew,
            claims=tuple(dict.fromkeys((*copied, *session.claims))),
            leeway=session.leeway,
        ),
        ring=RingSettings(
            set="session",
            place=InDirectory(beside / session.keys.directory),
            algorithm=SEALING_ALGORITHM,
            timings=session_timings(session),
        ),
        exchanges=frozenset(session.issued_for),
        outlives=session.outlives_credential,
    )


def _introspection(
    name: str, model: Introspection, maximum_bytes: int, beside: Path
) -> IntrospectionSettings:
    return IntrospectionSettings(
        name=name,
        url=model.url,
        authentication=_authentication(model.client, beside),
        issuer=model.issuer,
        audiences=frozenset(model.audiences),
        clients=frozenset(model.clients),
        scopes=frozenset(model.scopes),
        scope_claim=model.scope_claim,
        roles_claim=model.roles_claim,
        groups_claim=model.groups_claim,
        leeway=model.leeway,
        cache=model.cache,
        negative_cache=model.negative_cache,
        timeout=model.timeout,
        maximum_lookups=model.max_lookups,
        maximum_waiters=model.max_waiters,
        remembered=model.remembered_sessions,
        maximum_bytes=maximum_bytes,
        http=http_settings(model, beside),
    )


def _authentication(client: Client, beside: Path) -> ClientAuthentication:
    if client.secret_file is not None:
        in_body = client.method == "client_secret_post"
        return SecretAuthentication(client.id, beside / client.secret_file, in_body)
    assert client.key_file is not None  # noqa: S101 - the model refuses a method without its file
    assert client.audience is not None  # noqa: S101 - … and private_key_jwt without its audience
    return KeyAuthentication(
        client.id, beside / client.key_file, client.audience, client.algorithm, client.kid
    )
