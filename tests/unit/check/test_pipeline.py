from dataclasses import replace

import pytest

from sidecar.check.extract import CookieSource
from sidecar.check.rules import Callers, When
from sidecar.config.condition_fields import compiled
from sidecar.model import Allow, Deny, HeaderChanges, Pending, Reason, RequestView
from tests.support.checks import (
    HOST,
    IDENTITY,
    ISSUER,
    NOW,
    ROUTES,
    Service,
    key_unknown,
    request,
    route,
    token,
    workload_token,
)
from tests.support.settings import identity_settings
from tests.support.tokens import key_for, new_key, resigned

NOBODY = HeaderChanges(
    remove=("proxy-authorization", "x-internal", "x-user-groups", "x-user-id", "x-user-scopes")
)
OTHER_KEY = new_key("ES256", "other")


def test_a_valid_token_becomes_identity_headers() -> None:
    allow = Service().allow(request(token(groups=["sales", "a,b"])))

    assert (allow.reason, allow.route) == (Reason.AUTHORIZED, "read-order")
    assert allow.headers == HeaderChanges(
        overwrite=(
            ("x-user-id", "alice"),
            ("x-user-groups", "sales,a%2Cb"),
            ("x-user-scopes", "orders:read"),
        ),
        remove=("proxy-authorization", "x-internal"),
    )
    assert allow.token is not None
    assert allow.token.subject == "alice"
    assert allow.would_deny is None


def test_a_public_route_looks_at_no_credential() -> None:
    allow = Service().allow(request("not a token", path="/healthz"))

    assert allow == Allow(Reason.PUBLIC, "health", NOBODY)


def test_an_optional_route_lets_a_request_without_a_credential_through() -> None:
    service = Service()

    assert service.allow(request(path="/catalogue/a")) == Allow(
        Reason.ANONYMOUS, "catalogue", NOBODY
    )
    assert service.reason(request(token(), path="/catalogue/a")) is Reason.AUTHORIZED
    assert service.reason(request("bad", path="/catalogue/a")) is Reason.MALFORMED_TOKEN


def test_an_optional_route_still_asks_for_its_callers() -> None:
    service = Service(routes=(route("a", "/a", Callers(("spiffe://shop/a",)), optional=True),))

    assert service.reason(request(path="/a")) is Reason.CALLER_NOT_ALLOWED
    assert service.reason(request(path="/a", principal="spiffe://shop/a")) is Reason.ANONYMOUS


SPIFFE = "spiffe://shop/ns/orders/billing"


BY_TENANT = (
    route(
        "tenant",
        "/logs",
        When(compiled('request.headers["x-scope-orgid"] in claims.tenants')),
        headers=("x-scope-orgid",),
    ),
    route(
        "region",
        "/region",
        When(compiled('!("x-region" in request.headers)')),
        headers=("x-region",),
        optional=True,
    ),
)


@pytest.mark.parametrize(
    ("headers", "reason", "detail"),
    [
        ((("x-scope-orgid", b"a"),), Reason.AUTHORIZED, ""),
        ((("x-scope-orgid", b"z"),), Reason.CONDITION_NOT_MET, ""),
        ((("x-scope-orgid", b"A"),), Reason.CONDITION_NOT_MET, ""),
        ((("x-scope-orgid", b""),), Reason.CONDITION_NOT_MET, ""),
        ((), Reason.CONDITION_FAILED, 'request.headers["x-scope-orgid"] is missing: '),
        ((("x_scope_orgid", b"a"),), Reason.CONDITION_FAILED, 'request.headers["x-scope-orgid"] i'),
        (
            (("x-scope-orgid", b"a"), ("x-scope-orgid", b"z")),
            Reason.AMBIGUOUS_REQUEST,
            "x-scope-orgid is there more than once",
        ),
        (
            (("x-scope-orgid", b"a,z"),),
            Reason.AMBIGUOUS_REQUEST,
            "x-scope-orgid is there more than once",
        ),
    ],
)
def test_a_condition_sees_the_headers_that_its_route_declares(
    headers: tuple[tuple[str, bytes], ...], reason: Reason, detail: str
) -> None:
    view = request(token(tenants=["a", "b"]), path="/logs", headers=headers)

    decision = Service(routes=BY_TENANT).check(view)

    assert isinstance(decision, Allow | Deny)
    assert decision.reason is reason
    assert decision.route == "tenant"
    if isinstance(decision, Deny):
        assert decision.detail.startswith(detail)


