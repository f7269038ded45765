from dataclasses import replace
from typing import Any

import pytest

from sidecar.model import LATE, Deny, KeyQuestion, Pending, Reason, RequestView
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing, begin
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from sidecar.snapshots.keys import KeySnapshot
from tests.support.checks import NOW, key_question, key_set, key_unknown, keys_unavailable
from tests.support.gateways import Gateway, partner_token, request
from tests.support.minting import ISSUER, SETTINGS, claims_of, credential, read, ring
from tests.support.tokens import key_for, new_key

SSO = "alice-at-sso"
BFF = "spiffe://shop/ns/web/sa/bff"


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def credentials(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """Each credential alone, as arguments of ``request``."""
    return {
        "sso": {"sso": SSO},
        "mobile": {"bearer": partner_token()},
        "session": {"session": gateway.session()},
    }


@pytest.mark.parametrize("kind", ["sso", "mobile", "session"])
def test_every_credential_buys_a_fresh_token_each_time(gateway: Gateway, kind: str) -> None:
    view = request(**credentials(gateway)[kind])

    tokens = {gateway.token(view) for _ in range(10)}

    assert len(tokens) == 10
    for token in tokens:
        document = claims_of(token)
        assert (document["iss"], document["aud"]) == (ISSUER, ["orders", "payments"])
        assert document["scope"] == "orders:read"
        assert read(token).header.type == "at+jwt"


def test_the_subject_is_the_one_behind_the_credential(gateway: Gateway) -> None:
    found = {
        kind: claims_of(gateway.token(request(**carried)))["sub"]
        for kind, carried in credentials(gateway).items()
    }

    assert found == {"sso": "alice", "mobile": "partner:bob", "session": "alice"}


@pytest.mark.parametrize("kind", ["sso", "mobile", "session"])
@pytest.mark.parametrize("path", ["/orders/7", "/catalogue/toys", "/healthz"])
def test_no_credential_goes_downstream(gateway: Gateway, kind: str, path: str) -> None:
    others = (("x-user-id", b"root"), ("txn-token", b"eyJ"), ("accept", b"*/*"))
    carried = credentials(gateway)[kind]
    view = request(path, headers=(*others, ("cookie", b"theme=dark")), **carried)

    changes = gateway.allow(view).headers

    kept = [name for name, _ in view.headers if name not in changes.remove]
    overwritten = dict(changes.overwrite)
    assert {"x-user-id", "txn-token"} <= set(changes.remove)
    assert "accept" in kept
    assert overwritten.get("cookie", "theme=dark") == "theme=dark"
    if kind != "mobile":
        assert overwritten["cookie"] == "theme=dark"
    assert ("authorization" in changes.remove) != ("authorization" in overwritten)
    assert next(iter(carried.values())) not in str(changes.overwrite)


def test_a_token_sent_by_the_client_is_taken_away_where_none_is_minted(gateway: Gateway) -> None:
    view = request("/healthz", bearer="eyJ.internal.token")

    assert "authorization" in gateway.allow(view).headers.remove


def test_anonymous_requests_go_on_without_any_token(gateway: Gateway) -> None:
    allow = gateway.allow(request("/catalogue/toys"))

    assert allow.reason is Reason.ANONYMOUS
    assert allow.headers.overwrite == ()
    assert "authorization" in allow.headers.remove


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (request(), Reason.NO_CREDENTIAL),
        (request("/nowhere"), Reason.NO_ROUTE),
        (request("/orders//7"), Reason.UNSAFE_PATH),
        (request(sso=""), Reason.NO_CREDENTIAL),
        (request(session=""), Reason.NO_CREDENTIAL),
        (request("/catalogue/toys", sso="", session=""), Reason.ANONYMOUS),
        (request(sso="", bearer=partner_token()), Reason.AUTHORIZED),
        (request(session="", sso=SSO), Reason.AUTHORIZED),
        (request(bearer=""), Reason.MALFORMED_TOKEN),
        (request(sso="nobody"), Reason.INACTIVE_SESSION),
        (request("/catalogue/toys", sso="nobody"), Reason.INACTIVE_SESSION),
        (request(bearer="nonsense"), Reason.MALFORMED_TOKEN),
        (request(bearer=partner_token(lifetime=-60)), Reason.EXPIRED),
        (request(bearer=partner_token(issuer="https://evil.example")), Reason.UNTRUSTED_ISSUER),
        (request(bearer=partner_token(audience="orders")), Reason.WRONG_AUDIENCE),
        (request(session="nonsense"), Reason.INVALID_SESSION),
        (request(bearer=partner_token(subject=None)), Reason.INVALID_CLAIM),
        (request(bearer=partner_token(subject="")), Reason.INVALID_CLAIM),
        (request("/staff", bearer=partner_token()), Reason.TOKEN_KIND_NOT_ACCEPTED),
        (request("/read", bearer=partner_token(scope="other")), Reason.INSUFFICIENT_SCOPE),
        (request("/customers/bob", sso=SSO), Reason.CONDITION_NOT_MET),
        (request("/customers/alice", sso=SSO), Reason.AUTHORIZED),
        (request("/staff", sso=SSO), Reason.AUTHORIZED),
        (request(headers=(("authorization", b"Basic eDp5"),)), Reason.UNSUPPORTED_SCHEME),
    ],
)
def test_what_is_decided(gateway: Gateway, view: RequestView, expected: Reason) -> None:
    assert gateway.reason(view) is expected


