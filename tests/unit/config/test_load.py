"""From a file to the settings of the other layers."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sidecar.check.extract import CookieSource, HeaderSource
from sidecar.check.identity import IdentitySettings, Normalised
from sidecar.check.rules import TokenKinds, When
from sidecar.check.trust import RequiredValue, TrustEntry
from sidecar.clients.http import HttpSettings
from sidecar.clients.proxy import NoProxy, ProxySettings
from sidecar.clients.vault.settings import (
    AppRoleLogin,
    KubernetesLogin,
    KvKeys,
    TokenFile,
    TransitKeys,
    VaultSettings,
)
from sidecar.config import Configuration, KeyFiles, load
from sidecar.config.addresses import Endpoint
from sidecar.config.sections.trust import Trust
from sidecar.config.values import DIRECTORY
from sidecar.errors import ConfigurationFault
from sidecar.jose.issuers import IssuerTemplate
from sidecar.keys.settings import (
    FileKeys,
    JwksKeys,
    KeySettings,
    KubernetesKeys,
    OidcKeys,
    SourceSettings,
)
from sidecar.model import TokenKind
from tests.support.sidecar_process import write_json
from tests.support.smallest import SIDECAR, load_text, warnings_of
from tests.support.tokens import jwks, key_for

EXAMPLES = Path(__file__).parents[2] / "support" / "configurations"


@pytest.fixture(scope="module")
def example() -> Configuration:
    return load(EXAMPLES / "sidecar.yaml", KeyFiles.REQUIRED)


def test_settings_are_what_the_file_says(example: Configuration) -> None:
    gateway, cluster = example.check.trust
    assert gateway.types == {"at+jwt"}
    assert gateway.leeway == 5.0
    assert gateway.roles_claim == ("realm_access", "roles")
    assert cluster.types == {None}
    assert cluster.subjects == ("system:serviceaccount:shop:*",)
    assert example.check.sources == (
        HeaderSource("authorization", "Bearer"),
        CookieSource("token"),
    )
    assert example.check.identity == IdentitySettings(
        headers=(("x-user-id", ("sub",)), ("x-user-roles", ("realm_access", "roles"))),
        strip=("x-internal",),
        passed=(),
        forward_token=False,
        max_bytes=4096,
    )
    assert example.check.literal_semicolons
    assert not example.check.shadow
    assert (example.check.token_bytes, example.check.remembered_tokens) == (4096, 10)
    assert (example.check.token_values, example.check.cookies) == (200, 64)
    assert (example.request_bytes, example.header_lines) == (65536, 128)
    assert (example.pending_checks, example.key_wait) == (8, 0.05)
    assert (example.drain, example.start_timeout, example.realm) == (60.0, 2.0, "orders")
    url = "http://localhost:8080/.well-known/oauth-protected-resource"
    assert example.challenge == (("realm", "orders"), ("resource_metadata", url))
    assert example.listen.authz == "unix:/run/orders/authz.sock"
    assert example.listen.metrics == Endpoint("127.0.0.1", 9465)
    assert example.listen.admin is None
    assert example.warnings == ()


def test_routes_are_compiled(example: Configuration) -> None:
    routes = {route.name: route for route in example.check.routes}
    read_order = routes["read-order"].match
    assert read_order is not None
    assert (read_order.methods, read_order.hosts) == (
        frozenset({"GET"}),
        frozenset({"orders.example"}),
    )
    assert TokenKinds(frozenset({TokenKind.REQUEST})) in routes["read-order"].rules
    assert TokenKinds(frozenset({TokenKind.WORKLOAD})) in routes["stock"].rules
    assert any(isinstance(each, When) for each in routes["own-orders"].rules)
    assert routes["by-name-only"].match is None


def test_key_files_are_found_beside_the_configuration(example: Configuration) -> None:
    gateway, cluster = example.keys
    assert gateway.source == FileKeys(EXAMPLES / "keys" / "gateway.json")
    assert (gateway.refresh, gateway.cooldown, gateway.max_stale) == (2.0, 0.5, 3600.0)
    assert (cluster.refresh, cluster.key_waiters) == (5.0, 4)
    assert set(example.found_keys) == {"gateway", "cluster"}


def test_a_small_file_gets_the_defaults(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, SIDECAR)

    assert configuration.listen.authz == "unix:/run/sidecar/authz.sock"
    assert str(configuration.listen.metrics) == "[::]:9465"
    assert str(configuration.listen.admin) == "127.0.0.1:9466"
    assert configuration.check.sources == (HeaderSource("authorization", "Bearer"),)
    assert configuration.check.trust[0].leeway == 10.0
    assert configuration.check.trust[0].required_claims == (("sub",),)
    assert configuration.key_wait == 0.1
    assert configuration.drain == 25.0


def test_a_key_file_may_be_delivered_later_unless_it_is_required(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, SIDECAR, KeyFiles.GOOD_IF_THERE)
    assert [warning.text.partition(";")[0] for warning in configuration.warnings] == [
        f"{tmp_path}/keys/gateway.json is not there yet"
    ]

    with pytest.raises(ConfigurationFault, match="cannot be read: No such file"):
        load_text(tmp_path, SIDECAR, KeyFiles.REQUIRED)


def test_an_algorithm_without_a_key_is_a_warning_while_another_has_one(
    tmp_path: Path,
) -> None:
    text = SIDECAR.replace("[ES256]", "[ES256, ES384]").replace(
        "keys/gateway.json", str(EXAMPLES / "keys" / "gateway.json")
    )
    configuration = load_text(tmp_path, text, KeyFiles.REQUIRED)

    assert [warning.text for warning in configuration.warnings] == [
        "no key of the file is for ES384; its keys are for: ES256"
    ]


def test_a_weak_key_in_a_file_is_a_warning(tmp_path: Path) -> None:
    weak = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "weak"}
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [weak, key_for("ES256").jwk()]}))
    text = SIDECAR.replace("keys/gateway.json", str(file))
    configuration = load_text(tmp_path, text, KeyFiles.REQUIRED)

    assert [warning.text for warning in configuration.warnings] == [
        "keys are left out: the key 'weak' is a point of small order"
    ]


def test_shadow_mode_is_a_warning(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, SIDECAR + "mode: shadow\n")

    assert configuration.check.shadow
    assert "every request is let through" in configuration.warnings[0].text


def test_every_route_public_needs_no_trust(tmp_path: Path) -> None:
    text = "role: sidecar\nroutes: [{name: a, match: {path: /a}, allow: {public: true}}]\n"

    assert load_text(tmp_path, text).check.trust == ()


def test_a_header_carries_a_claim_or_what_rules_see(tmp_path: Path) -> None:
    headers = "{x-a: roles, x-b: {normalised: roles}, x-c: [normalised], x-d: [normalised, roles]}"
    identity = load_text(tmp_path, SIDECAR + f"identity: {{headers: {headers}}}\n").check.identity

    assert identity.headers == (
        ("x-a", ("roles",)),
        ("x-b", Normalised.ROLES),
        ("x-c", ("normalised",)),
        ("x-d", ("normalised", "roles")),
    )


def test_the_service_may_check_authorization_itself(tmp_path: Path) -> None:
    text = SIDECAR + "token_sources: [{cookie: token}]\nidentity: {pass: [Authorization]}\n"

    assert load_text(tmp_path, text).check.identity.passed == ("authorization",)


SOURCES: dict[str, SourceSettings] = {
    "jwks: {url: https://a.example/keys, ca_file: ca.crt, headers: {X-Key: secret}}": JwksKeys(
        "https://a.example/keys",
        HttpSettings(ca_file=Path("/etc/s/ca.crt"), headers=(("x-key", Path("/etc/s/secret")),)),
    ),
    "jwks: {url: http://a.example/keys, allow_http: true, answer_bytes: 1000000}": JwksKeys(
        "http://a.example/keys", HttpSettings(allow_http=True, answer_bytes=1_000_000)
    ),
    "oidc: {certificate: /tls/a.crt, private_key: /tls/a.key}": OidcKeys(
        "https://gateway.example",
        HttpSettings(certificate=Path("/tls/a.crt"), private_key=Path("/tls/a.key")),
    ),
    "vault: {address: https://v.example, login: {token_file: t}, transit: {key: k}}": TransitKeys(
        VaultSettings("https://v.example", TokenFile(Path("/etc/s/t"))), "k"
    ),
    "vault: {address: https://v.example, namespace: a/b, kv: {path: p, replicas: true}, "
    "login: {approle: {role_id_file: r, secret_id_file: s}}}": KvKeys(
        VaultSettings(
            "https://v.example", AppRoleLogin(Path("/etc/s/r"), Path("/etc/s/s")), namespace="a/b"
        ),
        "p",
        replicas=True,
    ),
    "vault: {address: https://v.example, login: {kubernetes: {role: r}}, "
    "transit: {key: k, mount: m}}": TransitKeys(
        VaultSettings("https://v.example", KubernetesLogin("r")), "k", "m"
    ),
}


def _settings(source: str, kind: str = "request") -> KeySettings:
    """What becomes of a source, written as YAML, in an entry of this kind."""
    directory = {DIRECTORY: Path("/etc/s")}
    trust = Trust.model_validate(
        {
            "name": "gateway",
            "kind": kind,
            "issuer": "https://gateway.example",
            "audiences": ["orders"],
            "algorithms": ["ES256"],
            "keys": YAML(typ="safe").load(f"{{{source}}}"),
        },
        context=directory,
    )
    return trust.key_settings(64, proxy=None)


@pytest.mark.parametrize("text", SOURCES)
def test_each_source_gets_its_settings(text: str) -> None:
    assert _settings(text) == KeySettings(
        "gateway",
        SOURCES[text],
        refresh=30.0,
        min_refresh=30.0,
        cooldown=10.0,
        max_stale=86400.0,
        timeout=10.0,
        key_waiters=64,
    )


@pytest.mark.parametrize("text", [*SOURCES, "kubernetes: {}"])
@pytest.mark.parametrize(
    ("kind", "refresh"), [("request", 30.0), ("external", 300.0), ("workload", 300.0)]
)
def test_the_keys_of_our_own_tokens_are_fetched_more_often(
    text: str, kind: str, refresh: float
) -> None:
    assert _settings(text, kind).refresh == refresh


@pytest.mark.parametrize("kind", ["request", "external"])
def test_a_file_is_looked_at_every_few_seconds_whoevers_keys_it_holds(kind: str) -> None:
    assert _settings("file: {path: keys}", kind).refresh == 5.0


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ("refresh: 5s", (5.0, 5.0, 5.0)),
        ("refresh: 1h", (3600.0, 30.0, 10.0)),
        ("refresh: 5s, cooldown: 1s, min_refresh: 2s", (5.0, 2.0, 1.0)),
    ],
)
def test_a_short_refresh_is_all_that_has_to_be_written(
    times: str, expected: tuple[float, float, float]
) -> None:
    built = _settings(f"oidc: {{{times}}}")
    assert (built.refresh, built.min_refresh, built.cooldown) == expected


def test_a_cluster_is_reached_as_every_pod_can(tmp_path: Path) -> None:
    text = (
        SIDECAR.replace("kind: request", "kind: workload")
        .replace("algorithms: [ES256]", "algorithms: [RS256]\n    types: [none]\n    subjects: [a]")
        .replace("file: {path: keys/gateway.json}", "kubernetes: {}")
        .replace("authenticated: true", "tokens: [workload]")
    )
    (entry,) = load_text(tmp_path, text, KeyFiles.REQUIRED).keys
    assert entry.source == KubernetesKeys(
        "https://kubernetes.default.svc",
        ca_file=Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"),
        token_file=Path("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        answer_bytes=262_144,
    )


def test_a_ca_file_may_be_delivered_later(tmp_path: Path) -> None:
    text = SIDECAR.replace(
        "file: {path: keys/gateway.json}", "jwks: {url: https://a.example/, ca_file: ca.crt}"
    )
    configuration = load_text(tmp_path, text, KeyFiles.GOOD_IF_THERE)
    assert [warning.text.partition(";")[0] for warning in configuration.warnings] == [
        f"{tmp_path}/ca.crt is not there yet"
    ]


def test_files_of_secrets_may_be_delivered_later(tmp_path: Path) -> None:
    text = SIDECAR.replace(
        "file: {path: keys/gateway.json}", "jwks: {url: https://a.example/, headers: {X-Key: key}}"
    )
    configuration = load_text(tmp_path, text + PROXY, KeyFiles.GOOD_IF_THERE)
    assert sorted(warning.text for warning in configuration.warnings) == [
        f"{tmp_path}/key is not there",
        f"{tmp_path}/proxy-credentials is not there",
    ]


def test_keys_are_kept_where_the_file_says(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, SIDECAR + "key_cache: {directory: cache}\n")
    assert configuration.key_cache == tmp_path / "cache"
    assert load_text(tmp_path, SIDECAR).key_cache is None


def test_required_values_are_read_with_their_types_and_places(tmp_path: Path) -> None:
    text = SIDECAR.replace(
        "keys: {file",
        'claim_values: {token_use: access, level: [1, "1"], org: {ok: true, unit: {name: a}}}\n'
        "    keys: {file",
    )
    assert load_text(tmp_path, text).check.trust[0].claim_values == (
        RequiredValue.of(("token_use",), ["access"]),
        RequiredValue.of(("level",), [1, "1"]),
        RequiredValue.of(("org", "ok"), [True]),
        RequiredValue.of(("org", "unit", "name"), ["a"]),
    )


PROXY = """
proxy:
  url: http://proxy.example:3128/
  credentials_file: proxy-credentials
  no_proxy: [vault.example]
