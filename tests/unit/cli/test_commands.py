"""The commands that are not about requests, and the command line itself."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar import cli
from sidecar.cli.texts import dated, read_token
from tests.support.tokens import key_for, sign
from tests.unit.cli.conftest import Run


def test_a_valid_configuration_is_counted(run: Run, configuration: Path) -> None:
    assert run("validate", "-c", configuration) == (
        0,
        f"{configuration}: valid: 1 issuer, 3 routes\n",
        "",
    )


def test_warnings_do_not_make_a_configuration_invalid(run: Run, configuration: Path) -> None:
    configuration.write_text(configuration.read_text() + "mode: shadow\n")
    status, _, errors = run("validate", "-c", configuration)

    assert status == 0
    assert errors.startswith(f"{configuration}:17:7: mode is shadow")


def test_of_a_gateway_the_credentials_are_counted_too(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "role: gateway\nissuer: https://gateway.example\ncredentials: []\n"
        "request_tokens:\n  audiences: {orders: []}\n"
        "  keys: {transit: {address: https://v.example, login: {token_file: /t}, key: k}}\n"
        "routes: [{name: a, match: {path: /a}, allow: {public: true}}]\n"
    )

    assert run("validate", "-c", file) == (
        0,
        f"{file}: valid: 0 credentials, 0 issuers, 1 route\n",
        "",
    )


def test_a_bad_configuration_is_2_and_starts_nothing(run: Run, configuration: Path) -> None:
    configuration.write_text("role: edge\n")
    status, output, errors = run("validate", "-c", configuration)

    assert (status, output) == (2, "")
    assert len(errors.splitlines()) == 2


def test_the_schema_has_a_configuration_for_each_role(run: Run) -> None:
    status, output, _ = run("schema")

    assert status == 0
    schema = json.loads(output)
    roles = [schema["$defs"][each["$ref"].rpartition("/")[2]] for each in schema["anyOf"]]
    assert [role["properties"]["role"]["const"] for role in roles] == ["sidecar", "gateway"]
    for role in roles:
        assert role["additionalProperties"] is False
        assert {"role", "routes"} <= set(role["required"])


def test_an_inspected_token_is_not_believed(run: Run) -> None:
    token = sign({"sub": "\x1b[2J", "exp": 0, "iat": True, "nbf": 1e300}, key_for("ES256"))
    status, output, _ = run("token", "inspect", stdin=f"  {token}\n")

    assert status == 0
    assert output.startswith("Not verified")
    assert '"kid": "test-ES256"' in output
    assert "exp: 1970-01-01T00:00:00Z (" in output
    assert "iat: True (not a date)" in output
    assert "nbf: 1e+300 (beyond any calendar)" in output
    assert "\x1b" not in output


def test_a_malformed_token_is_1_with_the_rule_it_breaks(run: Run) -> None:
    status, _, errors = run("token", "inspect", stdin="not a token")

    assert status == 1
    assert "malformed_token: it is not three base64url segments" in errors


@pytest.mark.parametrize("pasted", ["Bearer ", "bearer  ", "Authorization: Bearer "])
def test_a_scheme_that_was_pasted_with_the_token_is_left_out(run: Run, pasted: str) -> None:
    token = sign({"sub": "alice"}, key_for("ES256"))
    status, output, errors = run("token", "inspect", stdin=f"{pasted}{token}\n")

    assert status == 0
    assert '"sub": "alice"' in output
    assert errors == 'the text begins with "Bearer", which is no part of the token: left out\n'


@pytest.mark.parametrize(
    ("offset", "words"),
    [(30, "in 30 s"), (-119, "119 s ago"), (600, "in 10 min"), (-10800, "3 h ago"), (1e6, "12 d")],
)
def test_dates_are_told_relative_to_the_check(offset: float, words: str) -> None:
    assert words in dated(1_000_000_000 + offset, 1_000_000_000)


def test_a_person_is_asked_for_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal:
        buffer = io.BytesIO(b"token\n")

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())

    assert read_token() == "token"
    assert capsys.readouterr().err.startswith("Paste the token")


def test_every_command_has_a_module() -> None:
    for name in set(cli.COMMANDS) - {"serve"}:
        cli.parser([name])


def test_a_command_imports_only_what_it_uses() -> None:
    program = (
        "import sys, sidecar.cli as cli\n"
        "try: cli.main(['token', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'grpc', 'aiohttp', 'pydantic', 'ruamel'} & set(sys.modules)))"
    )
    output = subprocess.check_output([sys.executable, "-c", program], text=True)

    assert output.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["validate"], ["token"]])
def test_wrong_use_is_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).status == 2