def test_an_ambiguous_header_is_refused_without_a_token_too() -> None:
    service = Service(routes=BY_TENANT)
    twice = (("x-region", b"a"), ("x-region", b"b"))

    assert service.reason(request(path="/region")) is Reason.ANONYMOUS
    assert service.reason(request(path="/region", headers=twice[:1])) is Reason.CONDITION_NOT_MET
    assert service.reason(request(path="/region", headers=twice)) is Reason.AMBIGUOUS_REQUEST


def test_a_service_reads_no_other_spelling_of_a_header_that_conditions_read() -> None:
    headers = (("x-scope-orgid", b"a"), ("x_scope.orgid", b"z"))

    allowed = Service(routes=BY_TENANT).allow(
        request(token(tenants=["a"]), path="/logs", headers=headers)
    )

    assert "x_scope.orgid" in allowed.headers.remove
    assert "x-scope-orgid" not in {*allowed.headers.remove, *dict(allowed.headers.overwrite)}


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (request(path="/a//b"), Reason.UNSAFE_PATH),
        (request(token(), path="/nowhere"), Reason.NO_ROUTE),
        (request(token(), method="PATCH"), Reason.NO_ROUTE),
        (request(token(), route="unknown"), Reason.NO_ROUTE),
        (request(), Reason.NO_CREDENTIAL),
        (request(headers=(("authorization", b"Basic x"),)), Reason.UNSUPPORTED_SCHEME),
        (request("a", headers=(("authorization", b"b"),)), Reason.AMBIGUOUS_REQUEST),
        (request("a" * 9000), Reason.TOKEN_TOO_LARGE),
        (request("a.b"), Reason.MALFORMED_TOKEN),
        (request(token(issuer="https://other.test")), Reason.UNTRUSTED_ISSUER),
        (request(workload_token(issuer=ISSUER)), Reason.WRONG_TOKEN_TYPE),
        (request(workload_token(key_for("PS256"))), Reason.ALGORITHM_NOT_ALLOWED),
        (request(resigned(token(), b"\x01" * 64)), Reason.BAD_SIGNATURE),
        (request(token(audience="billing")), Reason.WRONG_AUDIENCE),
        (request(token(exp=NOW - 60)), Reason.EXPIRED),
        (request(token(nbf=NOW + 60)), Reason.NOT_YET_VALID),
        (request(token(exp="soon")), Reason.INVALID_CLAIM),
        (request(workload_token(subject="system:node:a"), path="/jobs"), Reason.UNTRUSTED_SUBJECT),
        (request(workload_token()), Reason.TOKEN_KIND_NOT_ACCEPTED),
        (request(token(), path="/jobs"), Reason.TOKEN_KIND_NOT_ACCEPTED),
        (request(workload_token(), path="/jobs"), Reason.AUTHORIZED),
        (request(token(scope="orders:write")), Reason.INSUFFICIENT_SCOPE),
        (request(token(), path="/customers/alice/orders"), Reason.AUTHORIZED),
        (request(token(), path="/customers/%61lice/orders"), Reason.AUTHORIZED),
        (request(token(), path="/customers/bob/orders"), Reason.CONDITION_NOT_MET),
        (request(token(subject=None), path="/customers/bob/orders"), Reason.CONDITION_FAILED),
        (request(token(), path="/mesh"), Reason.CALLER_NOT_ALLOWED),
        (request(token(), path="/mesh", principal=SPIFFE), Reason.AUTHORIZED),
        (request(token(), path="/staff"), Reason.MISSING_ROLE),
        (request(token(roles=["clerk"]), path="/staff"), Reason.AUTHORIZED),
        (request(token(), path="/team"), Reason.MISSING_GROUP),
        (request(token(groups=["sales"]), path="/team"), Reason.AUTHORIZED),
        (request(token(scope="orders:read " + "x" * 5000)), Reason.AUTHORIZED),
    ],
)
def test_every_step_ends_with_its_own_reason(view: RequestView, reason: Reason) -> None:
    assert Service().reason(view) is reason