def test_two_credentials_at_once_are_ambiguous(gateway: Gateway) -> None:
    session, bearer = gateway.session(), partner_token()
    pairs: list[dict[str, Any]] = [
        {"sso": SSO, "bearer": bearer},
        {"sso": SSO, "session": session},
        {"session": session, "bearer": bearer},
        {"sso": SSO, "headers": (("cookie", b"sso_session=other"),)},
        {"sso": SSO, "headers": (("cookie", b"sso_session="),)},
        {"session": session, "headers": (("cookie", b"__Host-session="),)},
        {"bearer": bearer, "headers": (("authorization", b""),)},
        {"session": session, "headers": (("cookie", b"__Host-session=" + session.encode()),)},
        {"bearer": bearer, "headers": (("authorization", b"Bearer " + bearer.encode()),)},
        {"sso": SSO, "bearer": "nonsense"},
    ]

    assert {gateway.reason(request(**pair)) for pair in pairs} == {Reason.AMBIGUOUS_REQUEST}
    assert gateway.sso.asked == 0


@pytest.mark.parametrize("path", ["/orders/7", "/healthz", "//"])
def test_a_request_with_too_many_cookies_goes_nowhere(path: str) -> None:
    view = request(path, headers=(("cookie", b"a;" * 1024),))

    assert Gateway().deny(view) == Deny(
        Reason.REQUEST_TOO_LARGE, detail="it has more than 1024 cookies"
    )


def test_a_credential_that_only_buys_sessions_is_none_on_a_request() -> None:
    gateway = Gateway(exchange_only=frozenset({"sso"}))
    session = gateway.session()

    assert gateway.reason(request(sso=SSO)) is Reason.NO_CREDENTIAL
    allow = gateway.allow(request(sso=SSO, session=session))
    assert "cookie" in allow.headers.remove
    assert gateway.sso.asked == 0


def test_another_sites_page_cannot_use_the_cookie(gateway: Gateway) -> None:
    evil = (("origin", b"https://evil.example"),)

    assert gateway.reason(request(method="POST", sso=SSO, headers=evil)) is (
        Reason.CROSS_SITE_REQUEST
    )
    assert gateway.sso.asked == 0
    assert gateway.reason(request(method="POST", bearer=partner_token(), headers=evil)) is (
        Reason.AUTHORIZED
    )


def test_what_the_issuer_has_to_be_asked_is_waited_for(gateway: Gateway) -> None:
    gateway.sso.slow = True

    assert isinstance(gateway.check(request(sso=SSO)), Pending)
    assert gateway.reason(request(sso=SSO)) is Reason.AUTHORIZED
    assert gateway.reason(request(sso="nobody")) is Reason.INACTIVE_SESSION


def test_an_issuer_that_is_too_slow_is_a_503(gateway: Gateway) -> None:
    gateway.sso.slow = True

    pending = gateway.check(request(sso=SSO))

    assert isinstance(pending, Pending)
    late = pending.resume(LATE, NOW)
    assert isinstance(late, Deny)
    assert late.reason is Reason.INTROSPECTION_UNAVAILABLE
    assert (late.route, bool(late.fingerprint)) == ("orders", True)


def test_an_unknown_key_is_asked_for_as_at_a_sidecar(gateway: Gateway) -> None:
    stranger = new_key("ES256", "stranger")

    needed = gateway.check(request(bearer=partner_token(stranger)))

    assert key_question(needed) == KeyQuestion("partner", "stranger")
    assert key_unknown(needed).route == "orders"
    gateway.keys = KeySnapshot({"partner": key_set(key_for("ES256"), stranger)})
    assert gateway.reason(request(bearer=partner_token(stranger))) is Reason.AUTHORIZED


