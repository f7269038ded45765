"""The smallest configuration of each role, to which tests add, and how they load such texts."""

from pathlib import Path

from sidecar.config import Configuration, KeyFiles, load

SIDECAR = """
role: sidecar
trust:
  - name: gateway
    kind: request
    issuer: https://gateway.example
    audiences: [orders]
    algorithms: [ES256]
    keys: {file: {path: keys/gateway.json}}
routes:
  - {name: all, match: {path: "/**"}, allow: {authenticated: true}}
"""
GATEWAY = """
role: gateway
issuer: https://gateway.example
credentials:
  - name: sso
    cookie: sso
    introspection:
      url: https://sso.example/introspect
      client: {id: gateway, secret_file: /secrets/sso}
      clients: [login]
request_tokens:
  keys: {directory: /keys}
  audiences: {orders: [read, write]}
routes:
  - {name: all, match: {path: "/**"}, allow: {authenticated: true}, token: {audiences: [orders]}}
"""


def load_text(
    directory: Path, text: str, expectation: KeyFiles = KeyFiles.IGNORED
) -> Configuration:
    """The configuration of a text, as a file in this directory."""
    file = directory / "configuration.yaml"
    file.write_text(text)
    return load(file, expectation)


def warnings_of(directory: Path, text: str) -> list[tuple[int, str]]:
    """The warnings about a text, with their lines."""
    warnings = load_text(directory, text).warnings
    return [(warning.position.line, warning.text) for warning in warnings]
