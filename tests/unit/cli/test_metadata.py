"""``sidecar metadata``."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.unit.cli.conftest import Run

URL = "https://orders.example/.well-known/oauth-protected-resource"


def entry(name: str, issuer: str, more: str = "kind: external, types: [jwt]") -> str:
    """A trust entry."""
    keys = f'keys: {{jwks: {{url: "https://{name}.example/keys"}}}}'
    return (
        f"  - {{name: {name}, issuer: {issuer}, {more}, audiences: [shop], algorithms: [ES256],"
        f" {keys}}}"
    )


SIDECAR = f"""
role: sidecar
trust:
{entry("idp", "https://idp.example/tenant")}
{entry("old", "idp.example")}
{entry("gateway", "https://gateway.example", "kind: request")}
{entry("cluster", "https://cluster.example", "kind: workload, types: [none], subjects: ['a:*']")}
routes:
  - {{name: read, match: {{path: /a}}, allow: {{tokens: [external], any_scope: [read, write]}}}}
  - {{name: all, match: {{path: /b}}, allow: {{scopes: ["orders:all"]}}}}
  - {{name: health, match: {{path: /healthz}}, allow: {{public: true}}}}
"""
GATEWAY = f"""
role: gateway
issuer: https://gateway.example
trust:
{entry("idp", "https://idp.example")}
{entry("partner", "https://partner.example")}
credentials:
  - {{name: bearer, header: authorization, scheme: bearer, jwt: {{trust: [idp]}}}}
  - name: sso
    cookie: sso
    introspection:
      issuer: https://sso.example
      url: https://sso.example/introspect
      client: {{id: gateway, secret_file: secret}}
      clients: [web]
  - name: legacy
    cookie: legacy
    introspection:
      url: https://legacy.example/introspect
      client: {{id: gateway, secret_file: secret}}
      clients: [web]
  - {{name: login, header: x-login, exchange_only: true, jwt: {{trust: [partner]}}}}
  - name: session
    cookie: __Host-session
    session: {{keys: {{directory: session-keys}}, issued_for: [login, sso]}}
request_tokens:
  keys: {{directory: request-keys}}
  audiences: {{orders: [read, write], payments: [pay]}}
routes:
  - {{name: a, match: {{path: /a}}, allow: {{scopes: [enter]}}, token: {{audiences: [orders]}}}}
"""


def printed(run: Run, tmp_path: Path, text: str, url: str = URL) -> tuple[dict[str, Any], str]:
    """The document, and what is said besides."""
    file = tmp_path / "configuration.yaml"
    file.write_text(f"{text}\nresource_metadata: {url}\n")
    status, output, errors = run("metadata", "-c", file)
    assert status == 0
    document: dict[str, Any] = json.loads(output)
    return document, errors


def test_the_document_follows_from_a_sidecars_configuration(run: Run, tmp_path: Path) -> None:
    document, errors = printed(run, tmp_path, SIDECAR)

    assert document == {
        "resource": "https://orders.example",
        "authorization_servers": ["https://idp.example/tenant"],
        "scopes_supported": ["orders:all", "read", "write"],
        "bearer_methods_supported": ["header"],
    }
    assert errors == (
        "authorization_servers leaves out the issuer idp.example: it is no https URL (RFC 8414 "
        "§2)\n"
    )


def test_the_document_follows_from_a_gateways_configuration(run: Run, tmp_path: Path) -> None:
    document, errors = printed(run, tmp_path, GATEWAY)

    assert document == {
        "resource": "https://orders.example",
        "authorization_servers": ["https://idp.example", "https://sso.example"],
        "scopes_supported": ["enter", "read", "write"],
        "bearer_methods_supported": ["header"],
    }
    assert errors == (
        "authorization_servers leaves out the issuer of legacy: its introspection names no issuer\n"
    )


@pytest.mark.parametrize(
    ("written", "issuers", "told"),
    [
        ('issuers: ["https://b.example", "https://a.example"]', ["a", "b"], ""),
        (
            'issuer_pattern: {pattern: "https://idp.example/{tid}", values: any}',
            [],
            "authorization_servers leaves out the issuers of idp: any value of their pattern is "
            "accepted\n",
        ),
    ],
    ids=["a list", "any value"],
)
def test_an_entry_may_have_many_issuers(
    run: Run, tmp_path: Path, written: str, issuers: list[str], told: str
) -> None:
    text = SIDECAR.replace("issuer: https://idp.example/tenant", written)
    text = text.replace("issuer: idp.example", "issuer: https://old.example")
    text += "identity: {headers: {x-user-id: sub, x-issuer: iss}}"

    document, errors = printed(run, tmp_path, text)

    expected = [*(f"https://{name}.example" for name in issuers), "https://old.example"]
    assert document["authorization_servers"] == expected
    assert errors == told


@pytest.mark.parametrize(
    ("sources", "methods"),
    [
        ("[{header: authorization, scheme: bearer}, {cookie: a}]", ["header"]),
        ("[{header: authorization, scheme: Token}]", None),
        ('[{cookie: a}, {header: x-token}, {header: sec-websocket-protocol, prefix: "a."}]', None),
    ],
)
def test_the_bearer_methods_are_those_of_the_token_sources(
    run: Run, tmp_path: Path, sources: str, methods: list[str] | None
) -> None:
    document, _ = printed(run, tmp_path, f"{SIDECAR}token_sources: {sources}")

    assert document.get("bearer_methods_supported") == methods


def test_lists_without_elements_are_left_out(run: Run, tmp_path: Path) -> None:
    text = "role: sidecar\nroutes: [{name: a, match: {path: /a}, allow: {public: true}}]"
    document, _ = printed(run, tmp_path, text + "\ntoken_sources: [{cookie: a}]")

    assert document == {"resource": "https://orders.example"}


def test_the_resource_has_the_path_behind_the_well_known_one(run: Run, tmp_path: Path) -> None:
    document, _ = printed(run, tmp_path, SIDECAR, f"{URL}/api/v1")

    assert document["resource"] == "https://orders.example/api/v1"


def test_the_route_of_envoy_has_the_same_document(run: Run, tmp_path: Path) -> None:
    document, _ = printed(
        run, tmp_path, SIDECAR.replace("read, write", 'read, "it\'s"'), f"{URL}/a"
    )
    status, output, _ = run("metadata", "-c", tmp_path / "configuration.yaml", "--envoy")

    (route,) = YAML(typ="safe").load(output)
    assert status == 0
    assert output.startswith("# A route of the virtual host of orders.example, in front")
    assert route["match"] == {"path": "/.well-known/oauth-protected-resource/a"}
    assert json.loads(route["direct_response"]["body"]["inline_string"]) == document


def test_a_document_that_envoy_would_not_send_is_told(run: Run, tmp_path: Path) -> None:
    scopes = ", ".join(f"orders-{number:04}" for number in range(400))
    printed(run, tmp_path, SIDECAR.replace("read, write", scopes))
    status, _, errors = run("metadata", "-c", tmp_path / "configuration.yaml", "--envoy")

    assert status == 0
    assert "Envoy takes it with max_direct_response_body_size_bytes: " in errors


def test_without_a_url_there_is_no_document(run: Run, configuration: Path) -> None:
    status, _, errors = run("metadata", "-c", configuration)

    assert status == 2
    assert errors.endswith(
        "the document's URL is not written; write resource_metadata: "
        "https://HOST/.well-known/oauth-protected-resource\n"
    )
