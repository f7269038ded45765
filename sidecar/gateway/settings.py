"""Everything a configuration says about the gateway, besides what it shares with the sidecar."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.check.extract import CookieSource, TokenSource
from sidecar.check.trust import ClaimPath
from sidecar.mint.settings import Grant, RequestTokenSettings
from sidecar.rings.settings import RingSettings
from sidecar.session.settings import IntrospectionSettings, SessionTokenSettings


@dataclass(frozen=True, slots=True)
class JwtCredential:
    """JWTs of trusted issuers. ``trusts`` names the trust entries that decide about them."""

    name: str
    source: TokenSource
    trusts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IntrospectedCredential:
    """Opaque sessions that their issuer is asked about."""

    name: str
    source: TokenSource
    introspection: IntrospectionSettings


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


CredentialSettings = JwtCredential | IntrospectedCredential | SessionCredential

# The pattern of attributes that stands for every name, whatever characters it has.
EVERY_NAME: Final = "*"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a credential may bring besides its subject and scopes; nothing, unless it is listed.

    ``roles`` and ``groups`` are patterns (``check.patterns``); ``EVERY_NAME`` alone takes them all.
    ``claims`` has no path after one that leads to the object it is in.
    """

    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    claims: tuple[ClaimPath, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerTlsFiles:
    """The certificate that a listener shows, with its chain, and its key; PEM."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The gateway's part of a configuration.

    ``credentials`` are in the order in which they are looked for; those named in
    ``exchange_only`` buy sessions and are no use on a request. ``subject_prefixes`` stand in front
    of the subjects and clients of a credential, by its name; ``attributes`` has what it may bring,
    and None for a session of the gateway's own, which has what was brought when it began.
    ``grants`` has what the tokens of a route are good for, by the route's name. ``origins`` are
    those besides the request's own whose pages may use a cookie. ``subject_prefixes``,
    ``attributes`` and ``exchange_only`` hold names of ``credentials``.
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
