"""A small service with its issuers, keys and routes: what the tests of the check start from.

Time stands still at ``NOW``.
"""

import json
from dataclasses import replace
from typing import Any

from sidecar.check import jws
from sidecar.check.conditions import Condition
from sidecar.check.cookies import TokenCookies
from sidecar.check.extract import TokenSource, cookie_finder
from sidecar.check.pipeline import Pipeline
from sidecar.check.routes import Match, Route
from sidecar.check.rules import AnyGroup, AnyRole, Callers, Rule, Scopes, TokenKinds, When
from sidecar.check.templates import PathTemplate
from sidecar.jose import algorithms
from sidecar.jose.algorithms import SUPPORTED_ALGORITHMS
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import parse
from sidecar.model import (
    LATE,
    Allow,
    Decision,
    Deny,
    KeyQuestion,
    Pending,
    Reason,
    RequestView,
    TokenKind,
)
from sidecar.snapshots.keys import KeySet, KeySnapshot
from tests.support import tokens
from tests.support.settings import check_settings, identity_settings, trust_entry
from tests.support.tokens import Json, SigningKey, key_for

NOW = 1_800_000_000.0
HOST = "orders.shop.test"
ISSUER = "https://gateway.shop.test"
CLUSTER_ISSUER = "https://kubernetes.default.svc"

GATEWAY = trust_entry(
    name="gateway",
    kind=TokenKind.REQUEST,
    issuer=ISSUER,
    audiences=frozenset({"orders"}),
    algorithms=SUPPORTED_ALGORITHMS,
    types=frozenset({"at+jwt"}),
    leeway=10.0,
    required_claims=(),
)
CLUSTER = trust_entry(
    name="cluster",
    kind=TokenKind.WORKLOAD,
    issuer=CLUSTER_ISSUER,
    audiences=frozenset({"orders"}),
    algorithms=frozenset({"RS256"}),
    types=frozenset({None}),
    leeway=0.0,
    required_claims=(),
    subjects=("system:serviceaccount:shop:*",),
)
IDENTITY = identity_settings(
    headers=(
        ("x-user-id", ("sub",)),
        ("x-user-groups", ("groups",)),
        ("x-user-scopes", ("scope",)),
    ),
    strip=("x-internal",),
)


REQUEST_TOKENS = TokenKinds(frozenset({TokenKind.REQUEST}))


def route(
    name: str,
    path: str | None = None,
    *rules: Rule,
    public: bool = False,
    optional: bool = False,
    methods: tuple[str, ...] = (),
    hosts: tuple[str, ...] = (),
    encoded_slashes: bool = False,
    headers: tuple[str, ...] = (),
) -> Route:
    """A route that asks for a request token and nothing else, unless told otherwise."""
    match = (
        None
        if path is None
        else Match(PathTemplate.parse(path), frozenset(methods), frozenset(hosts), encoded_slashes)
    )
    kinds = () if any(isinstance(each, TokenKinds) for each in rules) else (REQUEST_TOKENS,)
    return Route(name, match, (*kinds, *rules), public, optional, headers)


ROUTES = (
    route("health", "/healthz", public=True),
    route("read-order", "/orders/{id}", Scopes(("orders:read",)), methods=("GET",)),
    route(
        "own-orders",
        "/customers/{customer}/orders",
        When(Condition("claims.sub == request.params.customer")),
    ),
    route("catalogue", "/catalogue/**", optional=True),
    route("jobs", "/jobs", TokenKinds(frozenset({TokenKind.WORKLOAD}))),
    route("mesh", "/mesh", Callers(("spiffe://shop/ns/orders/*",))),
    route("staff", "/staff", AnyRole(frozenset({"clerk", "manager"}))),
    route("team", "/team", AnyGroup(frozenset({"sales"}))),
)


def claims(**changes: Any) -> Json:
    """The claims of a token of the gateway; one given as None is left out."""
    usual = {"issuer": ISSUER, "audience": "orders", "subject": "alice", "scope": "orders:read"}
    return tokens.claims(**{**usual, "now": NOW, **changes})


def token(key: SigningKey | None = None, **changes: Any) -> str:
    """A token of the gateway with these claims changed."""
    return tokens.sign(claims(**changes), key or key_for("ES256"))


def workload_token(key: SigningKey | None = None, **changes: Any) -> str:
    """A token of the cluster, which has no typ."""
    subject = "system:serviceaccount:shop:billing"
    document = claims(**{"issuer": CLUSTER_ISSUER, "subject": subject, "scope": None, **changes})
    return tokens.sign(document, key or key_for("RS256"), typ=None)


