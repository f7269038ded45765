"""``sidecar check`` for a gateway."""

import json
import time
from pathlib import Path

import pytest

from sidecar.cli.gateway_simulation import GatewaySimulation
from sidecar.config import KeyFiles, load
from sidecar.gateway.settings import SessionCredential
from sidecar.rings.ring import begin
from sidecar.rings.ring_file import store
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from tests.support.sidecar_process import write_json
from tests.support.tokens import Json, claims, jwks, key_for, sign
from tests.unit.cli.conftest import Run

CONFIGURATION = """
role: gateway
issuer: https://gateway.example
trust:
  - name: acme
    kind: external
    issuer: https://acme.example
    audiences: [gateway]
    algorithms: [ES256]
    types: [at+jwt]
    keys: {file: {path: acme.json}}
credentials:
  - name: partners
    header: authorization
    scheme: Bearer
    subject_prefix: "partner:"
    jwt: {trust: [acme]}
  - name: sso
    cookie: sso
    introspection:
      url: https://sso.example/introspect
      client: {id: gateway, secret_file: secret}
  - name: session
    cookie: __Host-session
    session: {keys: {directory: session-keys}, issued_for: [sso]}
  - name: legacy
    header: x-legacy
    exchange_only: true
    introspection:
      url: https://legacy.example/introspect
      client: {id: gateway, secret_file: secret}
request_tokens:
  keys: {directory: request-keys}
  audiences: {orders: ["orders:read"]}
routes:
  - {name: health, match: {path: /healthz}, allow: {public: true}}
  - name: orders
    match: {path: "/orders/{id}"}
    allow: {scopes: ["orders:read"]}
    token: {audiences: [orders]}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    write_json(tmp_path / "acme.json", jwks(key_for("ES256")))
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIGURATION.replace("[sso]", "[sso, legacy]"))
    return file


def _token(**changes: object) -> str:
    details: Json = {"issuer": "https://acme.example", "audience": "gateway", "subject": "alice"}
    return sign(claims(**{**details, "scope": "orders:read", **changes}), key_for("ES256"))


def _answer(directory: Path, **changes: object) -> Path:
    file = directory / "answer.json"
    file.write_text(json.dumps({"active": True, "sub": "alice", "scope": "orders:read", **changes}))
    return file


def _outcomes(output: str) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in json.loads(output)["steps"]}


def test_a_token_buys_a_token_that_is_told_and_not_shown(run: Run, gateway: Path) -> None:
    token = _token()
    status, output, _ = run("check", "-c", gateway, "GET", "/orders/17", stdin=token)

    assert status == 0
    assert "acme, for external tokens" in output
    assert '    sub "partner:alice"' in output
    assert '    aud ["orders"]' in output
    assert '    scope "orders:read"' in output
    assert "set authorization: Bearer and a token" in output
    assert "eyJ" not in output


def test_what_a_credential_may_bring_is_told_beside_what_it_says(run: Run, gateway: Path) -> None:
    gateway.write_text(
        gateway.read_text()
        .replace(
            "    jwt: {trust", "    attributes: {roles: [clerk], claims: [acr]}\n    jwt: {trust"
        )
        .replace('{scopes: ["orders:read"]}', "{any_role: [boss, clerk]}")
    )

    status, output, _ = run(
        "check", "-c", gateway, "GET", "/orders/17", stdin=_token(roles=["boss"])
    )

    assert status == 1
    assert "missing_role" in output
    for line in ("the token's roles", "roles it may bring: clerk", "groups it may bring: none"):
        assert line in output


def test_steps_of_a_session_are_not_reached_by_a_token(run: Run, gateway: Path) -> None:
    _, output, _ = run("check", "-c", gateway, "GET", "/orders/17", "--json", stdin=_token())

    outcomes = _outcomes(output)
    assert "identity" not in outcomes
    assert outcomes.pop("session") == "not reached"
    assert set(outcomes.values()) == {"passed"}
    assert json.loads(output)["set"] == {"authorization": "Bearer and a token"}


def test_a_token_that_may_not_is_refused_at_its_step(run: Run, gateway: Path) -> None:
    token = _token(scope="other")
    status, output, _ = run("check", "-c", gateway, "GET", "/orders/17", "--json", stdin=token)

    assert status == 1
    assert json.loads(output)["reason"] == "insufficient_scope"
    assert (_outcomes(output)["policy"], _outcomes(output)["mint"]) == ("failed", "not reached")


def test_a_session_is_what_its_issuer_would_answer(run: Run, gateway: Path) -> None:
    options = ("--credential", "sso", "--answer", _answer(gateway.parent))
    status, output, _ = run("check", "-c", gateway, "GET", "/orders/17", *options, stdin="opaque")

    assert status == 0
    assert "of sso: 6 bytes, fingerprint " in output
    assert "the session's scopes: orders:read" in output
    assert '    sub "alice"' in output
    assert "opaque" not in output


def test_where_an_issuers_answer_has_its_roles_is_shown(run: Run, gateway: Path) -> None:
    answer = _answer(gateway.parent, realm_access={"roles": ["clerk"]})
    options = ("--credential", "sso", "--answer", answer)
    _, output, _ = run("check", "-c", gateway, "GET", "/orders/17", *options, stdin="opaque")

    for line in (
        "the session's scopes: orders:read",
        "the session's roles: none, as roles is missing; there is [realm_access, roles]",
        "the session's groups: none, as groups is missing",
    ):
        assert f"    {line}" in output.splitlines()


@pytest.mark.parametrize(
    ("changes", "reason", "step"),
    [
        ({"active": False}, "inactive_session", "session"),
        ({"exp": 1}, "expired", "claims"),
        ({"scope": "other"}, "insufficient_scope", "policy"),
    ],
)
def test_a_session_that_is_no_good_is_refused_at_its_step(
    run: Run, gateway: Path, changes: dict[str, object], reason: str, step: str
) -> None:
    options = ("--json", "--credential", "sso", "--answer", _answer(gateway.parent, **changes))
    status, output, _ = run("check", "-c", gateway, "GET", "/orders/17", *options, stdin="opaque")

    assert (status, json.loads(output)["reason"]) == (1, reason)
    assert _outcomes(output)[step] == "failed"


def test_a_session_of_the_gateways_own_is_opened_with_its_keys(run: Run, gateway: Path) -> None:
    directory = gateway.parent / "session-keys"
    directory.mkdir()
    now = time.time()
    ring = begin(SealingKey.generate(), TIMINGS, now)
    store(directory, ring)
    simulation = GatewaySimulation(load(gateway, KeyFiles.IGNORED), now, ring)
    credential = simulation.credentials["session"]
    assert isinstance(credential, SessionCredential)
    known = {"sub": "alice", "scope": "orders:read"}
    token = simulation.seal(credential, known, ends=now + 3600)

    header = ("--no-token", "--header", f"Cookie: __Host-session={token}")
    assert run("check", "-c", gateway, "GET", "/orders/1", *header).status == 0

    later = ("--credential", "session", "--at", str(now + 90))
    status, output, _ = run("check", "-c", gateway, "GET", "/orders/1", *later, stdin=token)

    assert status == 0
    assert '    sub "alice"' in output
    assert "set set-cookie: the session, renewed" in output
    assert token not in output


def test_the_form_of_a_text_says_which_credential_of_a_place_it_is(run: Run, gateway: Path) -> None:
    gateway.write_text(
        gateway.read_text().replace(
            "    cookie: sso\n", "    header: authorization\n    scheme: bearer\n"
        )
    )
    arguments = ("check", "-c", gateway, "GET", "/orders/17")
    answer = ("--answer", _answer(gateway.parent))

    assert run(*arguments, stdin=_token()).status == 0
    assert run(*arguments, "--credential", "sso", stdin=_token()).status == 0
    assert "of sso: 6 bytes" in run(*arguments, *answer, stdin="opaque").output
    for token, told in ((_token(), "nobody is asked"), ("opaque", "")):
        status, _, errors = run(*arguments, *(answer if told else ()), stdin=token)
        assert status == 2
        assert (told or "only its issuer knows whose a session of sso is") in errors


def test_a_text_that_no_credential_of_its_place_takes_needs_no_answer(
    run: Run, gateway: Path
) -> None:
    gateway.write_text(gateway.read_text().replace("cookie: sso\n", "cookie: __Host-session\n"))
    options = ("--credential", "sso", "--json")
    status, output, _ = run("check", "-c", gateway, "GET", "/orders/17", *options, stdin=_token())

    assert (status, json.loads(output)["reason"]) == (1, "malformed_token")


def test_requests_without_a_credential_need_no_answer(run: Run, gateway: Path) -> None:
    options = ("--no-token", "--json", "--credential", "sso")
    status, output, _ = run("check", "-c", gateway, "GET", "/orders/17", *options)
    assert (status, json.loads(output)["reason"]) == (1, "no_credential")

    status, output, _ = run("check", "-c", gateway, "GET", "/healthz", *options)
    assert (status, json.loads(output)["reason"]) == (0, "public")


def test_a_session_in_a_header_is_asked_about_like_one_on_standard_input(
    run: Run, gateway: Path
) -> None:
    header = ("--no-token", "--header", "Cookie: sso=opaque", "--header", "Accept: */*")
    status, _, errors = run("check", "-c", gateway, "GET", "/orders/17", *header)
    assert status == 2
    assert "only its issuer knows whose a session of sso is; " in errors

    answer = ("--answer", _answer(gateway.parent))
    assert run("check", "-c", gateway, "GET", "/orders/17", *header, *answer).status == 0
    assert run("check", "-c", gateway, "GET", "/healthz", *header).status == 0


def test_keys_that_were_not_looked_for_are_told(run: Run, gateway: Path) -> None:
    url = "{jwks: {url: 'https://acme.example/jwks.json'}}"
    text = gateway.read_text().replace("{file: {path: acme.json}}", url)
    gateway.write_text(text)
    _, output, _ = run("check", "-c", gateway, "GET", "/orders/17", "--json", stdin=_token())

    answer = json.loads(output)
    assert answer["reason"] == "keys_unavailable"
    assert answer["detail"].startswith("the keys of acme were not looked for: ")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--credential", "sso"), "only its issuer knows whose a session of sso is; "),
        (("--credential", "session"), "session-keys/ring.json cannot be read: "),
        (("--credential", "legacy"), "--credential legacy: requests may have partners, sso, "),
        (("--answer", "a.json"), "nobody is asked about partners; leave --answer out"),
        (("--credential", "sso", "--answer", "a.json"), "a.json cannot be read"),
    ],
)
def test_what_is_needed_and_not_there_is_told(
    run: Run, gateway: Path, options: tuple[str, ...], problem: str
) -> None:
    status, _, errors = run("check", "-c", gateway, "GET", "/orders/1", *options, stdin="opaque")

    assert status == 2
    assert problem in errors


def test_a_sidecar_has_no_credentials_to_choose_from(run: Run, configuration: Path) -> None:
    options = ("--credential", "sso")
    status, _, errors = run("check", "-c", configuration, "GET", "/", *options, stdin="a")

    assert (status, errors) == (
        2,
        "--credential and --answer are for the configuration of a gateway\n",
    )
