"""The settings of sessions. All times are in seconds.

The defaults are in the configuration's sections.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.check.trust import ClaimPath
from sidecar.clients.http import HttpSettings

# The most scopes, roles and groups of a session, all of which each check reads. Directories limit
# the groups of a user to about 1,000.
MOST_NAMES: Final = 2000


@dataclass(frozen=True, slots=True)
class SecretAuthentication:
    """Client authentication with a shared secret (RFC 6749 §2.3.1).

    ``in_body`` sends it in the form (``client_secret_post``) instead of the Authorization header
    (``client_secret_basic``).
    """

    client_id: str
    secret_file: Path
    in_body: bool = False


@dataclass(frozen=True, slots=True)
class KeyAuthentication:
    """Client authentication with a signed assertion, ``private_key_jwt`` (RFC 7523 §2.2).

    ``key_file`` holds a private key, as PEM or as a JWK; ``audience`` is what the issuer expects
    as the assertion's ``aud``. ``algorithm`` and ``kid`` default to the JWK's; then the algorithm
    is the default one for the key's type, and there is no ``kid``.
    """

    client_id: str
    key_file: Path
    audience: str
    algorithm: str | None = None
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class TokenAuthentication:
    """A bearer token of our own, in a file (RFC 7662 §2.1, RFC 6750 §2.1)."""

    token_file: Path


@dataclass(frozen=True, slots=True)
class CertificateAuthentication:
    """The client certificate of the connection, ``tls_client_auth`` (RFC 8705 §2.1)."""

    client_id: str


@dataclass(frozen=True, slots=True)
class NoAuthentication:
    """A public client, or none at all."""

    client_id: str | None = None


ClientAuthentication = (
    SecretAuthentication
    | KeyAuthentication
    | TokenAuthentication
    | CertificateAuthentication
    | NoAuthentication
)


@dataclass(frozen=True, slots=True)
class IntrospectionSettings:
    """How the sessions of one issuer are looked up (RFC 7662).

    ``name`` is the credential's. ``issuer``, ``audiences`` and ``clients``, where they are set,
    must agree with the answer's ``iss``, ``aud`` and ``client_id``. ``subject_claim`` is the member
    with the subject. ``scopes`` are granted to every active session besides those of its scope
    claim. ``accept_bound_tokens`` accepts answers about tokens that are bound to a key (``cnf``) as
    those about bearer tokens. ``cache`` and ``negative_cache`` limit how long an answer is cached;
    ``timeout`` limits one look-up, ``max_lookups`` how many are in progress at once,
    ``max_waiters`` how many checks wait for them, and ``remembered_sessions`` how many answers are
    cached, and how many active sessions are known. ``token_bytes`` limits the length of a session.
    """

    name: str
    url: str
    authentication: ClientAuthentication
    issuer: str | None
    audiences: frozenset[str]
    clients: frozenset[str]
    scopes: frozenset[str]
    subject_claim: ClaimPath
    scope_claim: ClaimPath
    roles_claim: ClaimPath
    groups_claim: ClaimPath
    accept_bound_tokens: bool
    leeway: float
    cache: float
    negative_cache: float
    timeout: float
    max_lookups: int
    max_waiters: int
    remembered_sessions: int
    token_bytes: int
    http: HttpSettings


@dataclass(frozen=True, slots=True)
class SessionTokenSettings:
    """The session tokens that clients hold.

    ``issuer`` is the gateway's own, and their audience. A session ends ``absolute`` seconds after
    it began, and earlier when it was not used for ``idle`` seconds; a token is renewed when it is
    ``renew`` seconds old. ``claims`` names the credential's claims that a session keeps, in
    addition to those that every session keeps; ``roles`` and ``groups`` are patterns of those that
    it keeps. ``leeway`` is how far the clocks of two replicas may be apart. ``max_bytes`` limits
    the cookie's name and value together: browsers store at most 4,096.
    """

    name: str
    issuer: str
    cookie: str
    idle: float
    absolute: float
    renew: float
    claims: tuple[str, ...]
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    leeway: float
    max_bytes: int

    @property
    def token_bytes(self) -> int:
        """The largest value of the cookie."""
        return self.max_bytes - len(self.cookie)