def test_a_token_without_a_subject_is_refused_after_its_key_was_waited_for_too(
    gateway: Gateway,
) -> None:
    stranger = new_key("ES256", "stranger")

    waiting = gateway.check(request(bearer=partner_token(stranger, subject=None)))

    assert isinstance(waiting, Pending)
    there = KeySnapshot({"partner": key_set(key_for("ES256"), stranger)})
    denied = waiting.resume(there, NOW)
    assert isinstance(denied, Deny)
    assert (denied.reason, denied.detail) == (Reason.INVALID_CLAIM, "sub is missing")


def test_where_there_are_no_keys_they_are_asked_for_as_at_a_sidecar(gateway: Gateway) -> None:
    gateway.keys = KeySnapshot()

    needed = gateway.check(request(bearer=partner_token()))

    assert key_question(needed) == KeyQuestion("partner", key_for("ES256").kid)
    assert keys_unavailable(needed).reason is Reason.KEYS_UNAVAILABLE


def test_without_a_key_to_sign_with_only_minting_fails(gateway: Gateway) -> None:
    gateway.ring = KeyRing(Timings(), ())

    assert gateway.reason(request(sso=SSO)) is Reason.SIGNING_UNAVAILABLE
    assert gateway.reason(request("/healthz")) is Reason.PUBLIC
    assert gateway.reason(request("/catalogue/toys")) is Reason.ANONYMOUS
    assert gateway.reason(request(sso="nobody")) is Reason.INACTIVE_SESSION


def test_a_caller_is_named_as_the_actor_where_the_configuration_lists_it() -> None:
    gateway = Gateway(request_tokens=replace(SETTINGS, actors=(BFF,)))

    document = claims_of(gateway.token(request(sso=SSO, principal=BFF)))

    assert (document["sub"], document["act"]) == ("alice", {"sub": BFF})


def test_the_rules_and_the_service_see_the_prefixed_subject() -> None:
    gateway = Gateway(request_tokens=replace(SETTINGS, claims=(("owner", ("sub",)),)))
    bob = request("/customers/bob", bearer=partner_token())
    same = request("/customers/partner%3Abob", bearer=partner_token())

    # The shop has a bob of its own.
    assert gateway.reason(bob) is Reason.CONDITION_NOT_MET
    document = claims_of(gateway.token(same))
    assert (document["sub"], document["owner"]) == ("partner:bob", "partner:bob")


@pytest.mark.parametrize("kind", ["sso", "mobile", "session"])
def test_no_issuer_names_an_actor_of_ours(gateway: Gateway, kind: str) -> None:
    gateway.sso.sessions[SSO] = credential({"act": {"sub": BFF}})
    carried: dict[str, Any] = {
        "sso": {"sso": SSO},
        "mobile": {"bearer": partner_token(act={"sub": BFF})},
        "session": {"session": gateway.session(credential({"act": {"sub": BFF}}))},
    }[kind]

    assert "act" not in claims_of(gateway.token(request(**carried)))


def test_a_partners_token_carries_what_is_declared_and_nothing_else(gateway: Gateway) -> None:
    brought = partner_token(
        roles=["support", "acme-clerk", "customer"],
        groups=["staff", "books"],
        acr="gold",
        amr=["pwd"],
        auth_time=NOW - 5,
        department="toys",
        client_id="login-page",
    )
    gateway = Gateway(request_tokens=replace(SETTINGS, claims=(("department", ("department",)),)))

    document = claims_of(gateway.token(request(bearer=brought)))

    assert document["roles"] == ["acme-clerk", "customer"]
    assert document["groups"] == ["books"]
    assert document["auth_time"] == NOW - 5
    assert document["client_id"] == "partner:login-page"
    assert document.keys().isdisjoint({"acr", "amr", "department"})


@pytest.mark.parametrize("roles", [["support"], ["customer"]])
def test_a_routes_rule_sees_the_roles_that_may_be_brought(
    gateway: Gateway, roles: list[str]
) -> None:
    expected = Reason.AUTHORIZED if roles == ["customer"] else Reason.MISSING_ROLE

    assert gateway.reason(request("/desk", bearer=partner_token(roles=roles))) is expected


