"""The settings of the gateway, in addition to those it shares with the sidecar."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

from sidecar.check.extract import CookieSource, TokenSource
from sidecar.check.trust import ClaimPath
from sidecar.mint.settings import Grant, RequestTokenSettings
from sidecar.rings.settings import RingSettings
from sidecar.session.settings import IntrospectionSettings, SessionTokenSettings


class Form(Enum):
    """The form of a credential's text, which tells the kinds apart that share a place."""

    JWT = "a JWT, three segments joined by dots"
    SESSION = "a session token, five segments"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class JwtCredential:
    """JWTs of trusted issuers. ``trusts`` names their trust entries."""

    name: str
    source: TokenSource
    trusts: tuple[str, ...]
    form: ClassVar[Form] = Form.JWT


@dataclass(frozen=True, slots=True)
class IntrospectedCredential:
    """Opaque sessions, verified by introspection (RFC 7662)."""

    name: str
    source: TokenSource
    introspection: IntrospectionSettings
    form: ClassVar[Form] = Form.OPAQUE


@dataclass(frozen=True, slots=True)
class SessionCredential:
    """Session tokens of this gateway, in a cookie.

    ``issued_for`` names the credentials that one is issued for. A session does not outlive the
    credential it was issued for, unless ``outlives_credential`` is set.
    """

    name: str
    source: CookieSource
    tokens: SessionTokenSettings
    ring: RingSettings
    issued_for: frozenset[str]
    outlives_credential: bool = False
    form: ClassVar[Form] = Form.SESSION


CredentialSettings = JwtCredential | IntrospectedCredential | SessionCredential


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a credential may bring besides its subject and scopes; nothing, unless it is listed.

    ``roles`` and ``groups`` are patterns (``check.patterns``).
    In ``claims`` a nested claim comes before the object that contains it.
    """

    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    claims: tuple[ClaimPath, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerTlsFiles:
    """The certificate of a listener, with its chain, and its key; PEM."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The gateway's part of a configuration.

    ``credentials`` are in the order in which they are looked for. By the name of a credential,
    ``subject_prefixes`` has the prefix of its subjects and clients, and ``attributes`` what it may
    bring; None for the gateway's own sessions, which were limited when they were issued. Those
    named in ``exchange_only`` are accepted only to begin a session. ``grants`` has the audiences
    and scopes of a route's tokens, by the route's name. ``origins`` are the origins, in addition to
    the request's own, whose pages may use a cookie.
    """

    issuer: str
    credentials: tuple[CredentialSettings, ...]
    request_tokens: RequestTokenSettings
    request_ring: RingSettings
    grants: Mapping[str, Grant]
    subject_prefixes: Mapping[str, str]
    attributes: Mapping[str, Attributes | None]
    exchange_only: frozenset[str]
    origins: frozenset[str]
    internal_tls: ServerTlsFiles | None
