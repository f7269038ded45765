"""A gateway's checks without a gateway.

The steps are those of a gateway, with substitutes for what exists only where it runs: generated
keys sign the tokens, and issuers of sessions give the answers that were set.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sidecar.check.claims import names_in, scopes_in
from sidecar.check.extract import TokenSource
from sidecar.check.trace import Trace
from sidecar.check.verifier import Verifier
from sidecar.cli.simulation import NullObserver, finished
from sidecar.cli.trace import read_claims
from sidecar.clients.http import Response
from sidecar.config import Configuration
from sidecar.gateway.authenticators import (
    Authenticator,
    IntrospectionAuthenticator,
    JwtAuthenticator,
    SessionAuthenticator,
)
from sidecar.gateway.pipeline import GatewayPipeline
from sidecar.gateway.session_cookies import SessionCookies
from sidecar.gateway.settings import (
    CredentialSettings,
    IntrospectedCredential,
    JwtCredential,
    SessionCredential,
)
from sidecar.mint.minter import Minter
from sidecar.model import Allow, Decision, RequestView, Step, TokenKind, VerifiedToken
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import DEFAULT_ALGORITHM, LocalKey
from sidecar.rings.ring import KeyRing, begin
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from sidecar.session.introspection import Introspector
from sidecar.session.tokens import SessionTokens
from sidecar.snapshots.keys import KeySnapshot

_INACTIVE: Final = b'{"active": false}'


class GatewaySimulation:
    """A gateway's checks (``Simulation``) at ``now``, in Unix seconds.

    ``sealing`` has the keys of session tokens. Without it they are generated, and only the tokens
    that ``seal`` makes can be opened.
    """

    steps: Final = tuple(step for step in Step if step is not Step.IDENTITY)

    def __init__(
        self, configuration: Configuration, now: float, sealing: KeyRing | None = None
    ) -> None:
        gateway = configuration.gateway
        assert gateway is not None  # noqa: S101 - the caller has checked
        self.credentials = {each.name: each for each in gateway.credentials}
        self._exchange_only = gateway.exchange_only
        self._configuration, self._now = configuration, now
        self._sealing = sealing or begin(SealingKey.generate(), TIMINGS, now)
        self._issuer = _Issuer()
        ring = begin(LocalKey.generate(DEFAULT_ALGORITHM), Timings(), now)
        self._pipeline = GatewayPipeline(
            configuration.check,
            gateway,
            [self._authenticator(each) for each in gateway.credentials],
            Minter(gateway.request_tokens, _FixedRing(ring), NullObserver()),
        )

    def decide(
        self, request: RequestView, keys: KeySnapshot, trace: Trace | None = None
    ) -> Decision:
        """A gateway's decision (``Simulation.decide``)."""
        verdict = self._pipeline.check(request, keys, self._now, trace)
        return finished(verdict, keys, self._now)

    def source_of(self, trust: str, credential: str = "") -> TokenSource:
        """The source of a trust entry's tokens.

        Without the name of a credential it is the first that requests may have, if there is one.
        """
        found = [
            each
            for each in self.credentials.values()
            if isinstance(each, JwtCredential)
            and trust in each.trusts
            and credential in {"", each.name}
        ]
        return min(found, key=lambda each: each.name in self._exchange_only).source

    def answer(self, session: str, document: bytes) -> None:
        """Set the introspection response for a session (RFC 7662 §2.2)."""
        self._issuer.answers[session] = document

    def seal(self, credential: SessionCredential, claims: Mapping[str, Any], ends: float) -> str:
        """A session token of the gateway's own that ends at ``ends`` (Unix seconds)."""
        identity = VerifiedToken(
            trust=credential.name,
            kind=TokenKind.EXTERNAL,
            issuer=credential.tokens.issuer,
            subject=str(claims["sub"]),
            claims=claims,
            scopes=scopes_in(claims.get("scope")),
            roles=names_in(claims.get("roles")),
            groups=names_in(claims.get("groups")),
            fingerprint="",
        )
        return self._tokens(credential).begin(identity, self._now, ends=ends).text

    def _authenticator(self, credential: CredentialSettings) -> Authenticator:
        match credential:
            case JwtCredential(name, source, trusts):
                check = self._configuration.check
                verifier = Verifier(
                    [entry for entry in check.trust if entry.name in trusts],
                    NullObserver(),
                    token_bytes=check.token_bytes,
                    token_values=check.token_values,
                    remembered_tokens=check.remembered_tokens,
                )
                return JwtAuthenticator(name, source, verifier)
            case IntrospectedCredential(name, source, asked):
                introspector = Introspector(
                    asked, NullObserver(), clock=lambda: self._now, issuer=self._issuer
                )
                return IntrospectionAuthenticator(name, source, introspector)
            case SessionCredential():
                tokens = self._tokens(credential)
                cookies = SessionCookies(credential.tokens, tokens, NullObserver())
                return SessionAuthenticator(credential.name, credential.source, tokens, cookies)

    def _tokens(self, credential: SessionCredential) -> SessionTokens:
        return SessionTokens(credential.tokens, _FixedRing(self._sealing))


def minted_claims(decision: Decision) -> Mapping[str, Any] | None:
    """The claims of the token that goes on to the service; None where there is none."""
    if not isinstance(decision, Allow):
        return None
    _, _, text = dict(decision.headers.overwrite).get("authorization", "").partition(" ")
    return read_claims(text) or None


class _Issuer:
    """Gives the answers that were set (``Issuer``); every other session is inactive."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}

    async def ask(self, session: str) -> Response:
        """The answer that was set for a session."""
        return Response(200, {}, self.answers.get(session, _INACTIVE))

    async def close(self) -> None:
        """Nothing to close: there is no connection."""


class _FixedRing(NamedTuple):
    """A ring whose keys stay as they are (``SigningRing``, ``SessionRing``)."""

    keys: KeyRing