def test_an_identity_that_does_not_fit_is_refused() -> None:
    service = Service(identity=replace(IDENTITY, max_bytes=20))

    assert service.reason(request(token())) is Reason.IDENTITY_TOO_LARGE


def test_a_denial_names_the_route_the_token_and_what_would_be_right() -> None:
    deny = Service().deny(request(token(scope="other")))

    assert (deny.route, deny.detail, deny.challenge) == (
        "read-order",
        "missing: orders:read",
        (("scope", "orders:read"),),
    )
    assert deny.token is not None
    assert deny.fingerprint == deny.token.fingerprint
    assert len(deny.fingerprint) == 16


def test_a_token_that_was_not_verified_is_named_by_its_fingerprint_alone() -> None:
    deny = Service().deny(request("not.a.token"))

    assert deny.fingerprint
    assert deny.token is None


def test_envoy_may_name_the_route() -> None:
    service = Service(routes=(*ROUTES, route("by-name")))

    assert service.allow(request(token(), path="/anything", route="by-name")).route == "by-name"
    assert service.reason(request(path="/anything", route="health")) is Reason.PUBLIC
    assert service.reason(request(path="/../x", route="health")) is Reason.UNSAFE_PATH
    assert "context_extensions" in service.deny(request(route="unknown")).detail


def test_a_route_named_by_envoy_lends_no_parameters_to_another_path() -> None:
    view = request(token(), path="/customers/alice/payments", route="own-orders")

    assert Service().reason(view) is Reason.CONDITION_FAILED


def test_a_condition_sees_the_request() -> None:
    service = Service()

    assert service.reason(request(token(), path="/customers/alice/orders")) is Reason.AUTHORIZED
    assert (
        service.reason(request(token(subject="bob"), path="/customers/alice/orders"))
        is Reason.CONDITION_NOT_MET
    )


# What the observer is told.


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        (token(), [("gateway", "valid")]),
        (token(exp=NOW - 60), [("gateway", "expired")]),
        (resigned(token(), b"\x01" * 64), [("gateway", "bad_signature")]),
        (workload_token(key_for("PS256")), [("cluster", "algorithm_not_allowed")]),
        (token(issuer="https://other.test"), []),
        (token(OTHER_KEY), []),
        ("garbage", []),
    ],
    ids=[
        "valid",
        "expired",
        "signature",
        "algorithm",
        "no issuer of ours",
        "no key yet",
        "garbage",
    ],
)
def test_verifications_are_reported_under_a_configured_name_only(
    text: str, reported: list[tuple[str, str]]
) -> None:
    service = Service()
    service.check(request(text))

    assert service.observer.verifications == reported


# Shadow mode.


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (request(), Reason.NO_CREDENTIAL),
        (request(token(), path="/staff"), Reason.MISSING_ROLE),
        (request(path="//"), Reason.UNSAFE_PATH),
    ],
    ids=["no credential", "no role", "no path"],
)
def test_shadow_mode_decides_records_and_lets_through(view: RequestView, reason: Reason) -> None:
    allow = Service(shadow=True).allow(view)

    assert allow.reason is reason
    assert allow.would_deny == Service().deny(view)
    assert allow.headers == NOBODY


def test_shadow_mode_changes_nothing_for_what_is_allowed() -> None:
    text = token()

    assert Service(shadow=True).allow(request(text)) == Service().allow(request(text))


