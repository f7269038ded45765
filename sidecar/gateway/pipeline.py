"""The gateway's check, step by step: from a client's credential to a request token.

It shares its steps with ``check.pipeline`` and differs in two: a credential is one of several kinds
and may have to be looked up, and the service gets a token that is minted for this request. A result
that is not known at once is ``Pending``; nothing waits here.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple

from sidecar.check.cookies import TokenCookies
from sidecar.check.extract import cookie_finder, extract
from sidecar.check.identity import IdentityHeaders
from sidecar.check.pipeline import CheckSettings, anonymous
from sidecar.check.refusal import Refusal, deny
from sidecar.check.routes import Routed, Router, headers_read
from sidecar.check.trace import Trace
from sidecar.gateway.authenticators import Authenticator, Identified
from sidecar.gateway.cross_site import refuse_cross_site
from sidecar.gateway.identities import Identities
from sidecar.gateway.places import Places
from sidecar.gateway.settings import GatewaySettings
from sidecar.mint.minter import Minted, Minter
from sidecar.model import (
    Allow,
    Decision,
    Deny,
    HeaderChanges,
    Pending,
    Reason,
    RequestView,
    Step,
    VerifiedToken,
)
from sidecar.snapshots.keys import KeySnapshot

_AUTHORIZATION: Final = "authorization"
# Where services look for a request token. What a client sends there is removed.
_TOKEN_HEADERS: Final = (_AUTHORIZATION, "txn-token")


class _Attempt(NamedTuple):
    """What ``_authorize`` and ``_allow`` need of a check that may have waited."""

    routed: Routed
    cookies: TokenCookies
    authenticator: Authenticator
    fingerprint: str
    trace: Trace | None


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
        names = {each.name for each in authenticators}
        self._places = Places(authenticators, names - gateway.exchange_only)
        self._minter = minter
        self._grants = gateway.grants
        self._identities = Identities(gateway.subject_prefixes, gateway.attributes)
        self._origins = gateway.origins
        # Including those of exchange-only credentials: none may reach a service.
        sources = tuple(dict.fromkeys(each.source for each in authenticators))
        self._cookies = cookie_finder(sources, check.cookies)
        self._headers = IdentityHeaders(
            replace(check.identity, strip=(*_TOKEN_HEADERS, *check.identity.strip)),
            sources,
            headers_read(check.routes),
        )

    def check(
        self, request: RequestView, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Decision | Pending[Decision]:
        """Decide about one request.

        Args:
            request: the request as Envoy describes it.
            keys: the public keys known at this moment.
            now: Unix seconds.
            trace: told what is found at each step.
        """
        # Token cookies are found once: to read the credential, and to remove it when forwarding.
        cookies = self._cookies.find(request)
        if isinstance(cookies, Refusal):
            return deny(cookies)

        # 1 and 2. The canonical path, and the route.
        routed = self._router.find(request, trace)
        if isinstance(routed, Refusal):
            return deny(routed)
        name = routed.route.name
        if routed.route.public:
            return Allow(Reason.PUBLIC, name, self._headers.for_nobody(request, cookies))

        # 3. At most one credential, no ambiguous header, and no cross-site request.
        refusal = routed.ambiguity()
        if refusal is not None:
            return deny(refusal, name)
        credential = extract(request, self._places.sources, cookies)
        if isinstance(credential, Refusal):
            return deny(credential, name)
        if trace:
            trace.note(Step.CREDENTIAL, credential)
        if credential is None:
            return anonymous(routed, cookies, self._headers, now, trace)
        refusal = refuse_cross_site(request, credential.source, self._origins)
        if refusal is not None:
            return deny(refusal, name)

        # 4 to 8. The identity of the credential.
        authenticator = self._places.find(credential)
        if isinstance(authenticator, Refusal):
            return deny(authenticator, name)
        digest = sha256(credential.text.encode("latin-1")).digest()
        attempt = _Attempt(routed, cookies, authenticator, digest[:8].hex(), trace)
        identified = authenticator.identify(credential.text, digest, keys, now, trace)
        if isinstance(identified, Pending):
            return identified.then(partial(self._authorize, attempt))
        return self._authorize(attempt, identified, now)

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        """The denial: a gateway has no shadow mode."""
        del request
        return denial

    def _authorize(
        self, attempt: _Attempt, identified: Identified, now: float
    ) -> Decision | Pending[Decision]:
        request, route = attempt.routed.request, attempt.routed.route
        if isinstance(identified, Refusal):
            cookie = attempt.authenticator.cookie(identified, now)
            return deny(identified, route.name, attempt.fingerprint)._replace(cookie=cookie)
        token = self._identities.of(attempt.authenticator.name, identified)

        if attempt.trace:
            name = attempt.authenticator.name
            attempt.trace.note(Step.POLICY, route, token, name, identified.claims)

        # 9. The route's rules.
        refusal = attempt.routed.refusal(token, now)
        if refusal is not None:
            return deny(refusal, route.name, attempt.fingerprint, token)

        # 10. A token for this request, in place of the client's credential.
        cookie = attempt.authenticator.cookie(identified, now)
        grant = self._grants[route.name]
        minted = self._minter.mint(token, route.name, grant, request.principal, now)
        if isinstance(minted, Pending):
            # The time of the signature is not needed: the token has its dates already.
            return minted.then(lambda signed, _now: self._allow(attempt, token, cookie, signed))
        return self._allow(attempt, token, cookie, minted)

    def _allow(
        self, attempt: _Attempt, token: VerifiedToken, cookie: str, minted: Minted
    ) -> Decision:
        request, route = attempt.routed.request, attempt.routed.route
        if isinstance(minted, Refusal):
            return deny(minted, route.name, attempt.fingerprint, token)
        if attempt.trace:
            attempt.trace.note(Step.MINT, minted)
        changes = self._headers.for_nobody(request, attempt.cookies)
        headers = HeaderChanges(
            overwrite=(*changes.overwrite, (_AUTHORIZATION, f"Bearer {minted}")),
            remove=tuple([name for name in changes.remove if name != _AUTHORIZATION]),
            cookie=cookie,
        )
        return Allow(Reason.AUTHORIZED, route.name, headers, token)
