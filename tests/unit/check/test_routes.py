import pytest

from sidecar.check.path import canonical
from sidecar.check.refusal import Refusal
from sidecar.check.routes import Route, Routed, Router, RouteTable, ties
from sidecar.model import Reason, RequestView
from tests.support.checks import request, route


def found(routes: list[Route], path: str, *, method: str = "GET", host: str = "") -> str | None:
    match = RouteTable(routes).find(host, path, method)
    return match.name if match is not None else None


SHOP = [
    route("root", "/"),
    route("orders", "/orders"),
    route("order", "/orders/{id}"),
    route("latest", "/orders/latest"),
    route("lines", "/orders/{id}/lines"),
    route("files", "/files/**"),
    route("readme", "/files/readme"),
    route("any-file", "/files/*/raw"),
]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "root"),
        ("/orders", "orders"),
        ("/orders/7", "order"),
        ("/orders/latest", "latest"),
        ("/orders/latest/lines", "lines"),
        ("/files/readme", "readme"),
        ("/files/readme/raw", "any-file"),
        ("/files/readme/other", "files"),
        ("/files/a/b/c", "files"),
        ("/files/", "files"),
        ("/orders/", None),
        ("/orders/7/", None),
        ("/orders/7/unknown", None),
        ("/Orders", None),
        ("/files", None),
        ("/nowhere", None),
    ],
)
def test_the_most_specific_path_wins(path: str, name: str | None) -> None:
    assert found(SHOP, path) == name


AFFIXED = [
    route("literal", "/jobs/a:cancel"),
    route("cancel", "/jobs/{id}:cancel"),
    route("batch", "/jobs/batch-{id}"),
    route("batch-cancel", "/jobs/batch-{id}:cancel"),
    route("job", "/jobs/{id}"),
    route("prefix", "/even/x-{id}"),
    route("suffix", "/even/{id}-x"),
    route("lines", "/jobs/batch-{id}/lines"),
    route("pause", "/jobs/{id}:pause/lines"),
    route("rest", "/jobs/**"),
]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/jobs/a:cancel", "literal"),
        ("/jobs/7:cancel", "cancel"),
        ("/jobs/%37%3acancel", "cancel"),
        ("/jobs/batch-7", "batch"),
        ("/jobs/batch-7:cancel", "batch-cancel"),
        ("/jobs/batch-:cancel", "cancel"),
        ("/jobs/:cancel", "job"),
        ("/jobs/batch-", "job"),
        ("/jobs/7:CANCEL", "job"),
        ("/jobs/batch-7/lines", "lines"),
        ("/jobs/7:pause/lines", "pause"),
        ("/jobs/batch-7:pause/lines", "lines"),
        ("/jobs/batch-7/other", "rest"),
        ("/jobs/7:cancel/lines", "rest"),
        ("/jobs/7:cancel/", "rest"),
        # Of two texts of one length, the longer prefix.
        ("/even/x-x-x", "prefix"),
        ("/even/y-x", "suffix"),
        ("/even/x-", None),
        ("/even/-x", None),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_of_parameters_between_texts_the_longest_text_wins(
    path: str, name: str | None, order: int
) -> None:
    canonical_path = canonical(path)
    assert isinstance(canonical_path, str)
    assert found(AFFIXED[::order], canonical_path) == name


def test_each_of_many_texts_beside_a_parameter_is_found() -> None:
    verbs = [f"verb{number}" for number in range(1000)]
    routes = [route(verb, f"/v1/{{name}}:{verb}") for verb in verbs]

    assert [found(routes[::-1], f"/v1/a:{verb}") for verb in verbs[::100]] == verbs[::100]


METHODS = [
    route("read", "/a", methods=("GET",)),
    route("write", "/a", methods=("POST", "PUT")),
    route("other", "/b"),
    route("head", "/b", methods=("HEAD",)),
    route("rest", "/**", methods=("DELETE",)),
]


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/a", "read"),
        ("HEAD", "/a", "read"),
        ("HEAD", "/b", "head"),
        ("PUT", "/a", "write"),
        ("PATCH", "/a", None),
        ("get", "/a", None),
        ("head", "/a", None),
        ("", "/a", None),
        ("PATCH", "/b", "other"),
        ("DELETE", "/a", "rest"),
    ],
)
def test_a_method_is_matched_as_it_stands_and_head_follows_get(
    method: str, path: str, name: str | None
) -> None:
    assert found(METHODS, path, method=method) == name


