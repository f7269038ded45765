"""Whatever a client brings, what goes on is one token of ours within its rights, and no other."""

import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.check.patterns import matches_any
from sidecar.check.verifier import Verifier
from sidecar.clients.http import Response
from sidecar.gateway.settings import Attributes
from sidecar.model import Allow, Decision, Deny, Reason, RequestView, VerifiedToken
from sidecar.session import answers
from sidecar.session.settings import SecretAuthentication
from sidecar.snapshots.keys import KeySnapshot
from tests.property.test_jws import almost_tokens, json_values, tokens
from tests.property.test_path import paths
from tests.support.checks import GATEWAY, NOW, Recorder, key_set
from tests.support.gateways import (
    ATTRIBUTES,
    HOST,
    KEY,
    ORDERS,
    PARTNER_ISSUER,
    Gateway,
    partner_token,
    request,
)
from tests.support.minting import ISSUER, SETTINGS, claims_of
from tests.support.settings import introspection_settings
from tests.support.tokens import claims, key_for, sign

BFF = "spiffe://shop/ns/web/sa/bff"
TOKENS = replace(
    SETTINGS,
    actors=(BFF,),
    claims=(("owner", ("sub",)), ("organisation", ("org", "id")), ("all", ("org",))),
)
BROUGHT = {
    **ATTRIBUTES,
    "mobile": Attributes(
        ("customer", "acme-*"), ("books",), (("auth_time",), ("org", "id"), ("org",))
    ),
}
SSO = introspection_settings("sso", "https://sso.test/", SecretAuthentication("us", Path("unused")))
SERVICE_KEYS = KeySnapshot({"gateway": key_set(dict(KEY.jwk))})
SHOP = Gateway(request_tokens=TOKENS)
SECRETS = {"sso_session": "alice-at-sso", "__Host-session": SHOP.session()}
PARTNER = partner_token()
OWNED = {"authorization", "proxy-authorization", "txn-token", "x-user-id"}

# What an issuer may say of somebody: anything at all, and what comes close to what is expected.
said = st.dictionaries(
    st.sampled_from(
        [
            *("sub", "scope", "groups", "roles", "exp", "iat", "act", "client_id", "azp"),
            *("auth_time", "acr", "amr", "org", "aud", "iss", "jti", "txn", "may_act", "cnf"),
        ]
    ),
    json_values
    | st.floats(NOW - 20, NOW + 100)
    | st.sampled_from(["payments:pay", "orders:read\nadmin", ["orders:read admin", "admin"], BFF])
    | st.just(["customer", "acme-clerk", "acme-a/b", "support", "books"])
    | st.fixed_dictionaries({"sub": st.just(BFF) | json_values}, optional={"act": json_values}),
    max_size=4,
)
principals = st.sampled_from(["", BFF, "spiffe://shop/ns/web/sa/other"]) | st.text(max_size=8)

spaces = st.text(" \t", max_size=2)
cookies = st.one_of(
    st.sampled_from(sorted(SECRETS.items())),
    st.tuples(st.sampled_from(["theme", "SSO_SESSION", "$Version", ""]), st.text(max_size=9)),
    st.tuples(st.text(max_size=9), st.sampled_from(['"a', "", "=", "\xe9"])),
)
cookie_lines = st.lists(
    st.tuples(spaces, cookies, spaces).map(
        lambda parts: f"{parts[0]}{parts[1][0]}{parts[2]}={parts[1][1]}"
    ),
    max_size=4,
).map("; ".join)
credentials = st.sampled_from(["Bearer ", "bearer  ", "Basic ", ""]).flatmap(
    lambda scheme: (st.just(PARTNER) | almost_tokens | tokens | st.text()).map(scheme.__add__)
)
fields = st.one_of(
    st.tuples(st.just("cookie"), cookie_lines),
    st.tuples(st.just("authorization"), credentials),
    st.tuples(
        st.sampled_from(
            [
                *("txn-token", "txn_token", "txn.token", "x-user-id", "x_user-id", "x~user|id"),
                *("proxy-authorization", "proxy.authorization", "connection", "upgrade", "origin"),
            ]
        )
        | st.text(max_size=8),
        st.text(max_size=20),
    ),
)
views = st.builds(
    RequestView,
    method=st.sampled_from(["GET", "POST", "CONNECT"]) | st.text(max_size=5),
    path=st.sampled_from(["/healthz", "/orders/7", "/catalogue/a", "/customers/bob"]) | paths,
    host=st.just(HOST) | st.text(max_size=8),
    headers=st.lists(fields, max_size=5).map(
        lambda lines: tuple((name, value.encode("utf-8", "replace")) for name, value in lines)
    ),
    principal=principals,
)


