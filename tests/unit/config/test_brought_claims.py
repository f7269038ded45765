"""What credentials may bring, and what is read of it: a difference is a warning."""

from pathlib import Path

import pytest

from tests.support.smallest import GATEWAY, warnings_of


def _first_with(line: str) -> str:
    """The smallest file with a further line in its credential, which becomes line 6."""
    return GATEWAY.replace("    cookie: sso\n", f"    {line}\n    cookie: sso\n")


@pytest.mark.parametrize("kind", ["roles", "groups"])
def test_all_roles_or_groups_of_a_partner_are_a_warning(tmp_path: Path, kind: str) -> None:
    declared = f"attributes: {{{kind}: ['*']}}"
    prefix = "subject_prefix: 'partner:'"

    assert warnings_of(tmp_path, _first_with(declared)) == []
    assert warnings_of(tmp_path, _first_with(f"{prefix}\n    attributes: {{{kind}: [a]}}")) == []
    assert warnings_of(tmp_path, _first_with(f"{prefix}\n    {declared}")) == [
        (
            7,
            f"subject_prefix tells its subjects from others, and nothing tells its {kind} from "
            "those of your own; name the ones it may bring",
        )
    ]


@pytest.mark.parametrize("kind", ["roles", "groups"])
def test_a_regular_expression_in_place_of_a_name_is_a_warning(tmp_path: Path, kind: str) -> None:
    (warning,) = warnings_of(tmp_path, _first_with(f"attributes: {{{kind}: [team-a, '^team-.*']}}"))

    assert warning[0] == 6
    assert warning[1].startswith("this reads like a regular expression, and is none")


@pytest.mark.parametrize("kind", ["roles", "groups"])
def test_roles_or_groups_that_are_looked_for_and_dropped_are_a_warning(
    tmp_path: Path, kind: str
) -> None:
    text = GATEWAY.replace(
        "      clients: [login]\n", f"      clients: [login]\n      {kind}_claim: {kind}\n"
    )
    declared = text.replace(
        "    cookie: sso\n", f"    cookie: sso\n    attributes: {{{kind}: [a]}}\n"
    )

    assert warnings_of(tmp_path, declared) == []
    assert warnings_of(tmp_path, text) == [
        (
            11,
            f'the {kind} found here are dropped, because "sso" may bring none; list them in its '
            f"attributes, or leave {kind}_claim out",
        )
    ]


def test_roles_of_a_trust_entry_that_are_dropped_are_a_warning(tmp_path: Path) -> None:
    trust = """trust:
  - name: acme
    kind: external
    issuer: https://acme.example
    audiences: [shop]
    algorithms: [ES256]
    types: [jwt]
    roles_claim: [realm_access, roles]
    keys: {jwks: {url: https://acme.example/keys}}
"""
    partners = """
  - name: partners
    header: authorization
    scheme: Bearer
    subject_prefix: "partner:"
    jwt: {trust: [acme]}
"""
    text = GATEWAY.replace("credentials:", f"{trust}credentials:")
    text = text.replace("\nrequest_tokens", f"{partners}request_tokens")

    assert [line for line, _ in warnings_of(tmp_path, text)] == [11]


@pytest.mark.parametrize(
    ("old", "new", "line", "missing"),
    [
        ("  audiences: {orders", "  claims: {vip: vip}\n  audiences: {orders", 13, "vip"),
        (
            "  audiences: {orders",
            "  claims: {vip: [profile, vip]}\n  audiences: {orders",
            13,
            "profile.vip",
        ),
        ("allow: {authenticated: true}", "allow: {when: 'claims.vip == true'}", 15, "vip"),
        ("allow: {authenticated: true}", "allow: {when: \"'a' in claims['vip']\"}", 15, "vip"),
        ("allow: {authenticated: true}", "allow: {acr: [gold]}", 15, "acr"),
        ("allow: {authenticated: true}", "allow: {max_age: 5m}", 15, "auth_time"),
    ],
)
def test_a_claim_that_is_read_and_that_nobody_may_bring_is_a_warning(
    tmp_path: Path, old: str, new: str, line: int, missing: str
) -> None:
    text = GATEWAY.replace(old, new)
    declared = missing if "." not in missing else "[profile, vip]"

    assert warnings_of(tmp_path, text) == [
        (
            line,
            f"no credential may bring {missing}; list it in the attributes of those that may",
        )
    ]
    brings = f"    cookie: sso\n    attributes: {{claims: [{declared}]}}\n"
    assert warnings_of(tmp_path, text.replace("    cookie: sso\n", brings)) == []


@pytest.mark.parametrize("name", ["act", "may_act", "cnf"])
def test_a_condition_about_what_only_the_gateway_says_is_a_warning(
    tmp_path: Path, name: str
) -> None:
    text = GATEWAY.replace("allow: {authenticated: true}", f"allow: {{when: has(claims.{name})}}")

    assert warnings_of(tmp_path, text) == [(15, f"no credential may bring {name}; leave it out")]