def verification_keys(*published: SigningKey | Json) -> tuple[VerificationKey, ...]:
    """What a verifier makes of these keys, or JWKs, once they are published."""
    jwks = [key.jwk() if isinstance(key, SigningKey) else key for key in published]
    return parse(json.dumps({"keys": jwks}).encode()).keys


def signed_with(key: VerificationKey, token: str) -> bool:
    """Whether the token names this key and one of its algorithms, and its signature holds."""
    parsed = jws.parse(token, 8192)
    assert isinstance(parsed, jws.UnverifiedToken), parsed
    algorithm = parsed.header.algorithm
    return (
        parsed.header.kid == key.kid
        and algorithm in key.algorithms
        and algorithms.verify(algorithm, key.public_key, parsed.signing_input, parsed.signature)
    )


def key_set(*published: SigningKey | Json, usable_until: float = NOW + 3600) -> KeySet:
    return KeySet.of(verification_keys(*published), usable_until)


def snapshot(*gateway: SigningKey | Json) -> KeySnapshot:
    """The gateway's keys (the shared ES256 key if none is given) and the cluster's."""
    return KeySnapshot(
        {
            "gateway": key_set(*(gateway or (key_for("ES256"),))),
            "cluster": key_set(key_for("RS256")),
        }
    )


def request(
    bearer: str | bytes | None = None,
    *,
    method: str = "GET",
    path: str = "/orders/7",
    host: str = HOST,
    headers: tuple[tuple[str, bytes], ...] = (),
    principal: str = "",
    route: str | None = None,
) -> RequestView:
    """A request; ``bearer`` goes into its Authorization header."""
    if bearer is not None:
        text = bearer if isinstance(bearer, bytes) else bearer.encode()
        headers = (*headers, ("authorization", b"Bearer " + text))
    return RequestView(method, path, host, headers, principal, route)


def token_cookies(view: RequestView, *sources: TokenSource) -> TokenCookies:
    """The cookies among ``sources`` that a request has."""
    cookies = cookie_finder(sources, 1024).find(view)
    assert isinstance(cookies, TokenCookies), cookies
    return cookies


def key_question(verdict: object) -> KeyQuestion:
    """The key that a check waits for."""
    assert isinstance(verdict, Pending), verdict
    assert isinstance(verdict.question, KeyQuestion), verdict
    return verdict.question


def key_unknown(verdict: object, now: float = NOW) -> Decision:
    """What the check comes to when its key was looked for and is not there."""
    assert key_question(verdict)
    return _resumed(verdict, None, now)


def keys_unavailable(verdict: object, now: float = NOW) -> Decision:
    """What the check comes to when its key could not be looked for in time."""
    assert key_question(verdict)
    return _resumed(verdict, LATE, now)


def _resumed(verdict: object, answer: object, now: float) -> Decision:
    assert isinstance(verdict, Pending)
    decision = verdict.resume(answer, now)
    assert isinstance(decision, Allow | Deny), decision
    return decision


class Recorder:
    """Keeps what the pipeline reports."""

    def __init__(self) -> None:
        self.verifications: list[tuple[str, str]] = []
        self.lookups: list[bool] = []

    def verified(self, trust: str, result: str) -> None:
        self.verifications.append((trust, result))

    def remembered(self, *, hit: bool) -> None:
        self.lookups.append(hit)


class Service:
    """The small service's check. The keys it knows may be replaced between two requests."""

    def __init__(self, keys: KeySnapshot | None = None, **settings: Any) -> None:
        usual = check_settings(trust=(GATEWAY, CLUSTER), routes=ROUTES, identity=IDENTITY)
        self.observer = Recorder()
        self.keys = keys or snapshot()
        self.pipeline = Pipeline(replace(usual, **settings), self.observer)

    def check(self, view: RequestView, *, now: float = NOW) -> Decision | Pending[Decision]:
        return self.pipeline.check(view, self.keys, now)

    def reason(self, view: RequestView, *, now: float = NOW) -> Reason:
        """Why the request was let through or refused; a key that is needed is never found."""
        result = self.check(view, now=now)
        if isinstance(result, Pending):
            there = self.keys.usable(key_question(result).trust, now) is not None
            return (key_unknown(result, now) if there else keys_unavailable(result, now)).reason
        return result.reason

    def allow(self, view: RequestView) -> Allow:
        result = self.check(view)
        assert isinstance(result, Allow), result
        return result

    def deny(self, view: RequestView) -> Deny:
        result = self.check(view)
        assert isinstance(result, Deny), result
        return result
