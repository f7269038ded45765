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

    assert (status, output.splitlines()[-1]) == (0, "13 tests, 0 failed")


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
        "FAIL no token",
        "       token: expected one, got none",
        "2 tests, 2 failed",
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
