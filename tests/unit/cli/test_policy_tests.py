"""``sidecar test``."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.tokens import claims, key_for, sign
from tests.unit.cli.conftest import Run

EXAMPLES = Path(__file__).parents[2] / "support" / "configurations"


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


@pytest.mark.parametrize(
    ("name", "policy", "number"),
    [("sidecar.yaml", "policy.yaml", 9), ("conditions.yaml", "conditions_policy.yaml", 13)],
)
def test_the_example_holds(run: Run, name: str, policy: str, number: int) -> None:
    status, output, _ = run("test", "-c", EXAMPLES / name, EXAMPLES / policy)

    assert (status, output.splitlines()[-1]) == (0, f"{number} tests, 0 failed")


def test_no_key_file_is_needed(run: Run, configuration: Path, tests: Path) -> None:
    (configuration.parent / "gateway.json").unlink()
    tests.write_text(
        "tests: [{name: a, request: {path: /catalogue}, token: {trust: gateway},"
        " expect: {decision: allow, reason: authorized}}]"
    )

    assert run("test", "-c", configuration, tests).status == 0


def test_every_difference_is_told(run: Run, configuration: Path, tests: Path) -> None:
    tests.write_text(
        """
tests:
  - name: wrong in everything
    request: {path: /orders/1}
    expect: {decision: allow, reason: public, route: health, headers: {x-user-id: alice}}
  - name: wrong headers
    request: {path: /catalogue}
    token: {trust: gateway, claims: {sub: alice}}
    expect: {decision: allow, headers: {x-user-id: bob, x-other: null}}
"""
    )
    status, output, _ = run("test", "-c", configuration, tests)

    assert status == 1
    assert output.splitlines() == [
        "FAIL wrong in everything",
        "       decision: expected allow, got deny (no_credential)",
        "       reason: expected public, got no_credential",
        "       route: expected health, got orders",
        "       headers: expected changes, got none because the request is denied",
        "FAIL wrong headers",
        "       header x-user-id: expected bob, got alice",
        "       header x-other: expected removed, got no change",
        "2 tests, 2 failed",
    ]


def test_of_a_denial_that_was_not_expected_its_detail_is_told(
    run: Run, configuration: Path, tests: Path
) -> None:
    roles = "roles_claim: realm_access.roles\n    keys: {file"
    text = configuration.read_text().replace("keys: {file", roles)
    configuration.write_text(text.replace('scopes: ["orders:read"]', "any_role: [manager]"))
    tests.write_text(
        """
now: 2026-01-31T12:00:00Z
tests:
  - name: a manager
    request: {path: /orders/1}
    token: {trust: gateway, claims: {realm_access: {roles: [manager]}, scope: "orders:read"}}
    expect: {decision: allow}
  - name: another service's
    request: {path: /orders/1}
    token: {trust: gateway, claims: {aud: stock}}
    expect: {decision: deny, reason: expired}
  - name: expected
    request: {path: /orders/1}
    token: {trust: gateway, claims: {aud: stock}}
    expect: {decision: deny, reason: wrong_audience}
"""
    )
    status, output, _ = run("test", "-c", configuration, tests)

    assert status == 1
    assert output.splitlines() == [
        "FAIL a manager",
        "       decision: expected allow, got deny (missing_role)",
        "       detail: one of: manager",
        "       asked for: tokens: request",
        "       asked for: any_role: manager",
        "       the token's scopes: orders:read, in scope",
        "       the token's roles: none, as realm_access.roles is missing; "
        "there is [realm_access, roles]",
        "       the token's groups: none, as groups is missing",
        "FAIL another service's",
        "       reason: expected expired, got wrong_audience",
        "       detail: gateway accepts: orders",
        "       aud: stock",
        "       issuer: gateway",
        "       sub: test",
        "       iat 2026-01-31T12:00:00Z (0 s ago)",
        "       exp 2026-01-31T12:01:00Z (in 60 s)",
        "       aud stock, accepted: orders",
        "       sub test",
        "ok   expected",
        "3 tests, 2 failed",
    ]


def test_a_token_of_an_issuer_without_a_key_is_told(
    run: Run, configuration: Path, tests: Path
) -> None:
    brought = claims(issuer="https://gateway.example", audience="orders", subject="alice")
    token = sign(brought, key_for("ES256"))
    header = f"{{authorization: 'Bearer {token}'}}"
    tests.write_text(
        f"tests: [{{name: a, request: {{path: /catalogue, headers: {header}}},"
        " expect: {decision: allow}}]"
    )

    status, output, _ = run("test", "-c", configuration, tests)

    assert status == 1
    assert "got deny (keys_unavailable)" in output


def test_shadow_mode_is_decided_as_if_enforced_and_said(
    run: Run, configuration: Path, tests: Path
) -> None:
    configuration.write_text(configuration.read_text() + "mode: shadow\n")
    tests.write_text(
        """
