"""``sidecar check``."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.model import GATEWAY_STEPS, Step
from tests.support.key_server import JWKS, KeyServer, answering
from tests.support.tokens import Json, claims, jwks, key_for, new_key, sign
from tests.unit.cli.conftest import Run


def _token(**changes: object) -> str:
    details: Json = {"issuer": "https://gateway.example", "audience": "orders", "subject": "alice"}
    return sign(claims(**{**details, "scope": "orders:read", **changes}), key_for("ES256"))


def _outcomes(output: str) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in json.loads(output)["steps"]}


def test_an_allowed_request_passes_every_step(run: Run, configuration: Path) -> None:
    token = _token()
    status, output, _ = run("check", "-c", configuration, "GET", "/orders/17", stdin=token)

    assert status == 0
    assert [line[0] for line in output.splitlines()[:60] if line[:1] in {"✓", "✗", "-"}] == [
        "✓" for step in Step if step not in GATEWAY_STEPS
    ]
    assert "orders: GET /orders/{id} on any host" in output
    assert "in the header authorization, behind Bearer" in output
    assert "decision: allow" in output
    assert "set x-user-id: alice" in output
    assert token not in output
    assert token.rpartition(".")[2] not in output


def test_a_scheme_that_was_pasted_with_the_token_is_left_out(run: Run, configuration: Path) -> None:
    pasted = f"Bearer {_token()}"
    status, _, errors = run("check", "-c", configuration, "GET", "/orders/17", stdin=pasted)

    assert status == 0
    assert '"Bearer", which is no part of the token' in errors


def test_a_request_whose_scheme_is_there_twice_is_told_so(run: Run, configuration: Path) -> None:
    line = f"Authorization: Bearer Bearer {_token()}"
    arguments = ("GET", "/orders/17", "--no-token", "--header", line)
    status, output, _ = run("check", "-c", configuration, *arguments)

    assert status == 1
    assert "detail: there is Bearer behind the scheme; send the token alone" in output


def test_a_token_among_the_protocols_of_a_websocket_is_told(run: Run, configuration: Path) -> None:
    protocol = '{header: sec-websocket-protocol, prefix: "bearer."}'
    configuration.write_text(f"{configuration.read_text()}token_sources: [{protocol}]\n")
    token = _token()
    status, output, _ = run("check", "-c", configuration, "GET", "/orders/17", stdin=token)

    assert status == 0
    assert "in the header sec-websocket-protocol, behind bearer." in output
    assert "remove sec-websocket-protocol" in output
    assert token not in output


def test_a_method_that_no_route_takes_is_shown(run: Run, configuration: Path) -> None:
    _, output, _ = run("check", "-c", configuration, "get", "/orders/17", "--json", stdin=_token())

    assert json.loads(output)["reason"] == "invalid_method"
    assert _outcomes(output)["route"] == "failed"


def test_what_an_identity_header_carries_is_shown(run: Run, configuration: Path) -> None:
    text = configuration.read_text()
    headers = "{x-user-id: sub, x-scopes: {normalised: scopes}}"
    configuration.write_text(text.replace("{x-user-id: sub}", headers))

    _, output, _ = run("check", "-c", configuration, "GET", "/orders/17", stdin=_token())

    assert "x-user-id from sub" in output
    assert "x-scopes from the scopes" in output
    assert "set x-scopes: orders:read" in output


def test_the_claims_that_an_entry_names_are_shown_or_called_missing(
    run: Run, configuration: Path
) -> None:
    named = """
  - name: gateway
    audience_claim: client
    subject_claim: oid
    claim_values: {use: access, level: [1, 2]}
