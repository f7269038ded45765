"""Attacks with the path: the rules and the service see the same one."""

import pytest

from sidecar.check.conditions import Condition
from sidecar.check.rules import AnyRole, Scopes, When
from sidecar.model import Reason
from tests.support.checks import ROUTES, Service, request, route, token

VALID = token()

GUARDED = (
    *ROUTES,
    route("admin", "/admin/**", AnyRole(frozenset({"admin"}))),
    route("everything", "/**", public=True),
)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/public/../admin/x", id="dot segments"),
        pytest.param("/./admin/x", id="single dot"),
        pytest.param("/public/%2e%2e/admin/x", id="encoded dots"),
        pytest.param("/public/%2E./admin/x", id="one encoded dot"),
        pytest.param("/public/..%2fadmin/x", id="encoded slash"),
        pytest.param("/public%2F..%2Fadmin/x", id="encoded slashes"),
        pytest.param("/public\\..\\admin\\x", id="backslashes"),
        pytest.param("/public/..%5cadmin/x", id="encoded backslash"),
        pytest.param("//admin/x", id="two slashes"),
        pytest.param("/admin//x", id="two slashes inside"),
        pytest.param("/admin;v=1/x", id="parameter"),
        pytest.param("/admin%3bv=1/x", id="encoded parameter"),
        pytest.param("/public/..;/admin/x", id="dots and a parameter"),
        pytest.param("/admin%00/x", id="NUL"),
        pytest.param("/admin\0/x", id="bare NUL"),
        pytest.param("/admin%0a/x", id="newline"),
        pytest.param("/admin/x#", id="fragment"),
        pytest.param("/public#/../admin/x", id="fragment and dots"),
        pytest.param("/adm%c1%a9n/x", id="overlong UTF-8"),
        pytest.param("/%c0%ae%c0%ae/admin/x", id="overlong dots"),
        pytest.param("/admin/%ff", id="not UTF-8"),
        pytest.param("/admin/\xff", id="not ASCII"),
        pytest.param("/admin/%u002e", id="percent u"),
        pytest.param("/admin/%", id="bare percent"),
        pytest.param("/admin /x", id="space"),
        pytest.param("http://orders.shop.test/admin/x", id="absolute form"),
        pytest.param("http://evil.test/admin/x", id="absolute form of another host"),
        pytest.param("orders.shop.test:443", id="authority form"),
        pytest.param("admin/x", id="no slash"),
        pytest.param("*", id="asterisk form"),
        pytest.param("", id="nothing"),
        pytest.param("?/admin/x", id="query alone"),
    ],
)
def test_a_path_that_another_parser_may_read_otherwise_is_refused(path: str) -> None:
    service = Service(routes=GUARDED)

    assert service.reason(request(VALID, path=path)) is Reason.UNSAFE_PATH


@pytest.mark.parametrize(
    "path",
    ["/admin/x", "/%61dmin/x", "/%61%64%6D%69%6e/x", "/admin/x?/../..", "/admin/%2541", "/admin/"],
)
def test_every_other_spelling_leads_to_the_same_route(path: str) -> None:
    deny = Service(routes=GUARDED).deny(request(VALID, path=path))

    assert (deny.route, deny.reason) == ("admin", Reason.MISSING_ROLE)


# "/%2561dmin" is the segment "%61dmin" to everyone who decodes once, as RFC 3986 §2.4 says. To a
# service that decodes twice, or ignores case, each of these may be the protected path.
@pytest.mark.parametrize("path", ["/%2561dmin/x", "/a/%252e%252e/admin/x", "/ADMIN/x", "/Admin/x"])
def test_a_path_is_decoded_once_and_compared_with_case(path: str) -> None:
    allow = Service(routes=GUARDED).allow(request(path=path))

    assert allow.route == "everything"


