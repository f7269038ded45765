"""The check, step by step: a request, the keys and the time in; a decision out.

When the token names a key that is not in the snapshot the result is ``KeyNeeded``: fetching is
the business of the shell around this, which then asks again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import NamedTuple, Protocol

from sidecar.check import claims, jws, policy, signature
from sidecar.check.claims import SignedToken
from sidecar.check.extract import BEARER, TokenSource, extract
from sidecar.check.identity import IdentityHeaders, IdentitySettings
from sidecar.check.path import canonical
from sidecar.check.refusal import Refusal
from sidecar.check.remembered import Remembered, RememberedTokens
from sidecar.check.routes import Route, RouteTable
from sidecar.check.strict_json import load_again
from sidecar.check.trust import TrustEntry, TrustTable
from sidecar.model import Allow, Decision, Deny, KeyNeeded, Reason, RequestView, VerifiedToken
from sidecar.snapshots.keys import KeySnapshot, VerificationKey


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """Everything a configuration says about checks.

    In ``shadow`` mode denials are decided and not carried out.
    """

    trust: tuple[TrustEntry, ...]
    routes: tuple[Route, ...]
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    sources: tuple[TokenSource, ...] = (BEARER,)
    literal_semicolons: bool = False
    shadow: bool = False
    maximum_token_bytes: int = 8192
    remembered_tokens: int = 2000


class CheckObserver(Protocol):
    """Told about what only the pipeline sees."""

    def verified(self, trust: str, result: str) -> None:
        """A token of a trust entry was verified (``valid``) or refused (the reason's label)."""

    def remembered(self, *, hit: bool) -> None:
        """A token was looked up among those remembered."""


class Pipeline:
    """The check under one configuration. Holds no state but the tokens it remembers."""

    def __init__(self, settings: CheckSettings, observer: CheckObserver) -> None:
        self._settings = settings
        self._observer = observer
        self._trust = TrustTable(settings.trust)
        self._routes = RouteTable(settings.routes)
        self._identity = IdentityHeaders(settings.identity, settings.sources)
        self._remembered = RememberedTokens(settings.remembered_tokens)

    def check(self, request: RequestView, keys: KeySnapshot, now: float) -> Decision | KeyNeeded:
        """Decide about one request.

        Args:
            request: the request as Envoy describes it.
            keys: the public keys known at this moment.
            now: Unix seconds.
        """
        verdict = self._decide(request, keys, now)
        return self.refuse(request, verdict) if isinstance(verdict, Deny) else verdict

    @property
    def remembered_tokens(self) -> int:
        """How many tokens are remembered at this moment."""
        return len(self._remembered)

    def refuse(self, request: RequestView, deny: Deny) -> Decision:
        """A denial as the configured mode carries it out.

        In shadow mode the request goes on, without identity and without any header of ours.
        """
        if not self._settings.shadow:
            return deny
        headers = self._identity.for_nobody(request)
        return Allow(deny.reason, deny.route, headers, deny.token, would_deny=deny)

    def _decide(self, request: RequestView, keys: KeySnapshot, now: float) -> Decision | KeyNeeded:
        # 1. The path has one form, for every request: rules and service must see the same one.
        path = canonical(request.path, literal_semicolons=self._settings.literal_semicolons)
        if isinstance(path, Refusal):
            return _deny(path)

        # 2. The route, named by Envoy's configuration or found by host, path and method.
        if request.route is not None:
            route = self._routes.named(request.route)
        else:
            route = self._routes.find(request.host, path, request.method)
        if route is None:
            return _deny(_no_route(request))
        if route.requirement.public:
            return Allow(Reason.PUBLIC, route.name, self._identity.for_nobody(request))

        # 3. At most one credential.
        credential = extract(request, self._settings.sources)
        if isinstance(credential, Refusal):
            return _deny(credential, route)
        if credential is None:
            return self._anonymous(request, route, path)

        # 4 to 7. A well-formed token of a trusted issuer, whose signature holds.
        digest = sha256(credential.text.encode("latin-1")).digest()
        fingerprint = digest[:8].hex()
        signed = self._signed(credential.text, digest, keys, now)
        if isinstance(signed, Refusal):
            return _deny(signed, route, fingerprint)
        if isinstance(signed, _MissingKey):
            unknown = Deny(Reason.UNKNOWN_KEY, route.name, signed.detail, fingerprint)
            unavailable = Deny(Reason.KEYS_UNAVAILABLE, route.name, signed.detail, fingerprint)
            return KeyNeeded(signed.trust, signed.kid, unknown, unavailable)

        # 8. Its claims, here and now.
        token = claims.verify(signed, now)
        if isinstance(token, Refusal):
            self._observer.verified(signed.trust.name, token.reason.label)
            return _deny(token, route, fingerprint)
        self._observer.verified(token.trust, "valid")

        # 9. The route's rules.
        facts = partial(_facts, request, route, path)
        refusal = policy.evaluate(route.requirement, token, request.principal, facts)
        if refusal is not None:
            return _deny(refusal, route, fingerprint, token)

        # 10. Who it is, in headers.
        headers = self._identity.for_token(request, token)
        if isinstance(headers, Refusal):
            return _deny(headers, route, fingerprint, token)
        return Allow(Reason.AUTHORIZED, route.name, headers, token)

    def _anonymous(self, request: RequestView, route: Route, path: str) -> Decision:
        if not route.requirement.optional:
            return Deny(Reason.NO_CREDENTIAL, route.name)
        facts = partial(_facts, request, route, path)
        refusal = policy.evaluate(route.requirement, None, request.principal, facts)
        if refusal is not None:
            return _deny(refusal, route)
        return Allow(Reason.ANONYMOUS, route.name, self._identity.for_nobody(request))

    def _signed(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float
    ) -> "SignedToken | _MissingKey | Refusal":
        remembered = self._remembered.get(digest)
        self._observer.remembered(hit=remembered is not None)
        if remembered is not None:
            key_set = keys.usable(remembered.trust.name, now)
            if key_set is not None and remembered.key in key_set.keys:
                payload = load_again(remembered.payload)
                return SignedToken(remembered.trust, payload, digest[:8].hex())
            self._remembered.forget(digest)

        token = jws.parse(text, self._settings.maximum_token_bytes)
        if isinstance(token, Refusal):
            return token
        trust = self._trust.select(token)
        if isinstance(trust, Refusal):
            return trust
        key = _verifying_key(token, trust, keys, now)
        if isinstance(key, Refusal):
            self._observer.verified(trust.name, key.reason.label)
            return key
        if isinstance(key, _MissingKey):
            return key
        self._remembered.add(digest, Remembered(trust, key, token.payload))
        return SignedToken(trust, token.claims, digest[:8].hex())


class _MissingKey(NamedTuple):
    trust: str
    kid: str
    detail: str


def _verifying_key(
    token: jws.UnverifiedToken, trust: TrustEntry, keys: KeySnapshot, now: float
) -> VerificationKey | _MissingKey | Refusal:
    header = token.header
    if header.algorithm not in trust.algorithms:
        return Refusal(
            Reason.ALGORITHM_NOT_ALLOWED, f"{trust.name} allows: {_listed(trust.algorithms)}"
        )
    key_set = keys.usable(trust.name, now)
    if key_set is None:
        return Refusal(
            Reason.KEYS_UNAVAILABLE, f"the keys of {trust.name} were never read or are too old"
        )
    for key in key_set.candidates(header.kid, header.algorithm):
        if signature.holds(header.algorithm, key.public_key, token.signing_input, token.signature):
            return key
    if header.kid is not None and not key_set.knows(header.kid):
        return _MissingKey(trust.name, header.kid, f"{trust.name} has no key of this id")
    if not key_set.candidates(header.kid, header.algorithm):
        return Refusal(Reason.ALGORITHM_NOT_ALLOWED, f"no key of {trust.name} is for it")
    return Refusal(Reason.BAD_SIGNATURE)


def _facts(request: RequestView, route: Route, path: str) -> Mapping[str, object]:
    return {
        "method": request.method,
        "host": request.host,
        "path": path,
        "params": route.parameters(path),
        "caller": request.principal,
    }


def _no_route(request: RequestView) -> Refusal:
    if request.route is not None:
        return Refusal(
            Reason.NO_ROUTE, "Envoy's context_extensions name a route that is not configured"
        )
    return Refusal(Reason.NO_ROUTE)


def _deny(
    refusal: Refusal,
    route: Route | None = None,
    fingerprint: str = "",
    token: VerifiedToken | None = None,
) -> Deny:
    name = route.name if route is not None else None
    return Deny(refusal.reason, name, refusal.detail, fingerprint, token, refusal.scopes)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