HOSTS = [
    route("exact", "/a", hosts=("orders.shop.test", "[::1]")),
    route("near", "/a", hosts=("*.shop.test",)),
    route("far", "/a", hosts=("*.test",)),
    route("anywhere", "/a"),
    route("elsewhere", "/b"),
]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("orders.shop.test", "exact"),
        ("orders.shop.test:8443", "exact"),
        ("orders.shop.test:", "exact"),
        ("orders.shop.test.", "exact"),
        ("orders.shop.test.:80", "exact"),
        ("ORDERS.Shop.Test", "exact"),
        ("[::1]", "exact"),
        ("[::1]:8080", "exact"),
        ("a.b.shop.test", "near"),
        ("shop.test", "far"),
        (".shop.test", "far"),
        ("evilshop.test", "far"),
        ("orders.shop.test.evil", "anywhere"),
        ("test", "anywhere"),
        ("", "anywhere"),
    ],
)
def test_the_most_specific_host_wins(host: str, name: str) -> None:
    assert found(HOSTS, "/a", host=host) == name


def test_a_host_without_the_path_leaves_it_to_less_specific_hosts() -> None:
    assert found(HOSTS, "/b", host="orders.shop.test") == "elsewhere"


def test_a_route_is_found_by_name_whatever_it_matches() -> None:
    table = RouteTable([route("named"), route("other", "/other")])

    assert table.named("named") == route("named")
    assert table.named("other") == route("other", "/other")
    assert table.named("unknown") is None
    assert table.find("", "/named", "GET") is None


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/shops/north/orders/7", {"shop": "north", "id": "7"}),
        ("/shops/caf%C3%A9/orders/a%20b", {"shop": "café", "id": "a b"}),
        ("/shops/north", {}),
        ("/shops/north/carts/7", {}),
        ("/shops/north/orders/7/lines", {}),
    ],
)
def test_parameters_are_decoded_where_the_path_has_the_shape(
    path: str, parameters: dict[str, str]
) -> None:
    assert route("order", "/shops/{shop}/orders/{id}").parameters(path) == parameters


def test_parameters_that_may_hold_a_slash_are_as_in_the_path() -> None:
    kept = route("project", "/{group}/{id}.git", encoded_slashes=True)

    assert kept.parameters("/caf%C3%A9%20/a%2Fb%5B.git") == {
        "group": "caf%C3%A9%20",
        "id": "a%2Fb%5B",
    }


def test_a_route_without_parameters_has_none() -> None:
    assert route("named").parameters("/a") == {}
    assert route("literal", "/a").parameters("/a") == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (route("a", "/x"), route("b", "/x")),
        (route("a", "/{p}"), route("b", "/{q}")),
        (route("a", "/x-{p}.y"), route("b", "/x-{q}.y")),
        (route("a", "/x", methods=("GET", "PUT")), route("b", "/x", methods=("PUT", "POST"))),
        (route("a", "/x", hosts=("h", "i")), route("b", "/x", hosts=("i", "h"))),
    ],
    ids=["same path", "same shape", "same texts", "a method in common", "hosts in common"],
)
def test_two_routes_of_equal_rank_are_a_tie(one: Route, other: Route) -> None:
    assert ties([one, other]) == [(one, other)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (route("a", "/x"), route("b", "/y")),
        (route("a", "/x"), route("b", "/x", methods=("GET",))),
        (route("a", "/x", methods=("GET",)), route("b", "/x", methods=("HEAD",))),
        (route("a", "/x", hosts=("h",)), route("b", "/x")),
        (route("a", "/x", hosts=("h.test",)), route("b", "/x", hosts=("*.test",))),
        (route("a", "/{p}"), route("b", "/x")),
        (route("a", "/x-{p}"), route("b", "/{p}-x")),
        (route("a", "/x-{p}"), route("b", "/{p}")),
        (route("a", "/**"), route("b", "/*")),
        (route("a"), route("b")),
    ],
    ids=[
        "path",
        "any method",
        "head",
        "any host",
        "wildcard",
        "literal",
        "prefix",
        "text",
        "rest",
        "by name",
    ],
)
def test_one_route_is_more_specific_than_the_other(one: Route, other: Route) -> None:
    assert ties([one, other]) == []