def test_what_every_credential_brings_is_read_without_a_warning(tmp_path: Path) -> None:
    text = GATEWAY.replace(
        "allow: {authenticated: true}",
        "allow: {when: \"claims.sub != '' && claims.roles != [] && claims.client_id != ''\"}",
    )

    assert warnings_of(tmp_path, text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("allow: {authenticated: true}", "allow: {when: \"claims.iss == 'https://sso.example'\"}"),
        ("  audiences: {orders", "  claims: {idp: iss}\n  audiences: {orders"),
    ],
)
def test_an_issuer_that_may_call_itself_anything_where_its_name_is_read_is_a_warning(
    tmp_path: Path, old: str, new: str
) -> None:
    text = GATEWAY.replace(old, new)

    assert warnings_of(tmp_path, text) == [
        (8, "its answers may name any issuer, and iss is read elsewhere; write issuer")
    ]
    named = text.replace("    introspection:\n", "    introspection:\n      issuer: https://a.b\n")
    assert warnings_of(tmp_path, named) == []


@pytest.mark.parametrize(("rule", "kind"), [("any_role", "roles"), ("any_group", "groups")])
def test_a_role_or_group_that_nobody_may_bring_is_a_warning(
    tmp_path: Path, rule: str, kind: str
) -> None:
    asking = GATEWAY.replace("authenticated: true", f"{rule}: [clerk, boss]")

    assert warnings_of(tmp_path, asking) == [
        (
            15,
            "no credential may bring any of: clerk, boss; list them in the attributes of those "
            "that may",
        )
    ]
    for brought in ("['*']", "[clerk]", "['cl*']"):
        text = asking.replace(
            "    cookie: sso\n", f"    cookie: sso\n    attributes: {{{kind}: {brought}}}\n"
        )
        assert warnings_of(tmp_path, text) == []


@pytest.mark.parametrize("kind", ["roles", "groups"])
def test_a_role_or_group_of_tokens_that_nobody_may_bring_is_a_warning(
    tmp_path: Path, kind: str
) -> None:
    text = GATEWAY.replace("[orders]}}", f"[orders], {kind}: [clerk, boss, 'team-*']}}}}")
    assert text != GATEWAY

    problem = "list them in the attributes of those that may, or leave them out"
    assert warnings_of(tmp_path, text) == [(15, f"no credential may bring: clerk, boss; {problem}")]
    for brought, lost in (("[clerk]", "boss"), ("['*']", ""), ("[clerk, 'b*']", "")):
        attributes = f"    cookie: sso\n    attributes: {{{kind}: {brought}}}\n"
        told = warnings_of(tmp_path, text.replace("    cookie: sso\n", attributes))
        assert [each for _, each in told] == (
            [f"no credential may bring: {lost}; {problem}"] if lost else []
        )


@pytest.mark.parametrize(("rule", "kind"), [("any_role", "roles"), ("any_group", "groups")])
def test_a_role_or_group_that_sessions_drop_is_a_warning(
    tmp_path: Path, rule: str, kind: str
) -> None:
    session = f"""
  - name: session
    cookie: __Host-session
    session:
      keys: {{directory: /sessions}}
      issued_for: [sso]
      outlives_credential: true
      {kind}: ["team-*"]
"""
    text = GATEWAY.replace("\nrequest_tokens", f"{session}request_tokens")
    attributes = f"    cookie: sso\n    attributes: {{{kind}: ['*']}}\n"
    text = text.replace("    cookie: sso\n", attributes)

    asking = text.replace("authenticated: true", f"{rule}: [clerk, boss]")
    assert [each for _, each in warnings_of(tmp_path, asking)] == [
        f'a session of "session" keeps none of: clerk, boss; add one to its {kind}, or name the '
        "other credentials"
    ]
    for good in (f"{rule}: [clerk, team-a]", f"{rule}: [clerk], credentials: [sso]"):
        assert warnings_of(tmp_path, text.replace("authenticated: true", good)) == []


@pytest.mark.parametrize("kind", ["roles", "groups"])
def test_a_condition_on_roles_or_groups_that_nobody_may_bring_is_a_warning(
    tmp_path: Path, kind: str
) -> None:
    condition = f"when: \"'clerk' in token.{kind} || 'orders:read' in token.scopes\""
    asking = GATEWAY.replace("authenticated: true", condition)

    assert warnings_of(tmp_path, asking) == [
        (15, f"no credential may bring {kind}; list them in the attributes of those that may")
    ]
    attributes = f"    cookie: sso\n    attributes: {{{kind}: [clerk]}}\n"
    assert warnings_of(tmp_path, asking.replace("    cookie: sso\n", attributes)) == []
