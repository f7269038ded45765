"""What a configuration says about sessions. All times are in seconds.

Defaults are the configuration's alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.check.trust import ClaimPath
from sidecar.clients.http import HttpSettings

# Scopes, roles and groups of a session: each check looks at all of them. Directories have a limit
# of their own, some 1,000 groups of one person.
MOST_NAMES: Final = 2000


@dataclass(frozen=True, slots=True)
class SecretAuthentication:
    """The client proves itself with a shared secret (RFC 6749 §2.3.1).

    ``in_body`` sends it in the form (``client_secret_post``) and not in the Authorization header
    (``client_secret_basic``).
    """

    client_id: str
    secret_file: Path
    in_body: bool = False


@dataclass(frozen=True, slots=True)
class KeyAuthentication:
    """The client proves itself with a signed assertion, ``private_key_jwt`` (RFC 7523 §2.2).

    ``key_file`` holds a private key, as PEM or as a JWK; ``audience`` is what the issuer expects
    as the assertion's ``aud``. ``algorithm`` and ``kid`` default to the JWK's; then the algorithm
    is the one that is usual for the key, and there is no ``kid``.
    """

    client_id: str
    key_file: Path
    audience: str
    algorithm: str | None = None
    kid: str | None = None


ClientAuthentication = SecretAuthentication | KeyAuthentication


@dataclass(frozen=True, slots=True)
class IntrospectionSettings:
    """How the sessions of one issuer are looked up (RFC 7662).

    ``name`` is the credential's. ``issuer``, ``audiences`` and ``clients``, where they are set,
    must agree with the answer's ``iss``, ``aud`` and ``client_id``. ``scopes`` are granted to every
    active session besides those of its scope claim. ``cache`` and ``negative_cache`` bound how long
    an answer is believed; ``timeout`` bounds one look-up, ``max_lookups`` how many are under
    way at once, ``max_waiters`` how many checks wait for them, and ``remembered_sessions`` how many
    answers are kept, and of how many sessions is known that they were active.
    ``token_bytes`` bounds what is sent as a session.
    """

    name: str
    url: str
    authentication: ClientAuthentication
    issuer: str | None
    audiences: frozenset[str]
    clients: frozenset[str]
    scopes: frozenset[str]
    scope_claim: ClaimPath
    roles_claim: ClaimPath
    groups_claim: ClaimPath
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
    it began, and earlier when it was not used for ``idle`` seconds; a token is made anew when
    ``renew`` seconds have passed since the last one was. ``claims`` names what a session keeps of
    its credential besides what every session does. ``leeway`` is how far the clocks of two replicas
    may be apart. ``max_bytes`` bounds the cookie's name and value together: browsers keep no
    more than 4,096.
    """

    name: str
    issuer: str
    cookie: str
    idle: float
    absolute: float
    renew: float
    claims: tuple[str, ...]
    leeway: float
    max_bytes: int

    @property
    def token_bytes(self) -> int:
        """What the cookie's name leaves for its value."""
        return self.max_bytes - len(self.cookie)
