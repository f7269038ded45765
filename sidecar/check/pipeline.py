"""The check of a sidecar, step by step: from a request, the keys and the time to a decision.

When the token names a key that is not in the snapshot, the result is ``Pending``: the shell looks
for the key and then resumes the check.
"""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from sidecar.check.cookies import TokenCookies
from sidecar.check.extract import TokenSource, cookie_finder, extract
from sidecar.check.identity import IdentityHeaders, IdentitySettings
from sidecar.check.refusal import Refusal, deny
from sidecar.check.routes import Route, Routed, Router, headers_read
from sidecar.check.trace import Trace
from sidecar.check.trust import TrustEntry
from sidecar.check.verifier import VerificationObserver, Verified, Verifier
from sidecar.model import Allow, Decision, Deny, Pending, Reason, RequestView, Step, VerifiedToken
from sidecar.snapshots.keys import KeySnapshot


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """The settings of checks.

    In ``shadow`` mode denials are recorded and not enforced.
    """

    trust: tuple[TrustEntry, ...]
    routes: tuple[Route, ...]
    identity: IdentitySettings
    sources: tuple[TokenSource, ...]
    literal_semicolons: bool
    shadow: bool
    cookies: int
    token_bytes: int
    token_values: int
    remembered_tokens: int


class _Attempt(NamedTuple):
    """What ``_authorize`` needs of a check that may have waited for a key."""

    routed: Routed
    cookies: TokenCookies
    fingerprint: str
    trace: Trace | None


class Pipeline:
    """The check under one configuration. Its only state are the tokens it remembers."""

    def __init__(self, settings: CheckSettings, observer: VerificationObserver) -> None:
        self._settings = settings
        self._router = Router(settings.routes, literal_semicolons=settings.literal_semicolons)
        self._verifier = Verifier(
            settings.trust,
            observer,
            token_bytes=settings.token_bytes,
            token_values=settings.token_values,
            remembered_tokens=settings.remembered_tokens,
        )
        self._cookies = cookie_finder(settings.sources, settings.cookies)
        self._identity = IdentityHeaders(
            settings.identity, settings.sources, headers_read(settings.routes)
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
            return self._denied(request, cookies)

        # 1 and 2. The canonical path, and the route.
        routed = self._router.find(request, trace)
        if isinstance(routed, Refusal):
            return self._denied(request, routed)
        name = routed.route.name
        if routed.route.public:
            return Allow(Reason.PUBLIC, name, self._identity.for_nobody(request, cookies))

        # 3. At most one credential, and no ambiguous header.
        refusal = routed.ambiguity()
        if refusal is not None:
            return self._denied(request, refusal, name)
        credential = extract(request, self._settings.sources, cookies)
        if isinstance(credential, Refusal):
            return self._denied(request, credential, name)
        if trace:
            trace.note(Step.CREDENTIAL, credential)
        if credential is None:
            decision = anonymous(routed, cookies, self._identity, now, trace)
            return self.refuse(request, decision) if isinstance(decision, Deny) else decision

        # 4 to 8. The token is from a trusted issuer and valid.
        digest = sha256(credential.text.encode("latin-1")).digest()
        fingerprint = digest[:8].hex()
        token = self._verifier.verify(credential.text, digest, keys, now, trace)
        attempt = _Attempt(routed, cookies, fingerprint, trace)
        if isinstance(token, Pending):
            return token.then(partial(self._authorize, attempt))
        return self._authorize(attempt, token, now)

    @property
    def remembered_tokens(self) -> int:
        """How many tokens are remembered at this moment."""
        return self._verifier.remembered_tokens

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        """A denial as the configured mode enforces it.

        In shadow mode the request is forwarded without identity headers. One that is too large to
        be searched for them is denied even so.
        """
        if not self._settings.shadow or denial.reason is Reason.REQUEST_TOO_LARGE:
            return denial
        cookies = self._cookies.find(request)
        if isinstance(cookies, Refusal):
            return deny(cookies)
        headers = self._identity.for_nobody(request, cookies)
        return Allow(denial.reason, denial.route, headers, denial.token, would_deny=denial)

    def _authorize(self, attempt: _Attempt, token: Verified, now: float) -> Decision:
        routed, cookies, fingerprint, trace = attempt
        request, name = routed.request, routed.route.name
        if isinstance(token, Refusal):
            return self._denied(request, token, name, fingerprint)
        if trace:
            trace.note(Step.POLICY, routed.route, token)

        # 9. The route's rules.
        refusal = routed.refusal(token, now)
        if refusal is not None:
            return self._denied(request, refusal, name, fingerprint, token)

        # 10. The identity headers.
        if trace:
            trace.note(Step.IDENTITY, self._settings.identity, token)
        headers = self._identity.for_token(request, cookies, token)
        if isinstance(headers, Refusal):
            return self._denied(request, headers, name, fingerprint, token)
        return Allow(Reason.AUTHORIZED, name, headers, token)

    def _denied(
        self,
        request: RequestView,
        refusal: Refusal,
        route: str | None = None,
        fingerprint: str = "",
        token: VerifiedToken | None = None,
    ) -> Decision:
        return self.refuse(request, deny(refusal, route, fingerprint, token))


def anonymous(
    routed: Routed,
    cookies: TokenCookies,
    headers: IdentityHeaders,
    now: float,
    trace: Trace | None,
) -> Decision:
    """The decision about a request without a credential, on a route that is not public."""
    route = routed.route
    if not route.optional:
        return Deny(Reason.NO_CREDENTIAL, route.name)
    if trace:
        trace.note(Step.POLICY, route, None)
    refusal = routed.refusal(None, now)
    if refusal is not None:
        return deny(refusal, route.name)
    return Allow(Reason.ANONYMOUS, route.name, headers.for_nobody(routed.request, cookies))
