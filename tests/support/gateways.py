"""A small gateway with its credentials and routes: what the tests of its check start from.

Time stands still at ``NOW``. Its SSO is played by ``Sso``, which answers as a test tells it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sidecar.check.conditions import Condition
from sidecar.check.extract import BEARER, CookieSource, TokenSource
from sidecar.check.refusal import Refusal
from sidecar.check.rules import Acr, AnyRole, Credentials, MaxAge, Scopes, TokenKinds, When
from sidecar.check.trace import Trace
from sidecar.check.trust import TrustEntry
from sidecar.check.verifier import Verifier
from sidecar.gateway.authenticators import (
    Authenticator,
    Identified,
    JwtAuthenticator,
    SessionAuthenticator,
)
from sidecar.gateway.pipeline import GatewayPipeline
from sidecar.gateway.session_cookies import SessionCookies
from sidecar.gateway.settings import Attributes, Form, GatewaySettings
from sidecar.jose.algorithms import SUPPORTED_ALGORITHMS
from sidecar.mint.minter import Minter
from sidecar.mint.settings import Grant
from sidecar.model import (
    Allow,
    Decision,
    Deny,
    KeyQuestion,
    Pending,
    Reason,
    RequestView,
    TokenKind,
    VerifiedToken,
    ask,
)
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing, begin
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from sidecar.rings.settings import InDirectory, RingSettings
from sidecar.session.tokens import SessionTokens
from sidecar.snapshots.keys import KeySnapshot
from tests.support import tokens
from tests.support.checks import NOW, Recorder, key_set, route
from tests.support.minting import ISSUER, SETTINGS, MintRecorder, credential, ring
from tests.support.rings import HeldRing
from tests.support.settings import (
    check_settings,
    identity_settings,
    session_token_settings,
    trust_entry,
)
from tests.support.tokens import SigningKey, key_for

HOST = "shop.example"
PARTNER_ISSUER = "https://partner.example"
SSO_COOKIE = CookieSource("sso_session")
SESSION_COOKIE = CookieSource("__Host-session")
EXTERNAL = TokenKinds(frozenset({TokenKind.EXTERNAL, TokenKind.WORKLOAD}))

PARTNER = trust_entry(
    name="partner",
    kind=TokenKind.EXTERNAL,
    issuer=PARTNER_ISSUER,
    audiences=frozenset({ISSUER}),
    algorithms=SUPPORTED_ALGORITHMS,
    types=frozenset({"jwt"}),
    leeway=10.0,
    required_claims=(),
)
ROUTES = (
    route("health", "/healthz", public=True),
    route("orders", "/orders/**", EXTERNAL),
    route("catalogue", "/catalogue/**", EXTERNAL, optional=True),
    route("read", "/read", EXTERNAL, Scopes(("orders:read",))),
    route("staff", "/staff", EXTERNAL, Credentials(frozenset({"sso"}))),
    route(
        "own",
        "/customers/{id}",
        EXTERNAL,
        When(Condition("claims.sub == request.params.id")),
    ),
    route("password", "/password", EXTERNAL, MaxAge(300.0), Acr(("gold",))),
    route("desk", "/desk", EXTERNAL, AnyRole(frozenset({"support", "customer"}))),
    route(
        "attributed",
        "/attributed",
        EXTERNAL,
        When(Condition("has(claims.department) || has(claims.act)")),
    ),
    route(
        "region",
        "/region",
        EXTERNAL,
        When(Condition('request.headers["x-region"] in token.groups')),
        headers=("x-region",),
    ),
)
ORDERS = Grant(("orders", "payments"), frozenset({"orders:read", "payments:pay"}))
# The partner may bring little; the SSO is the shop's own.
ATTRIBUTES = {
    "sso": Attributes(("*",), ("*",), (("acr",), ("amr",), ("auth_time",), ("department",))),
    "mobile": Attributes(("customer", "acme-*"), ("books",), (("auth_time",),)),
    "session": None,
}
ATTRIBUTES["browser"] = ATTRIBUTES["mobile"]
# "browser" is the credential of "mobile" in another place; most gateways do without.
USUAL_SOURCES: Mapping[str, TokenSource] = {
    "sso": SSO_COOKIE,
    "mobile": BEARER,
    "session": SESSION_COOKIE,
}
SESSIONS = session_token_settings(name="session", issuer=ISSUER)
# Where a ring is read from is no matter of the pipeline.
RING = RingSettings("request", InDirectory(Path("unused")))
KEY = LocalKey.generate("ES256")


class Sso:
    """An SSO whose sessions are those of ``sessions``, by the text in the cookie.

    While ``slow`` is set its answers are waited for, as those that have to be fetched are.
    """

    name = "sso"
    form = Form.OPAQUE

    def __init__(self, source: TokenSource = SSO_COOKIE) -> None:
        self.source = source
        self.sessions: dict[str, VerifiedToken] = {"alice-at-sso": credential()}
        self.slow = False
        self.asked = 0

    def identify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Identified | Pending[Identified]:
        del keys, now, trace
        self.asked += 1
        found = self.sessions.get(text)
        answer: Identified = (
            found._replace(fingerprint=digest[:8].hex())
            if found
            else Refusal(Reason.INACTIVE_SESSION)
        )
        if not self.slow:
            return answer

        async def soon() -> Identified:
            await asyncio.sleep(0)
            return answer

        return ask(soon, late=Refusal(Reason.INTROSPECTION_UNAVAILABLE))

    def cookie(self, identified: Identified, now: float) -> str:
        del identified, now
        return ""


class Gateway:
    """The small gateway's check. Its rings may be replaced between two requests."""

    def __init__(
        self,
        keys: KeySnapshot | None = None,
        *,
        trust: tuple[TrustEntry, ...] = (PARTNER,),
        sources: Mapping[str, TokenSource] = USUAL_SOURCES,
        **settings: Any,
    ) -> None:
        self.sso = Sso(sources["sso"])
        self.keys = keys or KeySnapshot({"partner": key_set(key_for("ES256"))})
        self.ring: KeyRing = ring(KEY)
        self.sealing: KeyRing = begin(SealingKey.generate(), TIMINGS, NOW)
        self.verifications, self.mints = Recorder(), MintRecorder()
        self.tokens = SessionTokens(SESSIONS, HeldRing(lambda: self.sealing))
        self.cookies = SessionCookies(SESSIONS, self.tokens, self.mints)
        self.pipeline = self._pipeline(trust, sources, settings)

    def _pipeline(
        self,
        trust: tuple[TrustEntry, ...],
        sources: Mapping[str, TokenSource],
        settings: dict[str, Any],
    ) -> GatewayPipeline:
        verifier = Verifier(
            trust,
            self.verifications,
            token_bytes=8192,
            token_values=400,
            remembered_tokens=10,
        )
        self.authenticators: tuple[Authenticator, ...] = (
            self.sso,
            *(
                JwtAuthenticator(name, sources[name], verifier)
                for name in ("mobile", "browser")
                if name in sources
            ),
            SessionAuthenticator("session", sources["session"], self.tokens, self.cookies),
        )
        usual = GatewaySettings(
            issuer=ISSUER,
            credentials=(),
            request_tokens=SETTINGS,
            request_ring=RING,
            grants={each.name: ORDERS for each in ROUTES if not each.public},
            subject_prefixes={"mobile": "partner:", "browser": "partner:"},
            attributes=ATTRIBUTES,
            origins=frozenset({"https://www.shop.example"}),
            exchange_only=frozenset(),
            internal_tls=None,
        )
        gateway = replace(usual, **settings)
        minter = Minter(gateway.request_tokens, HeldRing(lambda: self.ring), self.mints)
        identity = identity_settings(strip=("x-user-id",), forward_token=False)
        check = check_settings(trust=trust, routes=ROUTES, identity=identity)
        return GatewayPipeline(check, gateway, self.authenticators, minter)

    def check(self, view: RequestView, *, now: float = NOW) -> Decision | Pending[Decision]:
        return self.pipeline.check(view, self.keys, now)

    def decide(self, view: RequestView, *, now: float = NOW) -> Decision:
        """The decision when everything that is waited for arrives."""
        verdict = self.check(view, now=now)
        while isinstance(verdict, Pending):
            question = verdict.question
            assert not isinstance(question, KeyQuestion), question
            verdict = verdict.resume(asyncio.run(_awaited(question)), now)
        return verdict

    def reason(self, view: RequestView, *, now: float = NOW) -> Reason:
        return self.decide(view, now=now).reason

    def allow(self, view: RequestView, *, now: float = NOW) -> Allow:
        decision = self.decide(view, now=now)
        assert isinstance(decision, Allow), decision
        return decision

    def deny(self, view: RequestView, *, now: float = NOW) -> Deny:
        decision = self.decide(view, now=now)
        assert isinstance(decision, Deny), decision
        return decision

    def token(self, view: RequestView, *, now: float = NOW) -> str:
        """The request token that the service behind the gateway gets."""
        overwritten = dict(self.allow(view, now=now).headers.overwrite)
        scheme, _, token = overwritten["authorization"].partition(" ")
        assert scheme == "Bearer"
        return token

    def session(self, source: VerifiedToken | None = None, *, now: float = NOW) -> str:
        """A session token of this gateway, as the browser holds it."""
        cookie = self.cookies.begun(source or credential(), now, None)
        assert isinstance(cookie, str)
        return cookie.partition(";")[0].partition("=")[2]


async def _awaited(question: Callable[[], Awaitable[object]]) -> object:
    return await question()


def partner_token(key: SigningKey | None = None, **changes: Any) -> str:
    """A JWT of the partner's, for bob."""
    usual = {"issuer": PARTNER_ISSUER, "audience": ISSUER, "subject": "bob", "now": NOW}
    document = tokens.claims(**{**usual, "scope": "orders:read", **changes})
    return tokens.sign(document, key or key_for("ES256"), typ="JWT")


def request(
    path: str = "/orders/7",
    *,
    method: str = "GET",
    bearer: str | None = None,
    sso: str | None = None,
    session: str | None = None,
    headers: tuple[tuple[str, bytes], ...] = (),
    principal: str = "",
) -> RequestView:
    """A request with any of the credentials."""
    cookies = ((SSO_COOKIE, sso), (SESSION_COOKIE, session))
    pairs = [f"{source.name}={value}" for source, value in cookies if value is not None]
    if pairs:
        headers = (*headers, ("cookie", "; ".join(pairs).encode()))
    if bearer is not None:
        headers = (*headers, ("authorization", f"Bearer {bearer}".encode()))
    return RequestView(method, path, HOST, headers, principal)
