"""What is said about routes that keep encoded slashes."""

from pathlib import Path

import pytest

from sidecar.config import KeyFiles, load

TRUST = """\
role: sidecar
trust:
  - name: gateway
    kind: request
    issuer: https://gateway.example
    audiences: [orders]
    algorithms: [ES256]
    types: [at+jwt]
    keys: {jwks: {url: "https://gateway.example/keys"}}
routes:
"""


def route(name: str, path: str, allow: str, match: str = "") -> str:
    return f'  - {{name: {name}, match: {{path: "{path}"{match}}}, allow: {{{allow}}}}}\n'


def kept(path: str, allow: str = "authenticated: true", match: str = "") -> str:
    return route("kept", path, allow, f"{match}, encoded_slashes: keep")


def warnings(directory: Path, *routes: str) -> list[str]:
    file = directory / "sidecar.yaml"
    file.write_text(TRUST + "".join(routes))
    return [
        warning.text
        for warning in load(file, KeyFiles.IGNORED).warnings
        if "public route" not in warning.text
    ]


def stricter(directory: Path, *routes: str) -> str:
    """The stricter routes that are named, if any are."""
    _, *others = warnings(directory, *routes)
    return "; ".join(others).partition("one for ")[2].partition(", where")[0]


def test_the_setting_of_envoy_is_told_once(tmp_path: Path) -> None:
    routes = kept("/a/{id}"), kept("/b/{id}").replace("kept", "other")

    (text,) = warnings(tmp_path, *routes)
    assert "path_with_escaped_slashes_action to KEEP_UNCHANGED" in text
    assert warnings(tmp_path, route("a", "/a/{id}", "authenticated: true")) == []


def test_stricter_routes_of_the_decoded_path_are_told(tmp_path: Path) -> None:
    routes = (
        kept("/{x}"),
        route("admin", "/admin/**", "any_role: [admin]"),
        route("users", "/users/{id}", "scopes: [users]"),
        route("open", "/open/**", "public: true"),
    )
    _, text = warnings(tmp_path, *routes)

    assert text == (
        'a request for "kept" may be, with its slashes decoded, one for admin, users, where more '
        "is asked; make sure that the service finds its own route before it decodes, or put a "
        "literal segment in front of the parameter"
    )


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/{x}", "/**"),
        ("/{x}", "/a/b"),
        ("/{x}", "/a/b/c/d"),
        ("/{x}", "/*/b"),
        ("/{x}", "/{a}/{b}.json"),
        ("/a/{x}", "/a/b/**"),
        ("/a/{x}/c", "/a/*/b/c"),
        ("/a/{x}/c", "/a/b/{y}/*"),
        ("/{x}/c", "/a/**"),
        ("/a/{x}.json", "/a/b/c.json"),
        ("/a-{x}", "/a-b/c"),
        ("/{x}/b.json", "/a/b/{c}.json"),
        ("/{x}/", "/a/b/"),
        ("/{x}/*", "/a/b/c"),
    ],
)
def test_a_path_that_falls_under_another_route_when_decoded_is_seen(
    tmp_path: Path, path: str, other: str
) -> None:
    strict = route("strict", other, "scopes: [a]")
    assert stricter(tmp_path, kept(path), strict) == "strict"


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/{x}", "/a"),
        ("/{x}", "/a/"),
        ("/a/{x}", "/a/b"),
        ("/a/{x}", "/b/**"),
        ("/a/{x}", "/a/b/"),
        ("/a/{x}/c", "/a/b/d/e"),
        ("/a/{x}/b.json", "/a/b/c/{d}.yaml"),
        ("/{x}/", "/a/b"),
        ("/a/*/{x}", "/a/b/c"),
        ("/{x}/b/*", "/a/b"),
    ],
)
def test_a_path_that_falls_under_no_other_route_when_decoded_needs_no_warning(
    tmp_path: Path, path: str, other: str
) -> None:
    strict = route("strict", other, "scopes: [a]")
    assert stricter(tmp_path, kept(path), strict) == ""


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ("public: true", "authenticated: true", True),
        ("public: true", "optional: true", True),
        ("optional: true", "authenticated: true", True),
        ("authenticated: true", "max_age: 5m", True),
        ("scopes: [a]", "scopes: [a, b]", True),
        ("authenticated: true", "public: true", False),
        ("authenticated: true", "optional: true", False),
        ("scopes: [a]", "scopes: [a]", False),
        ("when: 'true'", "when: 'true'", False),
        ("when: 'true'", "when: 'false'", True),
        ("authenticated: true", "tokens: [request], authenticated: true", True),
        ("scopes: [a]", "authenticated: true", False),
    ],
)
def test_only_a_route_that_asks_for_more_is_stricter(
    tmp_path: Path, ours: str, theirs: str, *, told: bool
) -> None:
    other = route("strict", "/a/b", theirs)
    assert stricter(tmp_path, kept("/{x}", ours), other) == ("strict" if told else "")


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (", methods: [GET]", ", methods: [HEAD]", True),
        (", methods: [GET]", ", methods: [POST]", False),
        (", methods: [GET]", "", True),
        (", hosts: [a.test]", ", hosts: [b.test]", False),
        (", hosts: [a.test]", ', hosts: ["*.test"]', True),
        (', hosts: ["*.test"]', ", hosts: [a.b.test]", True),
        (', hosts: ["*.a.test"]', ', hosts: ["*.test"]', True),
        (', hosts: ["*.a.test"]', ', hosts: ["*.b.test"]', False),
        (", hosts: [a.test]", "", True),
    ],
)
def test_only_a_route_of_the_same_hosts_and_methods_is_told(
    tmp_path: Path, ours: str, theirs: str, *, told: bool
) -> None:
    routes = kept("/{x}", match=ours), route("strict", "/a/b", "scopes: [a]", theirs)
    assert stricter(tmp_path, *routes) == ("strict" if told else "")


def test_a_route_that_only_envoy_names_has_no_path(tmp_path: Path) -> None:
    named = "  - {name: named, allow: {scopes: [a]}}\n"
    assert stricter(tmp_path, kept("/{x}"), named) == ""