tests:
  - name: nobody reads an order
    request: {path: /orders/1}
    expect: {decision: deny, reason: no_credential, route: orders}
  - name: anybody reads the catalogue
    request: {path: /catalogue, headers: {x-user-id: mallory}}
    expect: {decision: allow, reason: anonymous, headers: {x-user-id: null}}
  - name: anybody reads an order
    request: {path: /orders/1}
    expect: {decision: allow}
"""
    )
    status, output, _ = run("test", "-c", configuration, tests)

    assert status == 1
    first, *rest = output.splitlines()
    assert first == (
        "mode is shadow: decided as if enforced; the sidecar lets through what is marked would_deny"
    )
    assert rest == [
        "ok   nobody reads an order (would_deny)",
        "ok   anybody reads the catalogue",
        "FAIL anybody reads an order (would_deny)",
        "       decision: expected allow, got deny (no_credential)",
        "3 tests, 1 failed",
    ]


def test_junit_has_a_case_per_test(run: Run, configuration: Path, tests: Path) -> None:
    tests.write_text(
        'tests:\n- {name: "good <&>", request: {path: /healthz}, expect: {decision: allow}}\n'
        '- {name: "bad\\e", request: {path: /healthz}, expect: {decision: deny}}\n'
    )
    report = tests.with_suffix(".xml")
    status, _, _ = run("test", "-c", configuration, tests, "--junit", report)

    assert status == 1
    suite = ElementTree.parse(report).getroot()[0]  # noqa: S314 - written by this test
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("policy", "2", "1")
    good, bad = suite
    assert (good.get("name"), len(good)) == ("good <&>", 0)
    assert (bad.get("name"), bad[0].get("message")) == (
        "bad\\x1b",
        "decision: expected deny, got allow (public)",
    )


def test_a_report_that_cannot_be_written_is_a_fault(
    run: Run, configuration: Path, tests: Path
) -> None:
    tests.write_text("tests: [{name: a, request: {path: /healthz}, expect: {decision: allow}}]")
    outcome = run("test", "-c", configuration, tests, "--junit", tests.parent / "no" / "x.xml")

    assert outcome.status == 2
    assert "cannot be written" in outcome.errors


def test_mistakes_in_the_file_are_told_with_their_places(
    run: Run, configuration: Path, tests: Path
) -> None:
    tests.write_text(
        "now: noon\ntests:\n"
        "- {name: a, request: {path: /a, headers: {X-A: b}}, expect: {decision: alow}}\n"
        "- {name: b, request: {path: /a}, expect: {decision: deny, reason: because}}\n"
    )
    status, _, errors = run("test", "-c", configuration, tests)

    assert status == 2
    places = [line.removeprefix(str(tests)).split(": ")[0] for line in errors.splitlines()]
    assert places == [":1:6", ":3:43", ":3:72", ":4:67"]


def test_a_token_of_nobody_is_a_mistake(run: Run, configuration: Path, tests: Path) -> None:
    tests.write_text(
        "tests: [{name: a, request: {path: /a}, token: {trust: x}, expect: {decision: deny}}]"
    )
    status, _, errors = run("test", "-c", configuration, tests)

    assert (status, errors) == (
        2,
        f'{tests}:1:55: no trust entry is called "x"; accepted: gateway\n',
    )


@pytest.mark.parametrize("algorithm", ["ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS512"])
def test_any_algorithm_can_be_stood_in_for(
    run: Run, configuration: Path, tests: Path, algorithm: str
) -> None:
    configuration.write_text(configuration.read_text().replace("ES256", algorithm))
    tests.write_text(
        "tests: [{name: a, request: {path: /catalogue}, token: {trust: gateway},"
        " expect: {decision: allow, reason: authorized}}]"
    )

    assert run("test", "-c", configuration, tests).status == 0


def test_a_cookie_carries_the_token_where_it_is_expected(
    run: Run, configuration: Path, tests: Path
) -> None:
    text = "token_sources: [{cookie: token}]\n"
    configuration.write_text(
        configuration.read_text().replace(
            "    algorithms", "    audience_claim: [a, b]\n    algorithms"
        )
        + text
    )
    tests.write_text(
        "tests: [{name: a, request: {path: /catalogue}, token: {trust: gateway},"
        " expect: {decision: allow, reason: authorized}}]"
    )

    assert run("test", "-c", configuration, tests).status == 0


@pytest.mark.parametrize("values", ["any", "[t-1, t-2]"])
def test_a_token_of_many_issuers_has_the_claim_that_stands_in_its_issuer(
    run: Run, configuration: Path, tests: Path, values: str
) -> None:
    issuer, pattern = "issuer: https://gateway.example", "https://login.example/{tid}/v2.0"
    text = configuration.read_text().replace("x-user-id: sub", "x-user-id: sub, x-tenant: tid")
    configuration.write_text(
        text.replace(issuer, f'issuer_pattern: {{pattern: "{pattern}", values: {values}}}')
    )
    tests.write_text(
        """
