import pytest

from sidecar.check.routes import Route, RouteTable, ties
from tests.support.checks import route


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


def test_a_route_without_parameters_has_none() -> None:
    assert route("named").parameters("/a") == {}
    assert route("literal", "/a").parameters("/a") == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (route("a", "/x"), route("b", "/x")),
        (route("a", "/{p}"), route("b", "/{q}")),
        (route("a", "/x", methods=("GET", "PUT")), route("b", "/x", methods=("PUT", "POST"))),
        (route("a", "/x", hosts=("h", "i")), route("b", "/x", hosts=("i", "h"))),
    ],
    ids=["same path", "same shape", "a method in common", "hosts in common"],
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
        (route("a", "/**"), route("b", "/*")),
        (route("a"), route("b")),
    ],
    ids=["path", "any method", "head", "any host", "wildcard", "literal", "rest", "by name"],
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
