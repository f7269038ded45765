"""Attacks with headers that the service, or a condition, would believe."""

import pytest

from sidecar.check.conditions import Condition
from sidecar.check.extract import CookieSource
from sidecar.check.rules import When
from sidecar.model import Reason
from tests.support.checks import Service, request, route, token

VALID = token()
OTHER = token(subject="bob").encode()

SPELLINGS = [
    *("x-user-id", "x_user_id", "x-user_id", "x_user-id", "x-internal", "x_internal"),
    *(f"x{mark}user{mark}id" for mark in "!#$%&'*+.^`|~"),
    *("x-user.id", "x.user_id", "x~internal"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("path", "bearer"),
    [("/orders/7", VALID), ("/healthz", None), ("/healthz", "garbage"), ("/catalogue/a", None)],
    ids=["authorized", "public", "public with a bad token", "anonymous"],
)
def test_a_spoofed_identity_header_never_reaches_the_service(
    spelling: str, path: str, bearer: str | None
) -> None:
    spoofed = ((spelling, b"root"), (spelling, b"admin"))
    allow = Service().allow(request(bearer, path=path, headers=spoofed))

    overwritten = dict(allow.headers.overwrite)
    assert spelling in allow.headers.remove or overwritten[spelling] == "alice"


@pytest.mark.parametrize(
    ("path", "bearer", "shadow"),
    [
        ("/orders/7", VALID, False),
        ("/healthz", None, False),
        ("/catalogue/a", None, False),
        ("/orders/7", "garbage", True),
        ("//", None, True),
    ],
    ids=["authorized", "public", "anonymous", "shadow", "shadow without a path"],
)
def test_a_client_nominates_no_header_as_one_of_its_connection(
    path: str, bearer: str | None, *, shadow: bool
) -> None:
    nominated = b"upgrade, x-user-id, x-user-scopes, authorization"
    upgrade = (("upgrade", b"websocket"), ("connection", nominated), ("connection", b"x-user-id"))

    allow = Service(shadow=shadow).allow(request(bearer, path=path, headers=upgrade))
    assert dict(allow.headers.overwrite)["connection"] == "upgrade"


@pytest.mark.parametrize("name", ["authorization", "proxy-authorization", "proxy_authorization"])
@pytest.mark.parametrize(
    ("path", "cookie", "shadow"),
    [
        ("/orders/7", b"token=" + VALID.encode(), False),
        ("/healthz", b"", False),
        ("/catalogue/a", b"", False),
        ("/orders/7", b"token=garbage", True),
    ],
    ids=["authorized", "public", "anonymous", "shadow"],
)
def test_a_credential_that_nobody_verified_never_reaches_the_service(
    name: str, path: str, cookie: bytes, *, shadow: bool
) -> None:
    service = Service(sources=(CookieSource("token"),), shadow=shadow)
    forged = ((name, b"Bearer " + OTHER), ("cookie", cookie))

    assert name in service.allow(request(path=path, headers=forged)).headers.remove


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spoofed_identity_header_is_removed_in_shadow_mode(spelling: str) -> None:
    allow = Service(shadow=True).allow(request(headers=((spelling, b"root"),)))

    assert spelling in allow.headers.remove
    assert allow.headers.overwrite == ()


BY_TENANT = (
    route(
        "tenant",
        "/logs",
        When(Condition('request.headers["x-tenant"] == claims.sub')),
        headers=("x-tenant",),
    ),
    route(
        "not-root",
        "/not-root",
        When(
            Condition('!("x-tenant" in request.headers) || request.headers["x-tenant"] != "root"')
        ),
        headers=("x-tenant",),
    ),
)
OWN = ("x-tenant", b"alice")


@pytest.mark.parametrize("path", ["/logs", "/not-root"])
@pytest.mark.parametrize(
    "headers",
    [
        (OWN, ("x-tenant", b"root")),
        (("x-tenant", b"root"), OWN),
        (OWN, ("x-tenant", b"")),
        (("x-tenant", b"alice,root"),),
        (("x-tenant", b"alice, root"),),
        (("x-tenant", b"root "),),
        (("x-tenant", b" root"),),
        (("x-tenant", b"root\t"),),
        (("x-tenant", b"root\0"),),
        (("x-tenant", b"root\x0b"),),
        (("x-tenant", "\uff52oot".encode()),),
        (("x-tenant", b"roo\xf4"),),
        (("x-tenant", b"alice\r\nx-tenant: root"),),
    ],
)
def test_a_header_that_two_readers_could_read_differently_is_refused(
    path: str, headers: tuple[tuple[str, bytes], ...]
) -> None:
    denial = Service(routes=BY_TENANT).deny(request(VALID, path=path, headers=headers))

    assert denial.reason is Reason.AMBIGUOUS_REQUEST
    assert denial.route in {"tenant", "not-root"}


@pytest.mark.parametrize(
    "name", ["x_tenant", "x.tenant", "x~tenant", "x-tenant!", "-x-tenant", "x-tenants", "tenant"]
)
def test_a_condition_reads_no_other_header_than_its_own(name: str) -> None:
    service = Service(routes=BY_TENANT)
    view = request(VALID, path="/logs", headers=((name, b"alice"),))

    assert service.reason(view) is Reason.CONDITION_FAILED


@pytest.mark.parametrize("name", ["x_tenant", "x.tenant", "x~tenant"])
@pytest.mark.parametrize("path", ["/logs", "/not-root", "/elsewhere"])
def test_no_service_reads_another_spelling_of_the_header_of_a_condition(
    path: str, name: str
) -> None:
    service = Service(routes=(*BY_TENANT, route("elsewhere", "/elsewhere", optional=True)))

    allowed = service.allow(request(VALID, path=path, headers=((name, b"root"), OWN)))

    assert name in allowed.headers.remove
    assert "x-tenant" not in allowed.headers.remove