def test_only_who_may_say_so_was_authenticated_well_and_just_now(gateway: Gateway) -> None:
    said: dict[str, Any] = {"acr": "gold", "auth_time": NOW - 5}
    gateway.sso.sessions[SSO] = credential(said)
    partners = request("/password", bearer=partner_token(**said))

    assert gateway.reason(request("/password", sso=SSO)) is Reason.AUTHORIZED
    # The partner may say when, and not how.
    assert gateway.reason(partners) is Reason.INSUFFICIENT_USER_AUTHENTICATION

    gateway.sso.sessions[SSO] = credential({**said, "auth_time": NOW - 301})
    assert gateway.reason(request("/password", sso=SSO)) is (
        Reason.INSUFFICIENT_USER_AUTHENTICATION
    )


def test_a_condition_sees_nothing_that_is_not_declared(gateway: Gateway) -> None:
    partners = request("/attributed", bearer=partner_token(department="toys", act={"sub": BFF}))
    gateway.sso.sessions[SSO] = credential({"department": "toys"})

    assert gateway.reason(partners) is Reason.CONDITION_NOT_MET
    assert gateway.reason(request("/attributed", sso=SSO)) is Reason.AUTHORIZED


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        (("eu",), Reason.AUTHORIZED),
        (("us",), Reason.CONDITION_NOT_MET),
        ((), Reason.CONDITION_FAILED),
        (("eu", "us"), Reason.AMBIGUOUS_REQUEST),
        (("eu,us",), Reason.AMBIGUOUS_REQUEST),
    ],
)
def test_a_condition_sees_the_headers_that_its_route_declares(
    gateway: Gateway, regions: tuple[str, ...], expected: Reason
) -> None:
    gateway.sso.sessions[SSO] = credential(groups=frozenset({"eu", "eu,us"}))
    headers = tuple(("x-region", each.encode()) for each in regions)

    assert gateway.reason(request("/region", sso=SSO, headers=headers)) is expected


def test_services_read_no_other_spelling_of_a_header_that_conditions_read(
    gateway: Gateway,
) -> None:
    gateway.sso.sessions[SSO] = credential(groups=frozenset({"eu"}))
    headers = (("x-region", b"eu"), ("x_region", b"us"), ("connection", b"x-region"))

    changes = gateway.allow(request("/region", sso=SSO, headers=headers)).headers

    assert {"x_region", "connection"} <= {*changes.remove}
    assert "x-region" not in {*changes.remove, *dict(changes.overwrite)}


def test_a_session_in_use_is_prolonged(gateway: Gateway) -> None:
    session = gateway.session()

    assert gateway.allow(request(session=session), now=NOW + 59).headers.cookie == ""
    cookie = gateway.allow(request(session=session), now=NOW + 61).headers.cookie
    assert cookie.startswith("__Host-session=")
    assert session not in cookie


def test_a_session_is_not_prolonged_by_what_is_denied(gateway: Gateway) -> None:
    denied = gateway.deny(request("/staff", session=gateway.session()), now=NOW + 61)

    assert (denied.reason, denied.cookie) == (Reason.TOKEN_KIND_NOT_ACCEPTED, "")


def test_a_browser_is_told_to_forget_a_session_that_has_ended(gateway: Gateway) -> None:
    denied = gateway.deny(request(session=gateway.session()), now=NOW + 1801)

    assert denied.reason is Reason.EXPIRED
    assert denied.cookie.startswith("__Host-session=; ")
    assert "Max-Age=0" in denied.cookie


def test_a_session_that_only_this_replica_cannot_open_stays_with_the_browser(
    gateway: Gateway,
) -> None:
    session = gateway.session()
    gateway.sealing = begin(SealingKey.generate(), TIMINGS, NOW)

    denied = gateway.deny(request(session=session))

    assert (denied.reason, denied.cookie) == (Reason.INVALID_SESSION, "")


def test_nobody_elses_cookie_is_touched(gateway: Gateway) -> None:
    assert gateway.deny(request(sso="nobody")).cookie == ""
    assert gateway.allow(request(sso=SSO)).headers.cookie == ""


def test_a_gateway_carries_out_every_denial(gateway: Gateway) -> None:
    denial = Deny(Reason.OVERLOADED)

    assert gateway.pipeline.refuse(request(), denial) is denial


def test_new_request_keys_log_nobody_out(gateway: Gateway) -> None:
    view = request(session=gateway.session())
    before = read(gateway.token(view)).header.kid

    gateway.ring = ring(LocalKey.generate("ES256"))

    assert read(gateway.token(view)).header.kid != before


def test_a_session_without_an_end_of_its_own_gives_tokens_too(gateway: Gateway) -> None:
    gateway.sso.sessions["endless"] = credential()._replace(claims={"sub": "alice"})

    assert claims_of(gateway.token(request(sso="endless")))["exp"] == int(NOW) + 60