"""
    text = configuration.read_text().replace("\n  - name: gateway\n", named, 1)
    configuration.write_text(text)
    token = _token(use="access", client=["orders", "\u202e"], oid=True)
    _, output, _ = run("check", "-c", configuration, "GET", "/orders/17", stdin=token)

    assert 'client ["orders", "\\u202e"], accepted: orders' in output
    assert "use access, accepted: access" in output
    assert "level missing, accepted: 1, 2" in output
    assert "oid true" in output
    assert "detail: level is missing; accepted: 1, 2" in output


def test_it_is_shown_which_claims_are_read_and_where_others_of_their_name_are(
    run: Run, configuration: Path
) -> None:
    text = configuration.read_text()
    headers = "{x-user-id: sub, x-roles: roles, x-groups: {normalised: groups}, x-realm: realm}"
    text = text.replace("{x-user-id: sub}", headers)
    configuration.write_text(text.replace("keys: {file", "groups_claim: teams\n    keys: {file"))
    token = _token(
        realm={"roles": ["a"], "level": 1},
        resource_access={"shop": {"roles": ["b"]}},
        **{"https://idp.example/teams": ["c"]},
    )

    _, output, _ = run("check", "-c", configuration, "GET", "/orders/17", stdin=token)

    roles = "roles is missing; there is [realm, roles], [resource_access, shop, roles]"
    for line in (
        "the token's scopes: orders:read, in scope",
        f"the token's roles: none, as {roles}",
        "the token's groups: none, as teams is missing; there is https://idp.example/teams",
        "x-user-id from sub",
        f"x-roles from roles, as {roles}",
        "x-groups from the groups, of which there are none",
        "x-realm from realm",
    ):
        assert f"    {line}" in output.splitlines()


@pytest.mark.parametrize(
    ("key", "changes", "line"),
    [
        (
            "audience_claim: client_id",
            {"client": {"client_id": "orders"}},
            "client_id missing; there is [client, client_id], accepted: orders",
        ),
        (
            "required_claims: [tenant]",
            {"user": {"tenant": "a"}},
            "tenant missing; there is [user, tenant]",
        ),
        (
            "leeway: 1s",
            {"subject": None, "user": {"sub": "a"}},
            "sub missing; there is [user, sub]",
        ),
        ("leeway: 1s", {"subject": None}, "sub missing"),
    ],
)
def test_where_a_claim_of_the_token_is_nested_is_shown(
    run: Run, configuration: Path, key: str, changes: Json, line: str
) -> None:
    configuration.write_text(
        configuration.read_text().replace("keys: {file", f"{key}\n    keys: {{file")
    )

    _, output, _ = run("check", "-c", configuration, "GET", "/orders/17", stdin=_token(**changes))

    assert f"    {line}" in output.splitlines()


@pytest.mark.parametrize(
    ("path", "changes", "end"),
    [
        ("/orders//17", {}, ("unsafe_path", "path")),
        ("/nowhere", {}, ("no_route", "route")),
        ("/orders/17", {"issuer": "https://other.example"}, ("untrusted_issuer", "trust")),
        ("/orders/17", {"lifetime": -60}, ("expired", "claims")),
        ("/orders/17", {"audience": "stock"}, ("wrong_audience", "claims")),
        ("/orders/17", {"exp": 1e300}, ("authorized", "identity")),
        ("/orders/17", {"scope": "a"}, ("insufficient_scope", "policy")),
    ],
)
def test_a_denial_ends_at_its_step(
    run: Run, configuration: Path, path: str, changes: Json, end: tuple[str, str]
) -> None:
    _, output, _ = run("check", "-c", configuration, "GET", path, "--json", stdin=_token(**changes))

    answer = json.loads(output)
    outcomes = _outcomes(output)
    before = list(outcomes).index(end[1])
    last = "passed" if answer["decision"] == "allow" else "failed"
    after = len(outcomes) - before - 1
    assert answer["reason"] == end[0]
    assert [*outcomes.values()] == [*["passed"] * before, last, *["not reached"] * after]


def test_a_public_route_looks_at_no_token(run: Run, configuration: Path) -> None:
    status, output, _ = run("check", "-c", configuration, "GET", "/healthz", "--no-token", "--json")

    assert status == 0
    assert _outcomes(output)["credential"] == "not reached"


def test_an_optional_route_takes_no_step_for_a_token_that_is_not_there(
    run: Run, configuration: Path
) -> None:
    status, output, _ = run(
        "check", "-c", configuration, "GET", "/catalogue", "--no-token", "--json"
    )

    assert status == 0
    outcomes = _outcomes(output)
    assert (outcomes["credential"], outcomes["parse"], outcomes["policy"]) == (
        "passed",
        "not reached",
        "passed",
    )


def test_a_token_that_cannot_be_parsed_is_named_by_its_fingerprint(
    run: Run, configuration: Path
) -> None:
    status, output, _ = run("check", "-c", configuration, "GET", "/orders/1", stdin="secret-text")

    assert status == 1
    assert "malformed_token" in output
    assert "secret-text" not in output


def test_an_unknown_key_is_told_with_those_that_are_known(run: Run, configuration: Path) -> None:
    stranger = sign({"iss": "https://gateway.example"}, new_key("ES256", "stranger"))
    status, output, _ = run("check", "-c", configuration, "GET", "/orders/1", stdin=stranger)

    assert status == 1
    assert "reason: unknown_key" in output
    assert "its keys: test-ES256" in output


def test_a_bad_signature_names_the_key_it_was_held_against(run: Run, configuration: Path) -> None:
    forged = sign({"iss": "https://gateway.example"}, new_key("ES256", "test-ES256"))
    status, output, _ = run("check", "-c", configuration, "GET", "/orders/1", stdin=forged)

    assert status == 1
    assert "not signed by the key" in output


@pytest.mark.parametrize(
    ("more", "reason"), [("", "bad_signature"), ("without_kid: true", "unknown_key")]
)
def test_keys_that_were_not_tried_are_told(
    run: Run, configuration: Path, more: str, reason: str
) -> None:
    keys = [new_key("ES256", f"key-{number}") for number in range(3)]
    (configuration.parent / "gateway.json").write_text(json.dumps(jwks(*keys)))
    text = configuration.read_text()
    entry = f"key_candidates: 2\n    {more}\n    audiences:"
    configuration.write_text(text.replace("audiences:", entry))
    details: Json = {"issuer": "https://gateway.example", "audience": "orders", "subject": "alice"}
    token = sign(claims(**details), keys[2], kid=None)

    status, output, _ = run("check", "-c", configuration, "GET", "/orders/17", stdin=token)

    assert status == 1
    assert f"reason: {reason}" in output
    if not more:  # the last step is that of the key otherwise
        assert output.count("not signed by the key") == 2
    assert "detail: only 2 of the keys that fit were tried; key_candidates allows more" in output


def test_an_issuer_that_is_nearly_trusted_is_told(run: Run, configuration: Path) -> None:
    token = _token(issuer="https://Gateway.example/")
    status, output, _ = run("check", "-c", configuration, "GET", "/orders/17", stdin=token)

    assert status == 1
    assert (
        "detail: it differs from https://gateway.example in slashes or the case of letters alone"
        in output
    )


def test_keys_that_are_not_there_are_told(run: Run, configuration: Path) -> None:
    (configuration.parent / "gateway.json").unlink()
    status, output, _ = run("check", "-c", configuration, "GET", "/orders/1", stdin=_token())

    assert status == 1
    assert "reason: keys_unavailable" in output
    file = configuration.parent / "gateway.json"
    assert f"detail: no keys of gateway: {file} is not there" in output


def test_claims_cannot_move_the_cursor(run: Run, configuration: Path) -> None:
    token = _token(subject="\x1b[2J\u202e")
    _, output, _ = run("check", "-c", configuration, "GET", "/orders/1", stdin=token)

    assert "sub \\x1b[2J\\u202e" in output
    assert "\x1b" not in output


def test_the_time_can_be_chosen(run: Run, configuration: Path) -> None:
    arguments = ("check", "-c", configuration, "GET", "/orders/1", "--at")

    assert "expired" in run(*arguments, "2100-01-01T00:00:00Z", stdin=_token()).output
    assert "not_yet_valid" in run(*arguments, "0", stdin=_token()).output


def test_shadow_mode_is_decided_as_if_enforced_and_said(run: Run, configuration: Path) -> None:
    configuration.write_text(configuration.read_text() + "mode: shadow\n")
    arguments = ("check", "-c", configuration, "GET", "/orders/1")
    status, output, _ = run(*arguments, "--no-token")

    assert status == 1
    assert "decision: deny\n" in output
    assert "mode: shadow, and decided here as if enforced" in output
    assert "would_deny: the sidecar records this and lets the request through" in output
    assert "✗ the request carries at most one credential" in output

    answer = json.loads(run(*arguments, "--no-token", "--json").output)
    assert (answer["decision"], answer["mode"], answer["would_deny"]) == ("deny", "shadow", True)

    status, output, _ = run(*arguments, stdin=_token())
    assert status == 0
    assert "mode: shadow" in output
    assert "would_deny" not in output


def test_without_shadow_mode_nothing_is_said_of_it(run: Run, configuration: Path) -> None:
    arguments = ("check", "-c", configuration, "GET", "/orders/1", "--no-token")

    assert "shadow" not in run(*arguments).output
    answer = json.loads(run(*arguments, "--json").output)
    assert (answer["mode"], answer["would_deny"]) == ("enforce", False)


def test_headers_and_route_can_be_given(run: Run, configuration: Path) -> None:
    header = f"Authorization: Bearer {_token()}"
    options = ("--no-token", "--header", header, "--header", "X-User-Id: mallory")
    found = run("check", "-c", configuration, "GET", "/x", "--route", "orders", *options)
    missing = run("check", "-c", configuration, "GET", "/x", "--route", "nowhere", "--no-token")
    twice = run("check", "-c", configuration, "GET", "/orders/1", *options, *options[1:])

    assert "orders, as named in the request" in found.output
    assert "none is called nowhere" in missing.output
    assert "reason: ambiguous_request" in twice.output


@pytest.mark.parametrize(
    "wrong", [["--at", "noon"], ["--at", "2026-01-31T12:00:00"], ["--header", "no colon"], []]
)
def test_wrong_use_is_2(run: Run, configuration: Path, wrong: list[str]) -> None:
    status, output, errors = run("check", "-c", configuration, "GET", "/orders/1", *wrong)

    assert status == 2
    assert output == ""
    assert errors


@pytest.fixture
def from_url(configuration: Path, tmp_path: Path) -> Iterator[KeyServer]:
    """The same configuration with its keys at a URL."""
    with KeyServer(tmp_path, tls=False) as server:
        text = configuration.read_text()
        url = f"{{jwks: {{url: '{server.jwks_url}', allow_http: true}}}}"
        configuration.write_text(text.replace("{file: {path: gateway.json}}", url))
        yield server


@pytest.mark.usefixtures("from_url")
def test_keys_at_a_url_can_be_given_as_a_file(run: Run, configuration: Path) -> None:
    arguments = ("check", "-c", configuration, "GET", "/orders/1")
    file = configuration.parent / "gateway.json"

    told = (
        "the keys of gateway were not looked for: nothing is fetched without --fetch; add it, or "
        "give the keys with --keys gateway=FILE"
    )
    output = run(*arguments, stdin=_token()).output
    assert "reason: keys_unavailable" in output
    assert f"    {told}\n" in output
    assert f"detail: {told}\n" in output
    assert json.loads(run(*arguments, "--json", stdin=_token()).output)["detail"] == told
    assert run(*arguments, "--keys", f"gateway={file}", stdin=_token()).status == 0


def test_keys_at_a_url_are_fetched_when_asked_to(
    run: Run, configuration: Path, from_url: KeyServer
) -> None:
    from_url.publish(key_for("ES256"))
    arguments = ("check", "-c", configuration, "GET", "/orders/1", "--fetch")
    assert run(*arguments, stdin=_token()).status == 0

    from_url.misbehave(answering(b"<html>"))
    status, output, _ = run(*arguments, stdin=_token())
    assert status == 1
    assert "reason: keys_unavailable" in output
    assert "detail: no keys of gateway: " in output
    assert "too old" not in output


@pytest.mark.parametrize("fetched", [True, False], ids=["fetched", "given"])
def test_it_says_which_keys_are_left_out_and_why(
    configuration: Path, from_url: KeyServer, tmp_path: Path, fetched: bool
) -> None:
    weak = {"kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": "AQ" + "A" * 41}
    document = jwks(key_for("ES256"))
    document["keys"].append(weak)
    from_url.documents[JWKS] = document
    given = tmp_path / "given.json"
    given.write_text(json.dumps(document))
    keys = ["--fetch"] if fetched else ["--keys", f"gateway={given}"]
    check = [sys.executable, "-m", "sidecar", "check", "-c", str(configuration), "GET", "/orders/1"]

    told = subprocess.run(
        [*check, *keys], input=_token(), capture_output=True, text=True, check=True
    ).stderr
    assert "keys are left out" in told
    assert "the key 'weak' is a point of small order" in told


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("other=keys.json", "--keys other: the trust entries are gateway"),
        ("gateway=nowhere.json", "--keys gateway: nowhere.json cannot be read"),
        ("gateway", "'gateway' is not ISSUER=FILE"),
    ],
)
def test_keys_that_cannot_be_used_are_wrong_use(
    run: Run, configuration: Path, given: str, problem: str
) -> None:
    arguments = ("check", "-c", configuration, "GET", "/orders/1", "--keys", given)
    status, _, errors = run(*arguments, stdin=_token())

    assert status == 2
    assert problem in errors