@pytest.mark.parametrize(
    "authority",
    [
        "evil,x.shop.internal",
        "evil.example,orders.shop.internal",
        "user@orders.shop.internal",
        "orders.shop.internal:80x",
        "orders.shop.internal:80:80",
        "orders.shop.internal/",
        "örders.shop.internal",
        "\u212aiosk.shop.internal",
        "orders.shop.internal\x00",
        "[::1",
        " ",
    ],
)
def test_an_authority_that_is_not_a_host_and_a_port_matches_nothing(authority: str) -> None:
    routes = [route("any", "/**"), route("ours", "/**", hosts=("*.shop.internal",))]
    assert found(routes, "/orders", host=authority) is None


def routed(path: str, *routes: Route, name: str | None = None) -> str | Refusal:
    """The name of the route of a GET, or why there is none."""
    router = Router(routes, literal_semicolons=False)
    result = router.find(request(path=path, route=name))
    return result.route.name if isinstance(result, Routed) else result


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/orders/", 'the path without the slash at its end would match the route "orders"'),
        ("/carts", 'the path with a slash at its end would match the route "carts"'),
        ("/files", 'the path with a slash at its end would match the route "files"'),
        ("/nowhere/", ""),
        ("/nowhere", ""),
        ("/", ""),
    ],
)
def test_a_slash_at_the_end_that_is_all_that_differs_is_told(path: str, detail: str) -> None:
    routes = [route("orders", "/orders"), route("carts", "/carts/"), route("files", "/files/**")]
    routes.append(route("raw", "/files/*/raw", methods=("POST",)))

    assert routed(path, *routes) == Refusal(Reason.NO_ROUTE, detail)


def test_a_route_that_envoy_names_and_nobody_configured_is_told() -> None:
    refusal = routed("/a/", route("a", "/a"), name="b")

    assert isinstance(refusal, Refusal)
    assert refusal.detail == "Envoy's context_extensions name a route that is not configured"


KEEPING = (
    route("project", "/projects/{id}", methods=("GET",), encoded_slashes=True),
    route("private", "/projects/{id}", hosts=("*.private.test",)),
    route("file", "/{x}/*/{name}.json", encoded_slashes=True),
    route("rest", "/**", public=True),
    route("named"),
)


@pytest.mark.parametrize("path", ["/projects/a%2Fb", "/projects/a%2fb%2fc", "/a%2Fb/c/d%2Fe.json"])
def test_an_encoded_slash_stays_inside_a_parameter(path: str) -> None:
    assert routed(path, *KEEPING) in {"project", "file"}


@pytest.mark.parametrize(
    ("path", "name", "detail"),
    [
        ("/orders/a%2Fb", None, 'the route "rest" does not keep them'),
        ("/projects/a%2Fb/c", None, 'the route "rest" does not keep them'),
        ("/a/b%2Fc/d.json", None, 'not inside a parameter of the route "file"'),
        ("/a%2Fb", "named", 'the route "named" does not keep them'),
        ("/orders/a%2Fb", "project", 'not inside a parameter of the route "project"'),
        ("/a%2Fb", "unknown", "and no route matches it"),
        ("/projects/a%2F%2Fb", None, "at the start or end of a segment"),
    ],
)
def test_an_encoded_slash_anywhere_else_is_refused_by_the_route_of_the_path(
    path: str, name: str | None, detail: str
) -> None:
    refusal = routed(path, *KEEPING, name=name)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNSAFE_PATH
    assert detail in refusal.detail


@pytest.mark.parametrize(
    ("view", "kept"),
    [
        (request(path="/projects/a%2Fb"), True),
        (request(path="/projects/a%2Fb", method="HEAD"), True),
        (request(path="/projects/a%2Fb", route="project"), True),
        (request(path="/projects/a%2Fb", method="POST"), False),
        (request(path="/projects/a%2Fb", host="a.private.test"), False),
    ],
)
def test_the_most_specific_route_decides_whether_an_encoded_slash_stays(
    view: RequestView, *, kept: bool
) -> None:
    result = Router(KEEPING, literal_semicolons=False).find(view)

    assert isinstance(result, Routed) is kept
    assert kept or (isinstance(result, Refusal) and result.reason is Reason.UNSAFE_PATH)


def test_no_encoded_slash_stays_where_no_route_keeps_them() -> None:
    refusal = routed("/projects/a%2Fb", route("project", "/projects/{id}"))

    assert refusal == Refusal(Reason.UNSAFE_PATH, "it holds an encoded slash or backslash")