"""


def test_a_proxy_is_for_every_source_at_a_url(tmp_path: Path) -> None:
    proxy = ProxySettings(
        "http://proxy.example:3128",
        (NoProxy.parse("vault.example"),),
        tmp_path / "proxy-credentials",
    )
    file = "file: {path: keys/gateway.json}"
    reached = "kv: {path: p}, login: {token_file: t}"
    for source in (
        "jwks: {url: https://a.example/keys}",
        "oidc: {}",
        f"vault: {{address: https://v.example, {reached}}}",
    ):
        text = SIDECAR.replace(file, source) + PROXY
        found = load_text(tmp_path, text).keys[0].source
        assert isinstance(found, JwksKeys | OidcKeys | KvKeys)
        http = found.vault.http if isinstance(found, KvKeys) else found.http
        assert http.proxy == proxy


def test_a_server_of_this_host_or_cluster_behind_the_proxy_is_a_warning(tmp_path: Path) -> None:
    for host, warned in {
        "127.0.0.1:8200": True,
        "localhost": True,
        "keys.idp.svc": True,
        "keys.idp.svc.cluster.local": True,
        "[::1]:8200": True,
        "vault.example": False,
        "keys.example": False,
    }.items():
        source = f'jwks: {{url: "https://{host}/keys"}}'
        text = SIDECAR.replace("file: {path: keys/gateway.json}", source) + PROXY
        warnings = [each.text for each in load_text(tmp_path, text).warnings]
        assert any("name it in proxy.no_proxy" in each for each in warnings) is warned
        left_out = text.replace("[vault.example]", f'["{host}"]')
        assert load_text(tmp_path, left_out).warnings == ()


PATTERN = 'issuer_pattern: {pattern: "https://login.example/{tid}/v2.0", values: %s}'
ISSUER = "issuer: https://gateway.example"


def test_an_entry_has_one_issuer_or_many_of_a_list_or_a_pattern(tmp_path: Path) -> None:
    def loaded(written: str) -> TrustEntry:
        (entry,) = load_text(tmp_path, SIDECAR.replace(ISSUER, written)).check.trust
        return entry

    one, listed = loaded(ISSUER), loaded("issuers: [https://a.example, https://b.example]")
    tenants, anybody = loaded(PATTERN % "[a, b-1]"), loaded(PATTERN % "any")

    template = IssuerTemplate("https://login.example/", "tid", "/v2.0")
    assert one.issuers == {"https://gateway.example"}
    assert listed.issuers == {"https://a.example", "https://b.example"}
    assert one.pattern is listed.pattern is None
    assert tenants.issuers == {"https://login.example/a/v2.0", "https://login.example/b-1/v2.0"}
    assert tenants.pattern == template
    assert (anybody.issuers, anybody.pattern) == (frozenset(), template)


def test_any_issuer_of_a_provider_is_a_warning(tmp_path: Path) -> None:
    listed = load_text(tmp_path, SIDECAR.replace(ISSUER, PATTERN % "[a]"))
    (warning,) = load_text(tmp_path, SIDECAR.replace(ISSUER, PATTERN % "any")).warnings

    assert listed.warnings == ()
    assert (warning.position.line, warning.text) == (
        6,
        "whoever can have a tid of their own at this provider is trusted, and chooses the subjects "
        "and claims of their tokens; list the values that are meant",
    )


@pytest.mark.parametrize(
    ("written", "beside"),
    [
        ("issuers: [https://a.example]", "iss"),
        (PATTERN % "any", "iss"),
        (PATTERN % "any", "tid"),
        (PATTERN % "[a]", "tid"),
    ],
)
def test_a_subject_of_many_issuers_goes_on_with_what_says_whose_it_is(
    tmp_path: Path, written: str, beside: str
) -> None:
    headers = f"identity: {{headers: {{x-user-id: sub, x-tenant: {beside}}}}}\n"

    assert load_text(tmp_path, SIDECAR.replace(ISSUER, written) + headers).check.trust


def test_two_entries_of_one_open_pattern_are_told_apart_by_their_types(tmp_path: Path) -> None:
    entry, routes = SIDECAR.partition("routes:")[::2]
    first = entry.replace(ISSUER, PATTERN % "any")
    second = first.partition("trust:\n")[2].replace("name: gateway", "name: other")
    text = first + second.replace("kind: request", "kind: external\n    types: [jwt]")

    assert len(load_text(tmp_path, f"{text}routes:{routes}").check.trust) == 2


_IDP = """
role: sidecar
trust:
  - {name: idp, kind: external, issuer: https://idp.example, audiences: [orders],
     algorithms: [ES256], types: [jwt], keys: {file: {path: idp.json}}}