def minted(allow: Allow) -> VerifiedToken:
    """The token that the service gets, which its sidecar accepts."""
    (value,) = [value for name, value in allow.headers.overwrite if name == "authorization"]
    text = value.removeprefix("Bearer ")
    service = Verifier(
        (GATEWAY,),
        Recorder(),
        token_bytes=len(text),
        token_values=400,
        remembered_tokens=1,
    )
    token = service.verify(text, sha256(text.encode()).digest(), SERVICE_KEYS, NOW)
    assert isinstance(token, VerifiedToken), token
    return token


def assert_within(decision: Decision) -> None:
    """A denial, or a token that is within the grant and what the credential carries."""
    if isinstance(decision, Deny):
        return
    token, behind = minted(decision), decision.token
    assert behind is not None
    assert (token.issuer, token.subject) == (ISSUER, behind.subject)
    assert token.claims["aud"] == list(ORDERS.audiences)
    assert token.scopes <= ORDERS.scopes & behind.scopes
    assert (token.groups, token.roles) == (behind.groups, behind.roles)
    ends, latest = token.claims["exp"], behind.claims.get("exp", NOW + 60)
    assert isinstance(ends, int)
    assert isinstance(latest, int | float)
    assert NOW < ends <= min(NOW + 60, latest)
    assert all(token.claims[name] != behind.claims.get(name) for name in ("jti", "txn"))


def downstream(view: RequestView, allow: Allow) -> list[tuple[str, bytes]]:
    """The headers that reach the service, as Envoy makes them."""
    replaced = dict(allow.headers.overwrite)
    gone = {*replaced, *allow.headers.remove}
    kept = [(name, value) for name, value in view.headers if name not in gone]
    return [*kept, *((name, value.encode()) for name, value in replaced.items())]


@given(said, principals)
@example({"act": {"sub": BFF}}, "")
@example({"act": {"sub": BFF}}, BFF)
def test_no_claims_of_a_jwt_widen_what_the_service_gets(
    changes: dict[str, object], principal: str
) -> None:
    usual = claims(issuer=PARTNER_ISSUER, audience=ISSUER, subject="bob", now=NOW)
    document = {**usual, "scope": "orders:read", **changes}
    bearer = sign(document, key_for("ES256"), typ="JWT")

    gateway = Gateway(request_tokens=TOKENS, attributes=BROUGHT)
    decision = gateway.decide(request(bearer=bearer, principal=principal))

    assert_within(decision)
    if isinstance(decision, Allow):
        token = minted(decision)
        assert token.subject == f"partner:{document['sub']}" == token.claims["owner"]
        # Nobody acts for somebody but a workload of ours that calls.
        assert token.claims.get("act") == ({"sub": BFF} if principal == BFF else None)
        may_bring = BROUGHT["mobile"]
        assert may_bring is not None
        assert all(matches_any(may_bring.roles, role) for role in token.roles)
        assert token.groups <= {"books"}
        assert token.claims.keys().isdisjoint({"acr", "amr", "may_act", "cnf"})
        assert str(token.claims["client_id"]).startswith("partner")


@given(said, principals)
def test_no_answer_about_a_session_widens_what_the_service_gets(
    changes: dict[str, object], principal: str
) -> None:
    document = {"active": True, "sub": "alice", "scope": "orders:read", **changes}
    gateway = Gateway(request_tokens=TOKENS)
    gateway.sso.sessions.clear()
    try:
        answer = Response(200, {}, json.dumps(document).encode())
        found = answers.read(answer, SSO, "0123456789abcdef", NOW)
    except answers.UnusableAnswer:
        return
    if isinstance(found, VerifiedToken):
        gateway.sso.sessions["alice-at-sso"] = found

    assert_within(gateway.decide(request(sso="alice-at-sso", principal=principal)))


@given(views)
@example(request(sso="alice-at-sso"))
@example(request(session=SECRETS["__Host-session"]))
@example(request(bearer=PARTNER))
@example(request(bearer=PARTNER, headers=(("txn-token", b"eyJ"), ("x_user-id", b"root"))))
@example(request("/healthz", sso="alice-at-sso", session="x", bearer=PARTNER))
def test_of_what_a_client_sends_no_credential_and_no_header_of_ours_goes_on(
    view: RequestView,
) -> None:
    decision = SHOP.decide(view)

    if isinstance(decision, Allow):
        arrives = downstream(view, decision)
        ours = [name for name, _ in arrives if re.sub("[^a-z0-9]", "-", name) in OWNED]
        authorized = decision.reason is Reason.AUTHORIZED
        assert ours == (["authorization"] if authorized else [])
        for secret in (*SECRETS.values(), PARTNER):
            assert not any(secret.encode() in value for _, value in arrives)
        for name, value in arrives:
            assert name != "connection" or value == b"upgrade"
            if name == "cookie":
                names = {
                    pair.partition(b"=")[0].strip() for pair in value.split(b";") if b"=" in pair
                }
                assert names.isdisjoint(map(str.encode, SECRETS))
        if authorized:
            assert minted(decision).subject in {"alice", "partner:bob"}
            assert claims_of(PARTNER)["sub"] == "bob"
