"""A configuration and tokens for it, and the command line run in this process."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sidecar.cli import main
from tests.support.sidecar_process import write_json
from tests.support.tokens import jwks, key_for

CONFIGURATION = """
role: sidecar
trust:
  - name: gateway
    kind: request
    issuer: https://gateway.example
    audiences: [orders]
    algorithms: [ES256]
    keys: {file: {path: gateway.json}}
identity: {headers: {x-user-id: sub}}
routes:
  - {name: health, match: {path: /healthz}, allow: {public: true}}
  - {name: catalogue, match: {path: /catalogue}, allow: {optional: true}}
  - name: orders
    match: {methods: [GET], path: "/orders/{id}"}
    allow: {scopes: ["orders:read"]}
"""


class Outcome(NamedTuple):
    status: int
    output: str
    errors: str


Run = Callable[..., Outcome]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    write_json(tmp_path / "gateway.json", jwks(key_for("ES256")))
    file = tmp_path / "sidecar.yaml"
    file.write_text(CONFIGURATION)
    return file


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``sidecar`` with arguments and a standard input; wrong use is a status as well."""

    def run_command(*arguments: object, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as leave:
            status = leave.code if isinstance(leave.code, int) else 1
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run_command