routes:
  - {name: all, match: {path: "/**"}, allow: {tokens: [external]}}
"""


@pytest.mark.parametrize(
    ("written", "subject", "required"),
    [
        ("", ("sub",), [("sub",)]),
        ("required_claims: [tid]", ("sub",), [("tid",)]),
        ("subject_claim: oid", ("oid",), [("oid",)]),
        ("subject_claim: [user, id], required_claims: [tid]", ("user", "id"), None),
        ("subject_claim: sub, required_claims: [sub]", ("sub",), [("sub",)]),
    ],
)
def test_a_subject_that_is_named_is_required(
    tmp_path: Path, written: str, subject: tuple[str, ...], required: list[tuple[str, ...]] | None
) -> None:
    (entry,) = load_text(
        tmp_path, _IDP.replace("types:", f"{written}, types:" if written else "types:")
    ).check.trust

    assert entry.subject_claim == subject
    assert entry.required_claims == tuple(required or [("user", "id"), ("tid",)])


@pytest.mark.parametrize("claim", ["email", "preferred_username", "upn", "[user, email]"])
def test_a_subject_that_can_change_is_a_warning(tmp_path: Path, claim: str) -> None:
    configuration = load_text(tmp_path, _IDP.replace("types:", f"subject_claim: {claim}, types:"))

    (text,) = [each.text for each in configuration.warnings if "not there yet" not in each.text]
    name = claim.strip("[]").rpartition(" ")[2]
    assert text == (
        f"{name} can be changed, or given to somebody else later, who would then be taken for the "
        "one before; name a claim that stays, as sub does"
    )


@pytest.mark.parametrize("values", ["hd: '*'", "hd: ['*.a.example', b]", "org: {hd: '*'}"])
def test_a_star_in_a_required_value_is_a_warning(tmp_path: Path, values: str) -> None:
    configuration = load_text(
        tmp_path, _IDP.replace("types:", f"claim_values: {{{values}}}, types:")
    )

    assert [each.text for each in configuration.warnings] == [
        "values are compared character by character, and * stands for nothing else; "
        "required_claims asks for a claim with any value"
    ]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("^repo:acme/site:*", True),
        ("repo:acme/*$", True),
        ("repo:acme/.*", True),
        ("repo:.+:main", True),
        ("repo:acme/[a-z]+$", True),
        ("repo:acme/**", False),
        ("repo:acme/site.*", False),
        ("host/web01$", False),
    ],
)
def test_a_regular_expression_in_place_of_a_pattern_is_a_warning(
    tmp_path: Path, pattern: str, told: bool
) -> None:
    text = _IDP.replace("types:", f'subjects: ["{pattern}"], types:')
    text = text.replace("[external]", f'[external], callers: ["{pattern}"]')

    warned = [each for each in load_text(tmp_path, text).warnings if "regular" in each.text]
    assert [each.position.line for each in warned] == ([5, 7] if told else [])


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("[request].all(r, !has(r.hosst))", True),
        ("!has(dyn(request).hosst)", True),
        ("request.exists(name, name == 'hosst') || request.host == ''", True),
        ("request.params.size() == 0 && 'method' in request && has(request.host)", False),
        ("request[claims.sub] == ''", True),
        ("[1].exists(request, request == 1)", False),
    ],
)
def test_a_request_that_a_condition_reads_as_a_whole_is_a_warning(
    tmp_path: Path, condition: str, told: bool
) -> None:
    text = _IDP.replace("[external]", f'[external], when: "{condition}"')
    warnings = warnings_of(tmp_path, text)

    assert [line for line, each in warnings if "as a whole" in each] == ([7] if told else [])


def test_one_of_several_scopes_that_is_needed_anyway_is_a_warning(tmp_path: Path) -> None:
    scopes = "[external], scopes: [read, pay], any_scope: [read, write]"
    configuration = load_text(tmp_path, _IDP.replace("[external]", scopes))

    assert [each.text for each in configuration.warnings] == [
        "scopes asks for read already, so any_scope asks for nothing more; leave it out, or the "
        "scope out of scopes"
    ]


def test_a_header_with_a_sub_that_is_not_the_subject_is_a_warning(tmp_path: Path) -> None:
    text = _IDP.replace("types:", "subject_claim: [user, id], types:")
    configuration = load_text(tmp_path, text + "identity: {headers: {x-user-id: sub, x-id: tid}}\n")

    assert [(each.position.line, each.text) for each in configuration.warnings] == [
        (
            8,
            'sub is not the subject of "idp": its subject_claim is user.id; write user.id if the '
            "header is for the subject",
        )
    ]


def test_two_subjects_of_one_issuer_are_a_warning(tmp_path: Path) -> None:
    other = _IDP.partition("trust:\n")[2].partition("routes:")[0]
    other = other.replace("name: idp", "name: staff").replace("[jwt]", "[at+jwt]")
    text = _IDP.replace(
        "routes:", other.replace("types:", "subject_claim: uid, types:") + "routes:"
    )

    assert [(each.position.line, each.text) for each in load_text(tmp_path, text).warnings] == [
        (
            7,
            'its subjects are not those of "idp" (line 4), from the same issuer: the uid of one '
            "person may be the sub of another; name one claim in both",
        )
    ]
    assert load_text(tmp_path, text.replace("subject_claim: uid, ", "")).warnings == ()


@pytest.mark.parametrize(
    "source",
    [
        "file: {path: keys/shared.json}",
        "jwks: {url: https://login.example/keys}",
        "vault: {address: https://v.example, login: {token_file: t}, kv: {path: p}}",
        "kubernetes: {}",
    ],
)
def test_entries_that_name_each_other_have_the_same_keys_wherever_these_are(
    tmp_path: Path, source: str
) -> None:
    def entry(name: str, other: str) -> str:
        return (
            f"  - {{name: {name}, kind: workload, issuer: 'https://{name}.example', types: [jwt], "
            f"audiences: [orders], algorithms: [ES256], subjects: [a], shared_keys: [{other}], "
            f"keys: {{{source}}}}}\n"
        )

    (tmp_path / "keys").mkdir()
    write_json(tmp_path / "keys" / "shared.json", jwks(key_for("ES256")))
    head, _, rest = SIDECAR.partition("  - name")
    routes = rest[rest.index("routes:") :].replace("authenticated: true", "tokens: [workload]")
    text = head + entry("a", "b") + entry("b", "a") + routes

    assert [each.name for each in load_text(tmp_path, text).check.trust] == ["a", "b"]
    if "vault" not in source:  # whose token is not there
        assert load_text(tmp_path, text, KeyFiles.GOOD_IF_THERE).warnings == ()


def test_each_issuer_has_the_keys_of_its_own_discovery_document(tmp_path: Path) -> None:
    head, _, rest = SIDECAR.partition("  - name")
    entry = "  - name" + rest.partition("routes:")[0].replace(
        "file: {path: keys/gateway.json}", "oidc: {}"
    )
    other = entry.replace("gateway", "other")
    text = f"{head}{entry}{other}routes:{rest.partition('routes:')[2]}"

    assert len(load_text(tmp_path, text).check.trust) == 2