# Routes that keep encoded slashes, between stricter and wider ones.
KEEPING = (
    route("project", "/projects/{id}", encoded_slashes=True, methods=("GET",)),
    route("package", "/npm/{package}", encoded_slashes=True, public=True),
    route("archive", "/archives/{name}.zip", encoded_slashes=True, public=True),
    route("part", "/npm/*/{part}", encoded_slashes=True, public=True),
    route("own", "/npm/own", Scopes(("never",))),
    *GUARDED,
)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/npm/a%2F..%2Fadmin", id="dot segment between encoded slashes"),
        pytest.param("/npm/a%2f..%2fadmin", id="in small letters"),
        pytest.param("/npm/..%2Fadmin", id="dot segment in front"),
        pytest.param("/npm/..%2F..%2Fadmin%2Fx", id="dot segments in front"),
        pytest.param("/npm/a%2F..", id="dot segment at the end"),
        pytest.param("/npm/a%2F.", id="single dot at the end"),
        pytest.param("/npm/.%2Fa", id="single dot in front"),
        pytest.param("/npm/a%2F.%2Fb", id="single dot between"),
        pytest.param("/npm/a%2F%2e%2E%2Fadmin", id="encoded dots"),
        pytest.param("/npm/a%2F%252e%252e%2Fadmin", id="dots encoded twice"),
        pytest.param("/npm/a%2Fb%252Fadmin", id="a slash encoded twice beside one"),
        pytest.param("/npm/a%252F..%2Fadmin", id="a slash encoded twice and dots"),
        pytest.param("/npm/a%2F%2Fadmin", id="two encoded slashes"),
        pytest.param("/npm/a%2f%2Fadmin", id="two encoded slashes of two spellings"),
        pytest.param("/npm/%2Fadmin", id="encoded slash in front"),
        pytest.param("/npm/a%2F", id="encoded slash at the end"),
        pytest.param("/npm/a%2F/part", id="encoded slash at the end of a segment"),
        pytest.param("/npm%2Fa", id="encoded slash between segments"),
        pytest.param("/npm%2Fown", id="encoded slash in front of a literal segment"),
        pytest.param("/%2Fadmin/x", id="encoded slash in front of all"),
        pytest.param("/npm/a%2F;b", id="parameter behind an encoded slash"),
        pytest.param("/npm/a%2F..;%2Fadmin", id="dots and a parameter"),
        pytest.param("/npm/a%2F%5c..%5cadmin", id="encoded backslash"),
        pytest.param("/npm/a%2Fb\\..\\admin", id="backslash"),
        pytest.param("/npm/a%2Fb%00", id="NUL"),
        pytest.param("/npm/a%2Fb/%2e%2e/admin", id="dot segment behind a segment that keeps"),
        pytest.param("/npm/a%c0%af..%2Fadmin", id="overlong slash"),
        pytest.param("/archives/a%2F.zip", id="at the end of a parameter before text"),
        pytest.param("/archives/a%2F..zip", id="dots before text"),
        pytest.param("/npm/a%2Fb/part", id="under a star"),
        pytest.param("/admin/a%2Fb", id="under a stricter route for the rest"),
        pytest.param("/other/a%2Fb", id="under a wider public route"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("named", [None, "package", "project", "everything"])
def test_an_encoded_slash_that_may_lead_elsewhere_is_refused(
    path: str, method: str, named: str | None
) -> None:
    service = Service(routes=KEEPING)

    view = request(VALID, path=path, method=method, route=named)
    assert service.reason(view) is Reason.UNSAFE_PATH


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_an_encoded_slash_is_not_left_to_a_wider_route(method: str) -> None:
    service = Service(routes=KEEPING)

    for path in ("/projects/a%2Fb", "/projects/a%2fb"):
        view = request(VALID, path=path, method=method)
        assert service.reason(view) is Reason.UNSAFE_PATH


def test_a_kept_slash_never_makes_another_route_of_a_path() -> None:
    service = Service(routes=KEEPING)

    for path in ("/npm/own%2Fx", "/npm/own%2fx"):
        assert service.allow(request(path=path)).route == "package"
    for path in ("/npm/own", "/npm/%6fwn"):
        assert service.deny(request(VALID, path=path)).route == "own"
    assert service.reason(request(path="/projects/a%2Fb")) is Reason.NO_CREDENTIAL


def test_a_condition_tells_a_kept_slash_from_the_text_of_one() -> None:
    condition = Condition("request.params.id == 'a%2Fb' && request.path == '/p/' + 'a%2Fb'")
    service = Service(routes=(route("own", "/p/{id}", When(condition), encoded_slashes=True),))

    for path in ("/p/a%2Fb", "/p/a%2fb", "/p/%61%2f%62"):
        assert service.reason(request(VALID, path=path)) is Reason.AUTHORIZED
    for path in ("/p/a%252Fb", "/p/a%252fb", "/p/a%2FB"):
        assert service.reason(request(VALID, path=path)) is Reason.CONDITION_NOT_MET


def test_a_path_before_literal_text_is_not_cut_within_an_encoding() -> None:
    condition = Condition("request.params.name == 'a '")
    service = Service(routes=(route("own", "/p/{name}0", When(condition)),))

    assert service.reason(request(VALID, path="/p/a%200")) is Reason.AUTHORIZED
    assert service.reason(request(VALID, path="/p/a%20")) is Reason.NO_ROUTE


@pytest.mark.parametrize("method", ["CONNECT", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "*", "orders.shop.test:443"])
def test_a_request_without_a_path_is_refused_even_where_envoy_names_the_route(
    method: str, path: str
) -> None:
    view = request(VALID, method=method, path=path, route="health")

    assert Service().reason(view) is Reason.UNSAFE_PATH


def test_a_condition_sees_the_path_and_the_parameters_that_routes_match() -> None:
    condition = Condition("request.path == '/a/b%20c' && request.params.name == 'b c'")
    service = Service(routes=(route("named", "/a/{name}", When(condition)),))

    assert service.reason(request(VALID, path="/%61/%62%20c?d=/e")) is Reason.AUTHORIZED
