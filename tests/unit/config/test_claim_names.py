"""A claim's name with dots that most likely was meant as a path is a warning."""

from pathlib import Path

import pytest

from sidecar.config import KeyFiles, load

SIDECAR = """
role: sidecar
trust:
  - name: idp
    kind: external
    issuer: https://idp.example
    audiences: [orders]
    algorithms: [ES256]
    types: [jwt]
    keys: {{jwks: {{url: "https://idp.example/keys"}}}}
    {trust}
identity: {{headers: {{x-user-id: {header}}}}}
routes:
  - {{name: a, match: {{path: /a}}, allow: {{tokens: [external]}}}}
"""
GATEWAY = """
role: gateway
issuer: https://gateway.example
credentials:
  - name: sso
    cookie: sso
    attributes: {{roles: ["*"], claims: [{attribute}]}}
    introspection:
      url: https://sso.example/introspect
      issuer: https://sso.example
      client: {{id: gateway, secret_file: /secrets/sso}}
      clients: [login]
      roles_claim: {role}
  - name: session
    cookie: __Host-session
    session:
      keys: {{directory: /sessions}}
      issued_for: [sso]
      outlives_credential: true
      claims: [{kept}]
request_tokens:
  keys: {{directory: /keys}}
  audiences: {{orders: []}}
  claims: {{department: {copied}}}
routes:
  - {{name: a, match: {{path: /a}}, allow: {{authenticated: true}}, token: {{audiences: [orders]}}}}
"""


def warnings(directory: Path, text: str) -> list[tuple[int, str]]:
    file = directory / "sidecar.yaml"
    file.write_text(text)
    found = load(file, KeyFiles.IGNORED).warnings
    return [(each.position.line, each.text) for each in found]


def told(name: str, instead: str) -> str:
    return f"{name} is the name of one claim, dots included, and leads to no nested one; {instead}"


@pytest.mark.parametrize(
    ("trust", "instead"),
    [
        ("roles_claim: realm_access.roles", "write [realm_access, roles]"),
        ("groups_claim: realm_access.roles", "write [realm_access, roles]"),
        ("scope_claim: realm_access.roles", "write [realm_access, roles]"),
        ("audience_claim: realm_access.roles", "write [realm_access, roles]"),
        ("required_claims: [sub, realm_access.roles]", "write [realm_access, roles]"),
        ("claim_values: {realm_access.roles: a}", "write realm_access: {roles: ...}"),
    ],
)
def test_a_claim_with_dots_is_told_with_the_list_to_write(
    tmp_path: Path, trust: str, instead: str
) -> None:
    text = SIDECAR.format(trust=trust, header="sub")

    assert warnings(tmp_path, text) == [(11, told("realm_access.roles", instead))]


def test_the_claim_of_an_identity_header_is_told(tmp_path: Path) -> None:
    text = SIDECAR.format(trust="leeway: 1s", header="user.name")

    assert warnings(tmp_path, text) == [(12, told("user.name", "write [user, name]"))]


@pytest.mark.parametrize(
    ("read", "told_once"),
    [
        ("'a' in claims['realm_access.roles'] || has(claims.a)", True),
        ("'realm_access.roles' in claims && claims['realm_access.roles'] == 'a'", True),
        ("'a' in claims.realm_access.roles", False),
        ("claims['https://shop.example/tier'] == 'gold' && claims.a == 'b.c'", False),
    ],
)
def test_a_claim_with_dots_that_a_condition_reads_is_told(
    tmp_path: Path, read: str, told_once: bool
) -> None:
    text = SIDECAR.format(trust="leeway: 1s", header="sub")
    text = text.replace("[external]}", f'[external], when: "{read}"}}')

    told_of = [(14, told("realm_access.roles", "write claims.realm_access.roles"))]
    assert warnings(tmp_path, text) == (told_of if told_once else [])


@pytest.mark.parametrize(
    "claim",
    [
        "https://shop.example/roles",
        "http://shop.example/claims/roles.v1",
        "cognito:groups",
        "[realm_access, roles]",
        "[resource_access, shop.example, roles]",
        "urn:zitadel:iam:org:project:roles",
    ],
)
def test_other_names_are_good(tmp_path: Path, claim: str) -> None:
    text = SIDECAR.format(trust=f'roles_claim: {claim}\n    scope_claim: "scp"', header=claim)

    assert warnings(tmp_path, text) == []


def test_the_claims_of_a_gateway_are_told(tmp_path: Path) -> None:
    dotted = GATEWAY.format(attribute="a.b", role="c.d", kept="e.f", copied="a.b")

    found = [each for each in warnings(tmp_path, dotted) if "dots included" in each[1]]
    assert found == [
        (7, told("a.b", "write [a, b]")),
        (13, told("c.d", "write [c, d]")),
        (20, told("e.f", "a session keeps whole claims: write e")),
        (24, told("a.b", "write [a, b]")),
    ]
    nested = GATEWAY.format(attribute="[a, b]", role="[c, d]", kept="a", copied="[a, b]")
    assert warnings(tmp_path, nested) == []
