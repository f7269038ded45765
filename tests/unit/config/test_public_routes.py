"""A protected path of which a part falls to a public route is a warning."""

from pathlib import Path

import pytest

from tests.support.smallest import SIDECAR, warnings_of


def _warnings(directory: Path, routes: str) -> list[tuple[int, str]]:
    """The warnings about these routes, with their lines; the first is on line 12."""
    return warnings_of(directory, SIDECAR.partition("  - {name: all")[0] + routes)


def test_methods_that_fall_through_to_a_public_route_are_a_warning(tmp_path: Path) -> None:
    routes = """
  - name: order
    match: {methods: [GET, POST, PUT], hosts: ["*.shop.internal"], path: "/orders/{id}"}
    allow: {authenticated: true}
  - {name: deletion, match: {methods: [DELETE], path: "/orders/{id}"}, allow: {scopes: [write]}}
  - {name: assets, match: {methods: [GET, PATCH], path: "/**"}, allow: {public: true}}
"""
    warnings = [
        (line, text) for line, text in _warnings(tmp_path, routes) if "does not cover" not in text
    ]
    assert warnings == [
        (
            13,
            'PATCH on /orders/{id} can reach the public route "assets"; '
            "leave methods out to cover them all, or give them a route of their own",
        ),
        (
            15,
            'GET, PATCH on /orders/{id} can reach the public route "assets"; '
            "leave methods out to cover them all, or give them a route of their own",
        ),
    ]


PUBLIC = '  - {name: site, match: {path: "/**"}, allow: {public: true}}\n'


@pytest.mark.parametrize(
    ("path", "neighbour"),
    [
        ("/admin/**", "/admin"),
        ("/tenants/{tenant}/**", "/tenants/{tenant}"),
        ("/admin/", "/admin"),
        ("/admin", "/admin/"),
        ("/orders/{id}", "/orders/{id}/"),
        ("/orders/*", "/orders/*/"),
        ("/v1/{name}:cancel", "/v1/{name}:cancel/"),
    ],
)
@pytest.mark.parametrize("match", ["", ", methods: [GET]", ", methods: [HEAD]", ", hosts: [a.b]"])
def test_a_path_beside_a_protected_one_that_falls_to_a_public_route_is_a_warning(
    tmp_path: Path, path: str, neighbour: str, match: str
) -> None:
    rule = f'  - {{name: a, match: {{path: "{path}"{match}}}, allow: {{scopes: [a]}}}}\n'
    warnings = [told for told in _warnings(tmp_path, rule + PUBLIC) if "does not" in told[1]]
    assert warnings == [
        (
            11,
            f'{path} does not cover {neighbour}, which the public route "site" takes; if it is '
            f"not meant to be public, write a route with the same rules and the path {neighbour}",
        )
    ]


@pytest.mark.parametrize(
    "routes",
    [
        '  - {name: a, match: {path: "/**"}, allow: {scopes: [a]}}\n',
        '  - {name: a, match: {path: "/admin/**"}, allow: {scopes: [a]}}\n',
        '  - {name: a, match: {path: "/"}, allow: {scopes: [a]}}\n' + PUBLIC,
        '  - {name: a, match: {path: "/admin/**"}, allow: {scopes: [a]}}\n'
        "  - {name: login, match: {path: /admin}, allow: {public: true}}\n",
        '  - {name: a, match: {path: "/admin/**"}, allow: {scopes: [a]}}\n'
        "  - {name: b, match: {path: /admin}, allow: {scopes: [a]}}\n" + PUBLIC,
    ],
    ids=["all", "alone", "root", "public on purpose", "covered"],
)
def test_a_path_that_is_covered_denied_or_public_on_purpose_needs_no_warning(
    tmp_path: Path, routes: str
) -> None:
    assert _warnings(tmp_path, routes) == []


def test_every_host_of_a_protected_route_is_looked_at(tmp_path: Path) -> None:
    routes = """
  - {name: a, match: {hosts: [a.b, c.d], path: "/admin/**"}, allow: {scopes: [a]}}
  - {name: site, match: {hosts: [c.d], path: "/**"}, allow: {public: true}}
"""
    assert [line for line, _ in _warnings(tmp_path, routes)] == [12]


def test_head_alone_can_fall_through(tmp_path: Path) -> None:
    routes = """
  - {name: a, match: {methods: [POST], path: "/orders"}, allow: {scopes: [a]}}
  - {name: probe, match: {methods: [HEAD], path: "/**"}, allow: {public: true}}
"""
    ((_, text),) = _warnings(tmp_path, routes)
    assert text.startswith('HEAD on /orders can reach the public route "probe"; ')


def test_methods_that_no_route_takes_need_no_warning(tmp_path: Path) -> None:
    routes = (
        '  - {name: order, match: {methods: [GET], path: "/orders/{id}"}, allow: {scopes: [a]}}\n'
    )
    assert _warnings(tmp_path, routes) == []
