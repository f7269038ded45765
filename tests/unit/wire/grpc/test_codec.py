"""CheckRequest in, CheckResponse out: what Envoy sends and what it must be told."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.check.refusal import Refusal
from sidecar.model import (
    LISTENER_REASONS,
    Allow,
    Deny,
    HeaderChanges,
    KeyQuestion,
    Pending,
    Reason,
    TokenKind,
    VerifiedToken,
)
from sidecar.shell.check import RequestLimits
from sidecar.wire.grpc._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
)
from sidecar.wire.grpc.codec import UNREAD, UndecodableRequest, decode, encode

TOKEN = VerifiedToken(
    trust="gateway",
    kind=TokenKind.REQUEST,
    issuer="https://gateway.shop.internal",
    subject="user-1",
    claims={},
    scopes=frozenset({"orders:read"}),
    roles=frozenset(),
    groups=frozenset(),
    fingerprint="0123456789abcdef",
)
ALLOW = Allow(
    Reason.AUTHORIZED,
    "read-order",
    HeaderChanges((("x-user-id", "user-1"), ("x-user-groups", "a,b")), ("x-user-roles",)),
    TOKEN,
)


def check_request(
    *lines: tuple[str, bytes], raw: bool = True, route: str | None = None, principal: str = ""
) -> CheckRequest:
    """What Envoy sends with ``encode_raw_headers`` (raw) and without it."""
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host = "GET", "/orders/1?page=2", "orders.shop.internal"
    request.attributes.source.principal = principal
    if raw:
        http.header_map.SetInParent()
    for name, value in lines:
        if raw:
            http.header_map.headers.add(key=name, raw_value=value)
        else:
            http.headers[name] = value.decode()
    if route is not None:
        request.attributes.context_extensions["route"] = route
    return request


def decoded(*lines: tuple[str, bytes], raw: bool = True) -> Any:
    return decode(check_request(*lines, raw=raw).SerializeToString())


REALM = (("realm", "orders"),)
LIMITS = RequestLimits(request_bytes=1000, header_lines=3)
LINES = ((":path", b"/"), ("x-request-id", b"r"), ("content-type", b"application/grpc"))


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "map"])
def test_a_request_has_at_most_so_many_header_lines(raw: bool) -> None:
    within = decode(check_request(*LINES, raw=raw).SerializeToString(), LIMITS)
    above = decode(check_request(*LINES, ("a", b""), raw=raw).SerializeToString(), LIMITS)

    assert within.refusal is None
    assert above.refusal == Refusal(Reason.REQUEST_TOO_LARGE, "it has more than 3 header lines")
    assert len(above.view.headers) <= 3


def test_what_is_needed_for_the_answer_is_read_of_a_request_above_the_limit() -> None:
    envelope = decode(check_request(*LINES, ("a", b"")).SerializeToString(), LIMITS)

    assert (envelope.request_id, envelope.grpc) == ("r", True)


def test_a_request_has_at_most_so_many_bytes() -> None:
    body = check_request(("a", b"x" * 900)).SerializeToString()

    assert decode(body, RequestLimits(request_bytes=len(body))).refusal is None
    assert decode(body, RequestLimits(request_bytes=len(body) - 1)) == UNREAD._replace(
        refusal=Refusal(Reason.REQUEST_TOO_LARGE, f"it has more than {len(body) - 1} bytes")
    )


def response(decision: Allow | Deny, *, grpc: bool = False) -> CheckResponse:
    return CheckResponse.FromString(
        encode(decision, challenge=REALM, request_id="request-7", grpc=grpc)
    )


def denied_headers(denied: CheckResponse) -> dict[str, str]:
    return {option.header.key: option.header.value for option in denied.denied_response.headers}


def metadata(checked: CheckResponse) -> dict[str, str]:
    return {name: value.string_value for name, value in checked.dynamic_metadata.fields.items()}


# Decoding.


@pytest.mark.parametrize("raw", [True, False])
def test_the_request_is_read_from_either_form_of_headers(raw: bool) -> None:
    request = check_request(
        (":path", b"/orders/1?page=2"),
        ("Accept", b"*/*"),
        raw=raw,
        principal="spiffe://shop/ns/web",
    )
    view = decode(request.SerializeToString()).view
    assert (view.method, view.path, view.host) == (
        "GET",
        "/orders/1?page=2",
        "orders.shop.internal",
    )
    assert ("accept", b"*/*") in view.headers
    assert view.principal == "spiffe://shop/ns/web"
    assert view.route is None


def test_raw_field_lines_stay_apart_and_their_bytes_untouched() -> None:
    view = decoded(("authorization", b"Bearer a"), ("authorization", b"\xff\x00")).view
    assert view.headers == (("authorization", b"Bearer a"), ("authorization", b"\xff\x00"))


def test_the_path_is_the_one_whose_bytes_arrived() -> None:
    assert decoded((":path", b"/orders/\xff?a=b")).view.path == "/orders/\xff?a=b"
    assert decoded((":path", b"/orders/1"), raw=False).view.path == "/orders/1?page=2"


@pytest.mark.parametrize("route", ["read-order", ""])
def test_a_route_given_by_envoy_is_kept_even_when_its_name_is_empty(route: str) -> None:
    assert decode(check_request(route=route).SerializeToString()).view.route == route


@pytest.mark.parametrize(
    "request_id",
    ["request-7", "9b2d7c1e-4a5f-4c3b-8f6e-2d1c0b9a8f7e", "Root=1-67891233-abcdef", "a" * 64],
)
def test_a_plain_request_id_is_repeated(request_id: str) -> None:
    assert decoded(("x-request-id", request_id.encode())).request_id == request_id


@pytest.mark.parametrize(
    "value", [b"a" * 65, b"a b", b"a,b", b"a\nb", b"a\n", b"\xc3\xa9", b"<b>", b""]
)
def test_nothing_is_shown_of_a_request_id_that_could_hold_a_token_or_is_not_plain(
    value: bytes,
) -> None:
    assert decoded(("x-request-id", value)).request_id == ""


def test_a_request_without_an_id_has_none() -> None:
    assert decoded().request_id == ""


@pytest.mark.parametrize(
    ("content_type", "grpc"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"application/json", False),
        (b"", False),
    ],
)
def test_a_client_speaks_grpc_where_envoy_thinks_so(content_type: bytes, grpc: bool) -> None:
    assert decoded(("content-type", content_type)).grpc is grpc


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff", id="no message"),
        pytest.param(b"\x0a\x05ab", id="cut short"),
        pytest.param(b"\x0a\x00", id="no request"),
        pytest.param(b"\x0a\x02\x22\x00", id="no http"),
    ],
)
def test_bytes_that_are_no_http_check_are_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableRequest):
        decode(body)


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    with suppress(UndecodableRequest):
        decode(body)


# Encoding.


def test_only_an_allow_has_status_zero() -> None:
    assert response(ALLOW).status.code == 0
    for reason in Reason:
        for grpc in (False, True):
            denied = response(Deny(reason), grpc=grpc)
            assert denied.status.code != 0
            assert denied.WhichOneof("http_response") == "denied_response"
            assert denied.denied_response.status.code >= 400


@pytest.mark.parametrize(
    "verdict", [None, Pending(KeyQuestion("gateway", "kid"), lambda *_: Deny(Reason.EXPIRED)), ()]
)
def test_what_is_no_decision_is_a_denial(verdict: Any) -> None:
    denied = CheckResponse.FromString(encode(verdict, challenge=REALM))
    assert denied.status.code != 0
    assert denied.denied_response.status.code == 500


def test_an_allow_without_headers_is_still_not_the_empty_response() -> None:
    bare = Allow(Reason.PUBLIC, None, HeaderChanges())
    assert response(bare).WhichOneof("http_response") == "ok_response"


def test_identity_headers_overwrite_on_every_envoy() -> None:
    ok = response(ALLOW).ok_response
    assert [(option.header.key, option.header.value) for option in ok.headers] == [
        ("x-user-id", "user-1"),
        ("x-user-groups", "a,b"),
    ]
    for option in ok.headers:
        assert option.HasField("append")
        assert option.append.value is False
        assert option.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    assert list(ok.headers_to_remove) == ["x-user-roles"]


def test_a_cookie_of_an_allow_is_appended_to_those_of_the_service() -> None:
    cookie = "__Host-session=sealed; Path=/; Secure; HttpOnly; SameSite=Lax"
    ok = response(ALLOW._replace(headers=HeaderChanges(cookie=cookie))).ok_response
    (option,) = ok.response_headers_to_add
    assert (option.header.key, option.header.value) == ("set-cookie", cookie)
    assert option.append.value is True
    assert option.append_action == HeaderValueOption.APPEND_IF_EXISTS_OR_ADD
    # To the service it says nothing.
    assert not ok.headers
    assert metadata(response(ALLOW)) == metadata(
        response(ALLOW._replace(headers=ALLOW.headers._replace(cookie=cookie)))
    )


def test_without_a_cookie_nothing_is_added_to_the_response() -> None:
    assert not response(ALLOW).ok_response.response_headers_to_add


@pytest.mark.parametrize("grpc", [True, False])
def test_a_cookie_of_a_denial_is_among_its_headers(grpc: bool) -> None:
    cookie = "__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    denial = Deny(Reason.EXPIRED, "read-order")
    with_cookie = response(denial._replace(cookie=cookie), grpc=grpc)
    assert denied_headers(with_cookie) == {
        **denied_headers(response(denial, grpc=grpc)),
        "set-cookie": cookie,
    }
    # Envoy leaves out what is to be appended.
    assert all(not option.append.value for option in with_cookie.denied_response.headers)
    assert metadata(with_cookie) == metadata(response(denial))


@pytest.mark.parametrize(
    "reason",
    [r for r in Reason if r.status >= 400 and r not in LISTENER_REASONS],
    ids=lambda r: r.label,
)
def test_a_denial_is_a_problem_document(reason: Reason) -> None:
    denied = response(Deny(reason, "read-order", detail="role admin"))
    assert "role admin" not in str(denied)
    assert denied.denied_response.status.code == reason.status
    assert json.loads(denied.denied_response.body) == {
        "type": "about:blank",
        "title": {
            400: "Bad Request",
            401: "Unauthorized",
            403: "Forbidden",
            431: "Request Header Fields Too Large",
            500: "Internal Server Error",
            503: "Service Unavailable",
        }[reason.status],
        "status": reason.status,
        "detail": reason.sentence,
        "reason": reason.label,
        "request_id": "request-7",
    }
    headers = denied_headers(denied)
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert ("retry-after" in headers) == (reason.status == 503)
    assert ("www-authenticate" in headers) == (reason.status == 401 or reason.error is not None)
    assert all(not option.append.value for option in denied.denied_response.headers)


@pytest.mark.parametrize("reason", list(Reason), ids=lambda r: r.label)
@pytest.mark.parametrize("grpc", [False, True])
def test_no_answer_has_anything_of_what_is_held_for_operators(reason: Reason, grpc: bool) -> None:
    bare = Deny(reason, "read-order", "detail", "f00d", TOKEN, (("scope", "a"),), "session=1")
    held = bare._replace(held=(("origin", "https://evil.example"), ("sub", "mallory")))

    assert response(held, grpc=grpc) == response(bare, grpc=grpc)
    shadowed = ALLOW._replace(would_deny=bare)
    assert response(shadowed._replace(would_deny=held)) == response(shadowed)


@pytest.mark.parametrize(
    ("denial", "challenge"),
    [
        (Deny(Reason.NO_CREDENTIAL), 'Bearer realm="orders"'),
        (
            Deny(Reason.EXPIRED),
            'Bearer realm="orders", error="invalid_token",'
            ' error_description="The token has expired."',
        ),
        (
            Deny(Reason.INSUFFICIENT_SCOPE, challenge=(("scope", "orders:read orders:write"),)),
            'Bearer realm="orders", error="insufficient_scope",'
            ' error_description="The token lacks a scope the route needs.",'
            ' scope="orders:read orders:write"',
        ),
        (
            Deny(Reason.AMBIGUOUS_REQUEST),
            'Bearer realm="orders", error="invalid_request",'
            ' error_description="The request carries two credentials, or two values of a header'
            ' that a rule reads."',
        ),
    ],
    ids=lambda value: value.reason.label if isinstance(value, Deny) else "",
)
def test_the_challenge_says_what_is_wrong(denial: Deny, challenge: str) -> None:
    assert denied_headers(response(denial))["www-authenticate"] == challenge


def test_every_challenge_names_the_metadata_of_the_resource() -> None:
    url = "https://orders.example/.well-known/oauth-protected-resource"
    common = (("realm", "orders"), ("resource_metadata", url))
    challenges = [
        denied_headers(CheckResponse.FromString(encode(denial, challenge=common)))[
            "www-authenticate"
        ]
        for denial in (
            Deny(Reason.NO_CREDENTIAL),
            Deny(Reason.EXPIRED),
            Deny(Reason.INSUFFICIENT_SCOPE, challenge=(("scope", "read"),)),
        )
    ]

    assert challenges[0] == f'Bearer realm="orders", resource_metadata="{url}"'
    assert challenges[1].startswith(f'{challenges[0]}, error="invalid_token", ')
    assert challenges[2].endswith('scope="read"')
    assert f'resource_metadata="{url}"' in challenges[2]


@pytest.mark.parametrize("reason", [Reason.NO_ROUTE, Reason.MISSING_ROLE, Reason.OVERLOADED])
def test_what_no_token_would_change_is_no_challenge(reason: Reason) -> None:
    assert "www-authenticate" not in denied_headers(response(Deny(reason)))


def test_a_challenge_cannot_be_broken_out_of() -> None:
    body = encode(
        Deny(Reason.INSUFFICIENT_SCOPE, challenge=(("scope", 'a"b c\\d e\r\nf \u00e9\ud800'),)),
        challenge=(("realm", 'or"ders'),),
    )
    challenge = denied_headers(CheckResponse.FromString(body))["www-authenticate"]
    assert challenge.startswith('Bearer realm="or\\"ders", ')
    assert challenge.endswith('scope="a\\"b c\\\\d e??f ??"')


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.UNSAFE_PATH, 3),
        (Reason.NO_CREDENTIAL, 16),
        (Reason.NO_ROUTE, 7),
        (Reason.INTERNAL_ERROR, 13),
        (Reason.OVERLOADED, 14),
    ],
)
def test_a_grpc_client_gets_one_sentence_and_its_own_status(reason: Reason, code: int) -> None:
    denied = response(Deny(reason), grpc=True)
    assert denied.status.code == code
    assert denied.denied_response.body == reason.sentence
    # Not content-type: Envoy has set the one of gRPC.
    assert denied_headers(denied) == {"grpc-status": str(code)}


def test_metadata_names_the_caller_the_route_and_the_verdict() -> None:
    assert metadata(response(ALLOW)) == {
        "decision": "allow",
        "reason": "authorized",
        "route": "read-order",
        "sub": "user-1",
        "iss": "https://gateway.shop.internal",
        "token": "0123456789abcdef",
    }


def test_metadata_has_what_is_known_and_nothing_else() -> None:
    unverified = Deny(Reason.EXPIRED, "read-order", fingerprint="fedcba9876543210")
    assert metadata(response(unverified)) == {
        "decision": "deny",
        "reason": "expired",
        "route": "read-order",
        "token": "fedcba9876543210",
    }
    assert metadata(response(Deny(Reason.NO_ROUTE))) == {"decision": "deny", "reason": "no_route"}


def test_in_shadow_mode_the_denial_is_recorded_and_the_request_let_through() -> None:
    shadow = Allow(
        Reason.AUTHORIZED,
        "read-order",
        HeaderChanges(remove=("x-user-id",)),
        would_deny=Deny(Reason.INSUFFICIENT_SCOPE, "read-order", token=TOKEN),
    )
    allowed = response(shadow)
    assert allowed.status.code == 0
    assert list(allowed.ok_response.headers_to_remove) == ["x-user-id"]
    assert metadata(allowed) == {
        "decision": "would_deny",
        "reason": "insufficient_scope",
        "route": "read-order",
        "sub": "user-1",
        "iss": "https://gateway.shop.internal",
        "token": "0123456789abcdef",
    }


ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT, ANY_TEXT)
def test_text_that_utf_8_cannot_carry_does_not_raise(subject: str, detail: str) -> None:
    token = VerifiedToken(
        "gateway",
        TokenKind.REQUEST,
        detail,
        subject,
        {},
        frozenset(),
        frozenset(),
        frozenset(),
        "0123456789abcdef",
    )
    for grpc in (False, True):
        encode(
            Deny(
                Reason.MISSING_ROLE, subject, detail, token=token, challenge=(("scope", subject),)
            ),
            challenge=(("realm", detail),),
            grpc=grpc,
        )
    encode(
        Allow(Reason.AUTHORIZED, subject, HeaderChanges((("x-user-id", subject),)), token),
        challenge=REALM,
    )