tests:
  - name: the first tenant
    request: {path: /catalogue}
    token: {trust: gateway}
    expect: {decision: allow, reason: authorized}
  - name: a tenant that is written down
    request: {path: /catalogue}
    token: {trust: gateway, claims: {iss: "https://login.example/t-2/v2.0", tid: t-2}}
    expect: {decision: allow, headers: {x-user-id: test, x-tenant: t-2}}
  - name: a tenant in the name of another
    request: {path: /catalogue}
    token: {trust: gateway, claims: {iss: "https://login.example/t-2/v2.0", tid: t-1}}
    expect: {decision: deny, reason: untrusted_issuer}
"""
    )

    status, output, _ = run("test", "-c", configuration, tests)

    assert (status, output.splitlines()[-1]) == (0, "3 tests, 0 failed")
    assert run("validate", "-c", configuration).output.endswith(
        f"valid: {1 if values == 'any' else 2} issuer{'s' * (values != 'any')}, 3 routes\n"
    )


def test_a_protocol_carries_the_token_where_it_is_expected(
    run: Run, configuration: Path, tests: Path
) -> None:
    protocol = '{header: sec-websocket-protocol, prefix: "bearer."}'
    configuration.write_text(f"{configuration.read_text()}token_sources: [{protocol}]\n")
    tests.write_text(
        """
tests:
  - name: a socket with a token
    request: {path: /catalogue, headers: {sec-websocket-protocol: graphql-ws}}
    token: {trust: gateway}
    expect:
      decision: allow
      reason: authorized
      headers: {sec-websocket-protocol: graphql-ws}
  - name: a socket with a token and no other protocol
    request: {path: /catalogue}
    token: {trust: gateway}
    expect: {decision: allow, headers: {sec-websocket-protocol: null}}
  - name: a socket without a token
    request: {path: /orders/1, headers: {sec-websocket-protocol: graphql-ws}}
    expect: {decision: deny, reason: no_credential}
"""
    )
    status, output, _ = run("test", "-c", configuration, tests)

    assert (status, output.splitlines()[-1]) == (0, "3 tests, 0 failed")


def test_protocols_of_a_websocket_stand_beside_a_token_in_the_header(
    run: Run, configuration: Path, tests: Path
) -> None:
    sources = (
        "token_sources: [{header: authorization, scheme: Bearer},"
        ' {header: sec-websocket-protocol, prefix: "bearer."}]'
    )
    configuration.write_text(f"{configuration.read_text()}{sources}\n")
    tests.write_text(
        "tests: [{name: a, token: {trust: gateway}, expect: {decision: allow},"
        " request: {path: /catalogue, headers: {sec-websocket-protocol: graphql-ws}}}]"
    )

    assert run("test", "-c", configuration, tests).status == 0
