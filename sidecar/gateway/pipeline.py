"""The gateway's check, step by step: a client's credential in, a request token out.

It shares its steps with ``check.pipeline`` and differs in two: a credential is one of several kinds
and may have to be looked up, and what goes on to the service is a token minted for this request.
What cannot be answered at once comes back as ``KeyNeeded`` or ``Unfinished``; nothing waits here.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple

from sidecar.check.cookies import TokenCookies
from sidecar.check.extract import Credential, cookie_finder, extract
from sidecar.check.identity import IdentityHeaders
from sidecar.check.pipeline import CheckSettings, anonymous
from sidecar.check.refusal import Refusal, deny
from sidecar.check.routing import Routed, Router
from sidecar.check.verifier import MissingKey
from sidecar.gateway.authenticators import Authenticator, Identified
from sidecar.gateway.cross_site import refuse_cross_site
from sidecar.gateway.identities import Identities
from sidecar.gateway.settings import GatewaySettings
from sidecar.mint.minter import Minted, Minter
from sidecar.model import (
    Allow,
    Decision,
    Deny,
    HeaderChanges,
    KeyNeeded,
    Reason,
    RequestView,
    Unfinished,
    VerifiedToken,
)
from sidecar.snapshots.keys import KeySnapshot

_AUTHORIZATION: Final = "authorization"
# Where services look for a token of ours. What a client sends there goes no further.
_TOKEN_HEADERS: Final = (_AUTHORIZATION, "txn-token")

Clock = Callable[[], float]


class _Attempt(NamedTuple):
    """A credential on its way through the check."""

    routed: Routed
    cookies: TokenCookies
    authenticator: Authenticator
    fingerprint: str


class GatewayPipeline:
    """The gateway's check under one configuration."""

    def __init__(
        self,
        check: CheckSettings,
        gateway: GatewaySettings,
        authenticators: Sequence[Authenticator],
        minter: Minter,
    ) -> None:
        self._router = Router(check.routes, literal_semicolons=check.literal_semicolons)
        accepted = [each for each in authenticators if each.name not in gateway.exchange_only]
        self._authenticators = {each.source: each for each in accepted}
        self._sources = tuple(self._authenticators)
        self._minter = minter
        self._grants = gateway.grants
        self._identities = Identities(gateway.subject_prefixes, gateway.attributes)
        self._origins = gateway.origins
        # Those of credentials that only buy sessions as well: none of them goes on to a service.
        sources = tuple(each.source for each in authenticators)
        self._cookies = cookie_finder(sources, check.cookies)
        self._headers = IdentityHeaders(
            replace(check.identity, strip=(*_TOKEN_HEADERS, *check.identity.strip)), sources
        )

    def check(
        self, request: RequestView, keys: KeySnapshot, now: float
    ) -> Decision | KeyNeeded | Unfinished:
        """Decide about one request.

        Args:
            request: the request as Envoy describes it.
            keys: the public keys known at this moment.
            now: Unix seconds.
        """
        # Token cookies are looked for once: for the credential, and to keep it from services.
        cookies = self._cookies.find(request)
        if isinstance(cookies, Refusal):
            return deny(cookies)

        # 1 and 2. The path has one form, and a route takes it.
        routed = self._router.find(request)
        if isinstance(routed, Refusal):
            return deny(routed)
        name = routed.route.name
        if routed.route.public:
            return Allow(Reason.PUBLIC, name, self._headers.for_nobody(request, cookies))

        # 3. At most one credential, and from no page that may not use it.
        credential = extract(request, self._sources, cookies)
        if isinstance(credential, Refusal):
            return deny(credential, name)
        if credential is None:
            return anonymous(routed, cookies, self._headers, now)
        refusal = refuse_cross_site(request, credential.source, self._origins)
        if refusal is not None:
            return deny(refusal, name)

        # 4 to 8. Whose it is, here and now.
        return self._identify(routed, cookies, credential, keys, now)

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        """A denial as the configured mode carries it out: a gateway always does."""
        del request
        return denial

    def _identify(
        self,
        routed: Routed,
        cookies: TokenCookies,
        credential: Credential,
        keys: KeySnapshot,
        now: float,
    ) -> Decision | KeyNeeded | Unfinished:
        authenticator = self._authenticators[credential.source]
        digest = sha256(credential.text.encode("latin-1")).digest()
        attempt = _Attempt(routed, cookies, authenticator, digest[:8].hex())
        identified = authenticator.identify(credential.text, digest, keys, now)
        if isinstance(identified, Identified):
            return self._authorize(attempt, identified, now)
        if isinstance(identified, MissingKey):
            return identified.needed(routed.route.name, attempt.fingerprint)
        return Unfinished(
            partial(self._identified, attempt, identified),
            late=_late(Reason.INTROSPECTION_UNAVAILABLE, attempt),
        )

    async def _identified(
        self, attempt: _Attempt, identified: Awaitable[Identified], clock: Clock
    ) -> Decision | Unfinished:
        return self._authorize(attempt, await identified, clock())

    def _authorize(
        self, attempt: _Attempt, identified: Identified, now: float
    ) -> Decision | Unfinished:
        request, route = attempt.routed.request, attempt.routed.route
        if isinstance(identified, Refusal):
            cookie = attempt.authenticator.cookie(identified, now)
            return deny(identified, route.name, attempt.fingerprint)._replace(cookie=cookie)
        token = self._identities.of(attempt.authenticator.name, identified)

        # 9. The route's rules.
        refusal = attempt.routed.refusal(token, now)
        if refusal is not None:
            return deny(refusal, route.name, attempt.fingerprint, token)

        # 10. A token for this request, and nothing else of the client's.
        cookie = attempt.authenticator.cookie(identified, now)
        grant = self._grants[route.name]
        minted = self._minter.mint(token, route.name, grant, request.principal, now)
        if isinstance(minted, Minted):
            return self._allow(attempt, token, cookie, minted)
        return Unfinished(
            partial(self._minted, attempt, token, cookie, minted),
            late=_late(Reason.SIGNING_UNAVAILABLE, attempt, token),
        )

    async def _minted(
        self,
        attempt: _Attempt,
        token: VerifiedToken,
        cookie: str,
        minted: Awaitable[Minted],
        clock: Clock,
    ) -> Decision:
        del clock  # the token has its dates
        return self._allow(attempt, token, cookie, await minted)

    def _allow(
        self, attempt: _Attempt, token: VerifiedToken, cookie: str, minted: Minted
    ) -> Decision:
        request, route = attempt.routed.request, attempt.routed.route
        if isinstance(minted, Refusal):
            return deny(minted, route.name, attempt.fingerprint, token)
        changes = self._headers.for_nobody(request, attempt.cookies)
        headers = HeaderChanges(
            overwrite=(*changes.overwrite, (_AUTHORIZATION, f"Bearer {minted}")),
            remove=tuple([name for name in changes.remove if name != _AUTHORIZATION]),
            cookie=cookie,
        )
        return Allow(Reason.AUTHORIZED, route.name, headers, token)


def _late(reason: Reason, attempt: _Attempt, token: VerifiedToken | None = None) -> Deny:
    detail = "there was no answer in the time Envoy gives a check"
    return Deny(reason, attempt.routed.route.name, detail, attempt.fingerprint, token)