def test_shadow_mode_carries_out_the_verdict_about_a_key_that_was_needed() -> None:
    service = Service(shadow=True)
    view = request(token(OTHER_KEY))
    denied = key_unknown(Service().check(view))
    assert isinstance(denied, Deny)

    carried_out = key_unknown(service.check(view))
    assert carried_out == Allow(Reason.UNKNOWN_KEY, "read-order", NOBODY, would_deny=denied)


@pytest.mark.parametrize("shadow", [False, True], ids=["enforced", "shadow"])
@pytest.mark.parametrize("path", ["/orders/7", "/healthz", "//"])
def test_a_request_with_too_many_cookies_goes_nowhere(path: str, shadow: bool) -> None:
    service = Service(sources=(CookieSource("token"),), cookies=3, shadow=shadow)
    view = request(path=path, headers=(("cookie", b"a;b;c;token=x"),))

    denial = Deny(Reason.REQUEST_TOO_LARGE, detail="it has more than 3 cookies")
    assert service.check(view) == denial
    assert service.pipeline.refuse(view, Deny(Reason.OVERLOADED)) == (
        denial if shadow else Deny(Reason.OVERLOADED)
    )


def test_shadow_mode_lets_no_request_through_that_was_not_read() -> None:
    denial = Deny(Reason.REQUEST_TOO_LARGE)

    assert Service(shadow=True).pipeline.refuse(request(), denial) == denial


def test_a_public_route_gets_no_token_that_is_not_forwarded() -> None:
    service = Service(
        sources=(CookieSource("token"),), identity=identity_settings(forward_token=False)
    )
    view = request(path="/healthz", headers=(("cookie", b"a=1;token=x;b=2"),))

    assert service.allow(view).headers.overwrite == (("cookie", "a=1;b=2"),)


# Settings.


def test_the_token_may_come_in_a_cookie() -> None:
    service = Service(sources=(CookieSource("token"),))
    cookie = f"token={token()}".encode()

    assert service.reason(request(headers=(("cookie", cookie),))) is Reason.AUTHORIZED
    assert service.reason(request(token())) is Reason.NO_CREDENTIAL


def test_the_size_of_a_token_is_limited_by_configuration() -> None:
    assert Service(token_bytes=100).reason(request(token())) is Reason.TOKEN_TOO_LARGE


def test_the_number_of_values_in_a_token_is_limited_by_configuration() -> None:
    view = request(token(groups=["a"] * 30))

    assert Service(token_values=50).reason(view) is Reason.AUTHORIZED
    assert Service(token_values=30).reason(view) is Reason.MALFORMED_TOKEN


def test_semicolons_may_be_ordinary_characters() -> None:
    view = request(token(), path="/orders/7;v=1")

    assert Service(literal_semicolons=True).reason(view) is Reason.AUTHORIZED
    assert Service().reason(view) is Reason.UNSAFE_PATH


def test_a_denial_is_a_value() -> None:
    view = RequestView("GET", "/orders/7", HOST, ())

    assert Service().check(view) == Deny(Reason.NO_CREDENTIAL, "read-order")


def test_operators_see_whose_a_token_is_that_was_refused_after_its_signature_held() -> None:
    deny = Service().deny(request(token(audience="stock")))
    assert deny.held == (("aud", "stock"), ("issuer", "gateway"), ("sub", "alice"))

    deny = Service().deny(request(workload_token(sub="system:serviceaccount:other:a")))
    assert deny.held == (("issuer", "cluster"), ("sub", "system:serviceaccount:other:a"))

    deny = Service().deny(request(token(sub=7)))
    assert deny.held == (("issuer", "gateway"),)


@pytest.mark.parametrize(
    "text",
    ["eyJ.not.one", token(OTHER_KEY), resigned(token(audience="stock"), bytes(64))],
    ids=["malformed", "unknown key", "bad signature"],
)
def test_of_an_unverified_token_operators_see_nothing(text: str) -> None:
    verdict = Service().check(request(text))
    deny = key_unknown(verdict) if isinstance(verdict, Pending) else verdict
    assert isinstance(deny, Deny)
    assert (deny.held, deny.token) == ((), None)
