"""``sidecar test`` for a gateway."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

EXAMPLES = Path(__file__).parents[2] / "support" / "configurations"
GATEWAY = EXAMPLES / "gateway.yaml"


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def test_the_example_holds(run: Run) -> None:
    status, output, _ = run(
        "test", "-c", EXAMPLES / "gateway.yaml", EXAMPLES / "gateway_policy.yaml"
    )

    assert (status, output.splitlines()[-1]) == (0, "16 tests, 0 failed")


def test_what_differs_in_the_services_token_is_told(run: Run, tests: Path) -> None:
    tests.write_text(
        """
tests:
  - name: wrong token
    request: {path: /orders/1}
    token: {trust: acme, claims: {sub: alice, scope: "orders:read"}}
    expect:
      decision: allow
      token: {sub: alice, aud: [orders, payments], scope: null, department: books}
  - name: another JSON type
    request: {path: /orders/1}
    session:
      credential: sso
      claims: {client_id: portal, aud: gateway, profile: {department: true}}
    expect: {decision: allow, token: {department: 1}}
  - name: no token
    request: {path: /healthz}
    expect: {decision: allow, token: {sub: alice}}
"""
    )
    status, output, _ = run("test", "-c", GATEWAY, tests)

    assert status == 1
    assert output.splitlines() == [
        "FAIL wrong token",
        '       token sub: expected "alice", got "partner:alice"',
        '       token scope: expected none, got "orders:read"',
        '       token department: expected "books", got none',
        "FAIL another JSON type",
        "       token department: expected 1, got true",
        "FAIL no token",
        "       token: expected one, got none",
        "3 tests, 3 failed",
    ]


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (
            "session: {credential: partners}",
            'no credential with sessions is called "partners"; accepted: legacy, session, sso',
        ),
        ("token: {trust: sso}", 'no trust entry is called "sso"; accepted: acme, ci'),
        (
            "session: {credential: session, active: false}",
            "a session of the gateway's own ends by its dates alone; write expires_in",
        ),
        (
            "token: {trust: acme, credential: sso}",
            'no credential with tokens of acme is called "sso"; accepted: partners',
        ),
        (
            "session: {credential: sso}, token: {trust: acme}",
            "a request has one credential; leave out the token or the session",
        ),
    ],
)
def test_what_the_gateway_does_not_have_is_a_mistake(
    run: Run, tests: Path, case: str, problem: str
) -> None:
    tests.write_text(
        f"tests: [{{name: a, request: {{path: /a}}, {case}, expect: {{decision: deny}}}}]"
    )
    status, _, errors = run("test", "-c", GATEWAY, tests)

    assert status == 2
    assert errors.rstrip().endswith(f": {problem}")


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (
            "session: {credential: sso}, expect: {decision: deny}",
            "a sidecar takes tokens and no sessions; write token",
        ),
        (
            "token: {trust: gateway, credential: header}, expect: {decision: deny}",
            "a sidecar has token_sources and no credentials; leave it out",
        ),
        (
            "expect: {decision: allow, token: {sub: alice}}",
            "a sidecar makes no token; write the headers that it sets",
        ),
    ],
)
def test_what_a_sidecar_does_not_do_is_a_mistake(
    run: Run, configuration: Path, tests: Path, case: str, problem: str
) -> None:
    tests.write_text(f"tests: [{{name: a, request: {{path: /a}}, {case}}}]")
    status, _, errors = run("test", "-c", configuration, tests)

    assert status == 2
    assert errors.rstrip().endswith(f": {problem}")


_SHARED = """
role: gateway
issuer: https://gateway.shop.internal
trust:
  - name: idp
    kind: external
    issuer: https://idp.example
    audiences: [shop]
    algorithms: [ES256]
    types: [jwt]
    keys: {jwks: {url: "https://idp.example/keys"}}
request_tokens:
  keys: {directory: request-keys}
  audiences: {orders: ["orders:read"]}
