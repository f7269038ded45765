"""Names of ``request`` that no request has, wherever an expression reads them."""

import pytest

from sidecar.check.conditions import REQUEST_FIELDS, Read
from sidecar.check.routes import Routed
from sidecar.config.condition_fields import UnknownName, compiled, unknown_names
from tests.support.checks import request, route


def unknown(expression: str, *headers: str) -> list[UnknownName]:
    return list(unknown_names(compiled(expression), ["id"], headers))


def test_the_fields_are_those_that_conditions_are_given() -> None:
    facts = Routed(request(), route("a", "/a"), "/a").facts()
    assert set(facts) == set(REQUEST_FIELDS)
    facts = Routed(request(), route("a", "/a", headers=("x-tenant",)), "/a").facts()
    assert set(facts) == {*REQUEST_FIELDS, "headers"}


@pytest.mark.parametrize(
    "expression",
    [
        "request.method == 'GET' && request.host != '' && request.path == request.caller",
        "request.params.id == '1' && request['params']['id'] == '1'",
        "has(request.params.id) && 'id' in request.params && 'method' in request",
        "claims.params.x == 1 && claims.request.x == 1 && claims['request']['x'] == 1",
        "request.params[claims.sub] == 'a' && claims.sub in request.params && request != {}",
        "request.params.id.startsWith('request.hots') // request.hots",
        "claims.list.exists(request, request.x == 1)",
        "claims.list.exists(x, request.params.id == x)",
        "request.caller.size() > 0 && request.params.id.size() == 1",
    ],
)
def test_names_that_are_there_are_good(expression: str) -> None:
    assert unknown(expression) == []


@pytest.mark.parametrize(
    ("expression", "name", "of", "column"),
    [
        ("request.hots == ''", "hots", "request", 1),
        ("request['hots'] == ''", "hots", "request", 1),
        ("!has(request.hots)", "hots", "request", 6),
        ("'hots' in request", "hots", "request", 11),
        ("request.headers.accept == ''", "accept", "request.headers", 1),
        ("request.headers.size() == 1", "headers", "request", 1),
        ("request.params.x == ''", "x", "request.params", 1),
        ("request.params['x'] == ''", "x", "request.params", 1),
        ("request['params'].x == ''", "x", "request.params", 1),
        ("'x' in request.params", "x", "request.params", 8),
        ("[1, request.params.x].size() == 2", "x", "request.params", 5),
        ("{'a': request.params.x} == {}", "x", "request.params", 7),
        ("{request.params.x: 1} == {}", "x", "request.params", 2),
        ("request.params.x.size() == 1", "x", "request.params", 1),
        ("claims.list.all(i, i == request.params.x)", "x", "request.params", 25),
        ("request.hots.exists(request, request.x == 1)", "hots", "request", 1),
        (
            "claims.\u00e9 == request.params.x".replace("claims.\u00e9", "'\u00e9'"),
            "x",
            "request.params",
            8,
        ),
    ],
)
def test_a_name_that_is_never_there_is_found_with_its_place(
    expression: str, name: str, of: str, column: int
) -> None:
    (found,) = unknown(expression)

    assert (found.name, ".".join(found.of), found.line, found.column) == (name, of, 1, column)


def test_lines_of_an_expression_are_counted() -> None:
    found = unknown("true &&\n  request.a == 1 &&\n\n request.b == 1")
    assert sorted((each.line, each.column) for each in found) == [(2, 3), (4, 2)]


@pytest.mark.parametrize(
    "expression",
    [
        "request.headers['x-tenant'] == 'a' && request['headers'].tenant == 'b'",
        "'x-tenant' in request.headers && has(request.headers.tenant)",
        "request.headers.exists(name, request.headers[name] == claims.sub)",
    ],
)
def test_headers_that_are_declared_are_good(expression: str) -> None:
    assert unknown(expression, "x-tenant", "tenant") == []


@pytest.mark.parametrize(
    ("expression", "headers", "text"),
    [
        (
            "request.headers['x-tenant'] == 'a'",
            (),
            'request.headers never has "x-tenant"; declare what is read in allow.headers',
        ),
        (
            "request.headers.accept == 'a'",
            ("x-tenant",),
            'request.headers never has "accept"; declare what is read in allow.headers',
        ),
        (
            "request.headers['X-Tenant'] == 'a'",
            ("x-tenant",),
            'request.headers never has "X-Tenant"; did you mean "x-tenant"? declare what is read '
            "in allow.headers",
        ),
        (
            "request.headers.size() == 0",
            (),
            'request never has "headers"; declare what is read in allow.headers',
        ),
        (
            "request.header['x-tenant'] == 'a'",
            ("x-tenant",),
            'request never has "header"; did you mean "headers"? it has: method, host, path, '
            "params, caller, headers",
        ),
        (
            "request.url == ''",
            (),
            'request never has "url"; did you mean "path"? it has: method, host, path, params, '
            "caller, headers",
        ),
        ("request.query == ''", (), 'request never has "query"; did you mean "path"? it has: '),
        ("request.principal == ''", (), 'request never has "principal"; did you mean "caller"? '),
        (
            "request.path.segments == 1",
            (),
            'request.path never has "segments"; it is text: compare it, or ask '
            "request.path.contains(...)",
        ),
        ("'x' in request.host", (), 'request.host never has "x"; it is text: compare it, or ask '),
        ("request.params.id.size == 1", (), 'request.params.id never has "size"; it is text: '),
        (
            "request.headers['x-tenant'].id == ''",
            ("x-tenant",),
            'request.headers["x-tenant"] never has "id"; it is text: ',
        ),
        ("request.ip == ''", (), 'request never has "ip"; it has: method, host, path, params, '),
        ("request.params.ids == ''", (), 'request.params never has "ids"; did you mean "id"? it '),
    ],
)
def test_a_name_that_is_never_there_is_told_with_what_to_write(
    expression: str, headers: tuple[str, ...], text: str
) -> None:
    (found,) = unknown(expression, *headers)

    assert found.format().startswith(text)


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        ("claims.a.b == 1", [Read(("claims", "a", "b"), 1, 1), Read(("claims", "a"), 1, 1)]),
        ("has(claims.a)", [Read(("claims", "a"), 1, 5, tested=True)]),
        ("'a' in claims", [Read(("claims", "a"), 1, 8, tested=True)]),
        ("claims[claims.a] == 1", [Read(("claims", "a"), 1, 8)]),
        ("[{}].exists(claims, claims.a == 1)", []),
    ],
)
def test_the_values_that_are_read_by_name_are_found(expression: str, reads: list[Read]) -> None:
    assert [read for read in compiled(expression).reads if read.path[1:]] == reads


def test_the_lists_of_a_token_are_variables() -> None:
    reads = compiled("'a' in token.scopes && token . roles == []").reads

    assert Read(("token.scopes",), 1, 13) in reads
    assert Read(("token.roles",), 1, 30) in reads


def test_what_is_nested_too_deep_to_be_read_is_left_alone() -> None:
    assert unknown("[1].map(i, " * 20 + "request.params.x" + ")" * 20 + " == []") == []