routes:
  - name: apps
    match: {path: /apps}
    allow: {credentials: [bearer]}
    token: {audiences: [orders]}
  - name: api
    match: {path: /**}
    allow: {authenticated: true}
    token: {audiences: [orders]}
credentials:
  - {name: bearer, header: authorization, scheme: Bearer, jwt: {trust: [idp]}}
"""


def test_one_credential_is_tried_in_each_of_its_places(
    run: Run, tmp_path: Path, tests: Path
) -> None:
    gateway = tmp_path / "gateway.yaml"
    gateway.write_text(f"{_SHARED}  - {{name: cookie, cookie: id_token, jwt: {{trust: [idp]}}}}\n")
    tests.write_text(
        """
tests:
  - name: an app
    request: {path: /apps, method: POST, headers: {origin: "https://evil.example"}}
    token: {trust: idp}
    expect: {decision: allow, token: {sub: test}}
  - name: a browser
    request: {path: /orders}
    token: {trust: idp, credential: cookie}
    expect: {decision: allow, token: {sub: test}}
  - name: a page of another site
    request: {path: /orders, method: POST, headers: {origin: "https://evil.example"}}
    token: {trust: idp, credential: cookie}
    expect: {decision: deny, reason: cross_site_request}
  - name: a route for apps
    request: {path: /apps}
    token: {trust: idp, credential: cookie}
    expect: {decision: deny, reason: token_kind_not_accepted}
  - name: both at once
    request: {path: /orders, headers: {cookie: id_token=x}}
    token: {trust: idp}
    expect: {decision: deny, reason: ambiguous_request}
"""
    )

    status, output, _ = run("test", "-c", gateway, tests)

    assert (status, output.splitlines()[-1]) == (0, "5 tests, 0 failed")


def test_two_kinds_are_tried_in_one_place(run: Run, tmp_path: Path, tests: Path) -> None:
    gateway = tmp_path / "gateway.yaml"
    gateway.write_text(
        f"""{_SHARED}
  - name: opaque
    header: authorization
    scheme: Bearer
    introspection:
      url: https://sso.example/introspect
      client: {{id: gateway, secret_file: secret}}
      clients: [web]
"""
    )
    tests.write_text(
        """
tests:
  - name: a JWT
    request: {path: /apps}
    token: {trust: idp}
    expect: {decision: allow, token: {sub: test}}
  - name: a session
    request: {path: /orders}
    session: {credential: opaque, claims: {client_id: web}}
    expect: {decision: allow, token: {sub: test}}
  - name: a route for JWTs
    request: {path: /apps}
    session: {credential: opaque, claims: {client_id: web}}
    expect: {decision: deny, reason: token_kind_not_accepted}
  - name: a JWT that is refused
    request: {path: /orders}
    token: {trust: idp, expires_in: -1h}
    expect: {decision: deny, reason: expired}
  - name: what looks like a JWT
    request: {path: /orders, headers: {authorization: Bearer a.b.c}}
    expect: {decision: deny, reason: malformed_token}
  - name: what nobody knows
    request: {path: /orders, headers: {authorization: Bearer a.b}}
    expect: {decision: deny, reason: inactive_session}
"""
    )

    status, output, _ = run("test", "-c", gateway, tests)

    assert (status, output.splitlines()[-1]) == (0, "6 tests, 0 failed")


def test_the_services_token_says_of_which_tenant_its_subject_is(
    run: Run, tmp_path: Path, tests: Path
) -> None:
    pattern = 'issuer_pattern: {pattern: "https://login.example/{tid}/v2.0", values: [a, b]}'
    text = GATEWAY.read_text().replace("issuer: https://acme.example", pattern)
    file = tmp_path / "gateway.yaml"
    file.write_text(text.replace('subject_prefix: "partner:"', "subject_prefix: 'entra {iss}|'"))
    tests.write_text(
        """
tests:
  - name: one tenant
    request: {path: /orders/1}
    token: {trust: acme, claims: {sub: alice, scope: "orders:read"}}
    expect: {decision: allow, token: {sub: "entra https://login.example/a/v2.0|alice"}}
  - name: another
    request: {path: /orders/1}
    token:
      trust: acme
      claims: {iss: "https://login.example/b/v2.0", tid: b, sub: alice, scope: "orders:read"}
    expect: {decision: allow, token: {sub: "entra https://login.example/b/v2.0|alice"}}
"""
    )

    assert (
        run("test", "-c", file, tests).output
        == "ok   one tenant\nok   another\n2 tests, 0 failed\n"
    )
