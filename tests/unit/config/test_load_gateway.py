"""From a gateway's file to the settings of its parts."""

from pathlib import Path

import pytest

from sidecar.check.extract import CookieSource, HeaderSource
from sidecar.check.rules import Credentials, TokenKinds
from sidecar.clients.http import HttpSettings
from sidecar.clients.proxy import ProxySettings
from sidecar.clients.vault.settings import (
    KubernetesLogin,
    KvKeys,
    TokenFile,
    TransitKeys,
    VaultSettings,
)
from sidecar.config import Configuration, KeyFiles, load
from sidecar.config.addresses import Endpoint
from sidecar.config.sections.keys import JwksSection
from sidecar.gateway.settings import (
    Attributes,
    GatewaySettings,
    IntrospectedCredential,
    JwtCredential,
    ServerTlsFiles,
    SessionCredential,
)
from sidecar.mint.settings import Grant, RequestTokenSettings
from sidecar.model import TokenKind
from sidecar.rings.lifecycle import Timings
from sidecar.rings.settings import InDirectory, InMemory, InTransit, RingPlace
from sidecar.session.settings import (
    CertificateAuthentication,
    ClientAuthentication,
    IntrospectionSettings,
    KeyAuthentication,
    NoAuthentication,
    SecretAuthentication,
    SessionTokenSettings,
    TokenAuthentication,
)
from tests.support.smallest import GATEWAY, load_text, warnings_of

EXAMPLES = Path(__file__).parents[2] / "support" / "configurations"
ANOTHER = """
  - name: partners
    header: authorization
    scheme: Bearer
    introspection:
      url: https://partners.example/introspect
      client: {id: gateway, secret_file: /secrets/partners}
      audiences: [shop]
"""


def _gateway(configuration: Configuration) -> GatewaySettings:
    assert configuration.gateway is not None
    return configuration.gateway


@pytest.fixture(scope="module")
def example() -> Configuration:
    return load(EXAMPLES / "gateway.yaml", KeyFiles.IGNORED)


@pytest.fixture(scope="module")
def gateway(example: Configuration) -> GatewaySettings:
    return _gateway(example)


def test_what_both_roles_are_told_is_read_alike(example: Configuration) -> None:
    assert example.check.literal_semicolons
    assert not example.check.shadow
    assert (example.check.token_bytes, example.check.remembered_tokens) == (4096, 10)
    assert (example.check.token_values, example.check.cookies) == (200, 64)
    assert (example.request_bytes, example.header_lines) == (65536, 128)
    assert (example.pending_checks, example.key_wait) == (8, 0.05)
    assert (example.drain, example.start_timeout, example.realm) == (60.0, 2.0, "shop")
    url = "https://shop.example/.well-known/oauth-protected-resource/api"
    assert example.challenge == (("realm", "shop"), ("resource_metadata", url))
    assert example.listen.authz == "unix:/run/gateway/authz.sock"
    assert example.listen.internal == Endpoint("127.0.0.1", 9467)
    assert [entry.trust for entry in example.keys] == ["acme", "ci"]
    assert example.check.identity.strip == ("x-user-id",)
    assert not example.check.identity.forward_token


def test_credentials_are_looked_for_in_the_order_of_the_file(
    example: Configuration, gateway: GatewaySettings
) -> None:
    assert [each.name for each in gateway.credentials] == ["sso", "legacy", "partners", "session"]
    assert example.check.sources == (
        CookieSource("sso_session"),
        HeaderSource("x-legacy-session"),
        HeaderSource("authorization", "Bearer"),
        CookieSource("__Host-session"),
    )
    assert example.check.sources == tuple(each.source for each in gateway.credentials)
    assert gateway.exchange_only == {"legacy"}
    assert gateway.subject_prefixes == {
        "sso": "",
        "legacy": "legacy:",
        "partners": "partner:",
        "session": "",
    }


def test_a_credential_brings_what_is_declared_and_a_session_what_was_brought(
    gateway: GatewaySettings,
) -> None:
    assert gateway.attributes == {
        "sso": Attributes(
            ("*",),
            ("books", "team-*", "shift:*"),
            (("profile", "department"), ("acr",), ("level",)),
        ),
        "legacy": Attributes(),
        "partners": Attributes(),
        "session": None,
    }


def test_an_issuer_is_asked_as_the_file_says(gateway: GatewaySettings) -> None:
    sso = gateway.credentials[0]
    assert isinstance(sso, IntrospectedCredential)
    assert sso.introspection == IntrospectionSettings(
        name="sso",
        url="https://sso.example/introspect",
        authentication=SecretAuthentication("gateway", EXAMPLES / "secrets" / "sso", in_body=True),
        issuer="https://sso.example",
        audiences=frozenset({"gateway"}),
        clients=frozenset({"portal"}),
        scopes=frozenset({"orders:read"}),
        subject_claim=("sub",),
        scope_claim=("scp",),
        roles_claim=("realm_access", "roles"),
        groups_claim=("teams",),
        accept_bound_tokens=False,
        leeway=5.0,
        cache=30.0,
        negative_cache=1.0,
        timeout=0.5,
        max_lookups=8,
        max_waiters=128,
        remembered_sessions=100,
        token_bytes=4096,
        http=HttpSettings(ca_file=EXAMPLES / "tls" / "ca.crt", answer_bytes=65536),
    )


def test_a_client_may_prove_itself_with_a_key(gateway: GatewaySettings) -> None:
    legacy = gateway.credentials[1]
    assert isinstance(legacy, IntrospectedCredential)
    assert legacy.introspection.authentication == KeyAuthentication(
        "gateway",
        EXAMPLES / "secrets" / "legacy.pem",
        "https://legacy.example",
        algorithm="RS256",
        kid="one",
    )


def test_jwts_are_decided_about_by_their_trust_entries(gateway: GatewaySettings) -> None:
    assert gateway.credentials[2] == JwtCredential(
        "partners", HeaderSource("authorization", "Bearer"), ("acme", "ci")
    )


def test_sessions_keep_what_request_tokens_copy(gateway: GatewaySettings) -> None:
    session = gateway.credentials[3]
    assert isinstance(session, SessionCredential)
    assert session.tokens == SessionTokenSettings(
        name="session",
        issuer="https://gateway.example",
        cookie="__Host-session",
        idle=600.0,
        absolute=28800.0,
        renew=120.0,
        claims=("profile", "level"),
        roles=("*",),
        groups=("books", "team-*"),
        leeway=5.0,
        max_bytes=4096,
    )
    assert session.issued_for == {"sso", "legacy"}
    assert session.outlives_credential


def test_session_keys_are_kept_for_as_long_as_a_cookie_is_good(gateway: GatewaySettings) -> None:
    session = gateway.credentials[3]
    assert isinstance(session, SessionCredential)
    ring = session.ring
    assert (ring.set, ring.algorithm) == ("session", "A256GCM")
    assert ring.place == InDirectory(EXAMPLES / "session-keys")
    assert ring.timings.kept == 600.0 + 2 * 5.0
    assert ring.timings.propagation == 60.0


def test_request_tokens_are_what_the_file_says(gateway: GatewaySettings) -> None:
    assert gateway.request_tokens == RequestTokenSettings(
        issuer="https://gateway.example",
        lifetime=120.0,
        claims=(("department", ("profile", "department")),),
        actors=("spiffe://shop/ns/*/sa/*",),
        reuse=2.0,
        reused_tokens=2000,
        max_bytes=2048,
    )
    ring = gateway.request_ring
    assert ring.set == "request"
    assert ring.place == InDirectory(EXAMPLES / "request-keys")
    assert (ring.timings.verifier_refresh, ring.timings.token_life) == (60.0, 120.0)
    assert (ring.timings.leeway, ring.timings.propagation) == (5.0, 30.0)


def test_keys_are_published_for_as_long_as_sidecars_need_by_default(tmp_path: Path) -> None:
    gateway = load_text(tmp_path, GATEWAY).gateway
    assert gateway is not None
    keys = JwksSection.model_validate({"url": "https://gateway.example/.well-known/jwks.json"})
    verifier_refresh = gateway.request_ring.timings.verifier_refresh
    assert verifier_refresh == keys.refresh_for(TokenKind.REQUEST)
    assert verifier_refresh == Timings().verifier_refresh, "and so does `sidecar keys new`"


def test_a_route_grants_what_its_audiences_know_or_less(gateway: GatewaySettings) -> None:
    assert gateway.grants == {
        "orders": Grant(
            ("orders", "payments"), frozenset({"orders:read", "orders:write", "payments:pay"})
        ),
        "catalogue": Grant(("orders",), frozenset({"orders:read"})),
        "team": Grant(("orders",), frozenset({"orders:read"}), ("clerk",), ("books", "team-*")),
        "partners-only": Grant(("reports",), frozenset()),
    }


def test_a_route_takes_any_credential_or_those_it_names(example: Configuration) -> None:
    rules = {route.name: route.rules for route in example.check.routes}
    kinds = TokenKinds(frozenset({TokenKind.EXTERNAL, TokenKind.WORKLOAD}))
    assert rules["orders"][0] == kinds
    assert not any(isinstance(each, Credentials) for each in rules["orders"])
    assert Credentials(frozenset({"partners", "session"})) in rules["partners-only"]


def test_the_rest_of_the_gateway_is_what_the_file_says(gateway: GatewaySettings) -> None:
    assert gateway.issuer == "https://gateway.example"
    assert gateway.origins == {"https://www.example", "https://www.example:8443"}
    assert gateway.internal_tls == ServerTlsFiles(
        EXAMPLES / "tls" / "gateway.crt", EXAMPLES / "tls" / "gateway.key"
    )


def test_a_small_file_gets_the_defaults(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, GATEWAY)
    gateway = _gateway(configuration)

    assert str(configuration.listen.internal) == "[::]:9467"
    assert gateway.request_tokens == RequestTokenSettings(
        "https://gateway.example",
        lifetime=60.0,
        claims=(),
        actors=(),
        reuse=0.0,
        reused_tokens=2000,
        max_bytes=4096,
    )
    assert gateway.internal_tls is None
    assert configuration.warnings == ()
    (sso,) = gateway.credentials
    assert isinstance(sso, IntrospectedCredential)
    assert sso.introspection == IntrospectionSettings(
        "sso",
        "https://sso.example/introspect",
        SecretAuthentication("gateway", Path("/secrets/sso")),
        issuer=None,
        audiences=frozenset(),
        clients=frozenset({"login"}),
        scopes=frozenset(),
        subject_claim=("sub",),
        scope_claim=("scope",),
        roles_claim=("roles",),
        groups_claim=("groups",),
        accept_bound_tokens=False,
        leeway=10.0,
        cache=10.0,
        negative_cache=2.0,
        timeout=2.0,
        max_lookups=64,
        max_waiters=128,
        remembered_sessions=10_000,
        token_bytes=8192,
        http=HttpSettings(answer_bytes=65536),
    )


def test_a_sidecar_has_no_gateway_and_no_internal_listener() -> None:
    configuration = load(EXAMPLES / "sidecar.yaml", KeyFiles.IGNORED)
    assert (configuration.gateway, configuration.listen.internal) == (None, None)


@pytest.mark.parametrize(
    ("keys", "place", "algorithm", "period"),
    [
        (
            "transit: {address: https://v.example, login: {token_file: /t}, key: k, "
            "algorithm: ES384}",
            InTransit(TransitKeys(VaultSettings("https://v.example", TokenFile(Path("/t"))), "k")),
            "ES384",
            366 * 86400.0,
        ),
        (
            "ephemeral: {address: https://v.example, login: {kubernetes: {role: r}}, path: a/b, "
            "replica: one, rotate: 48h}",
            InMemory(
                KvKeys(
                    VaultSettings("https://v.example", KubernetesLogin("r")), "a/b", replicas=True
                ),
                "one",
            ),
            "ES256",
            48 * 3600.0,
        ),
    ],
)
def test_request_keys_may_be_in_vault_or_in_memory(
    tmp_path: Path, keys: str, place: RingPlace, algorithm: str, period: float
) -> None:
    ring = _gateway(load_text(tmp_path, GATEWAY.replace("directory: /keys", keys))).request_ring

    assert ring.place == place
    assert (ring.algorithm, ring.timings.period) == (algorithm, period)


@pytest.mark.parametrize(
    ("client", "others", "settings"),
    [
        ("{method: Bearer, token_file: /t}", "", TokenAuthentication(Path("/t"))),
        ("{method: none}", "", NoAuthentication()),
        ("{method: none, id: us}", "", NoAuthentication("us")),
        (
            "{method: tls_client_auth, id: us}",
            "certificate: /c.pem",
            CertificateAuthentication("us"),
        ),
    ],
)
def test_a_client_may_prove_itself_without_a_secret(
    tmp_path: Path, client: str, others: str, settings: ClientAuthentication
) -> None:
    text = GATEWAY.replace("{id: gateway, secret_file: /secrets/sso}", f"{client}\n      {others}")
    (sso,) = _gateway(load_text(tmp_path, text)).credentials
    assert isinstance(sso, IntrospectedCredential)
    assert sso.introspection.authentication == settings


def test_headers_go_with_introspection(tmp_path: Path) -> None:
    text = GATEWAY.replace("clients: [login]", "clients: [login]\n      headers: {X-Key: /k}")
    (sso,) = _gateway(load_text(tmp_path, text)).credentials
    assert isinstance(sso, IntrospectedCredential)
    assert sso.introspection.http.headers == (("x-key", Path("/k")),)


def test_introspection_and_vault_are_reached_through_the_proxy(tmp_path: Path) -> None:
    keys = "transit: {address: https://v.example, login: {token_file: /t}, key: k}"
    text = GATEWAY.replace("directory: /keys", keys)
    gateway = _gateway(load_text(tmp_path, text + "proxy: {url: http://proxy.example:3128}\n"))

    (sso,) = gateway.credentials
    assert isinstance(sso, IntrospectedCredential)
    assert sso.introspection.http.proxy == ProxySettings("http://proxy.example:3128")
    place = gateway.request_ring.place
    assert isinstance(place, InTransit)
    assert place.key.vault.http.proxy == ProxySettings("http://proxy.example:3128")


def test_a_gateway_route_that_keeps_encoded_slashes_is_a_warning(tmp_path: Path) -> None:
    rest = "allow: {authenticated: true}, token: {audiences: [orders]}"
    kept = f'  - {{name: kept, match: {{path: "/{{x}}", encoded_slashes: keep}}, {rest}}}\n'
    strict = GATEWAY.replace("{authenticated: true}", "{authenticated: true, credentials: [sso]}")

    needed, decoded = [text for _, text in warnings_of(tmp_path, strict + kept)]
    assert "path_with_escaped_slashes_action" in needed
    assert "one for all, where more is asked" in decoded


def test_subjects_that_nothing_tells_apart_are_a_warning(tmp_path: Path) -> None:
    configuration = load_text(
        tmp_path, GATEWAY.replace("\nrequest_tokens", ANOTHER + "request_tokens")
    )

    assert [(warning.position.line, warning.text) for warning in configuration.warnings] == [
        (
            11,
            "its subjects come from https://partners.example/introspect and those of "
            '"sso" from https://sso.example/introspect, and nothing tells them apart; give each '
            "a subject_prefix of its own if one could be in both",
        )
    ]


def test_one_issuers_subjects_of_two_claims_are_a_warning(tmp_path: Path) -> None:
    entry = """
  - name: {0}
    kind: external
    issuer: https://idp.example
    audiences: [shop]
    algorithms: [ES256]
    types: [{0}]
    subject_claim: {1}
    keys: {{file: {{path: /keys/idp.json}}}}"""
    trust = f"trust:{entry.format('access', 'sub')}{entry.format('identity', 'uid')}\n"
    jwt = "  - {name: t, header: x-t, subject_prefix: t, jwt: {trust: [access, identity]}}\n"
    text = GATEWAY.replace("request_tokens:", f"{jwt}request_tokens:", 1).replace(
        "credentials:", f"{trust}credentials:", 1
    )

    texts = [warning.text for warning in load_text(tmp_path, text).warnings]
    assert texts[-1].startswith(
        "its subjects come from uid of https://idp.example and those of itself from "
        "https://idp.example, and nothing tells them apart"
    )


def test_the_subject_of_a_session_may_be_its_username(tmp_path: Path) -> None:
    text = GATEWAY.replace("clients: [login]", "clients: [login]\n      subject_claim: username")
    configuration = load_text(tmp_path, text)
    (sso,) = _gateway(configuration).credentials
    assert isinstance(sso, IntrospectedCredential)
    assert sso.introspection.subject_claim == ("username",)
    assert configuration.warnings == ()


@pytest.mark.parametrize("claim", ["email", "preferred_username", "upn", "[user, email]"])
def test_a_subject_of_a_session_that_can_be_changed_is_a_warning(
    tmp_path: Path, claim: str
) -> None:
    text = GATEWAY.replace("clients: [login]", f"clients: [login]\n      subject_claim: {claim}")
    name = claim.strip("[]").split(", ")[-1]
    assert warnings_of(tmp_path, text) == [
        (
            11,
            f"{name} can be changed, or given to somebody else later, who would then be taken for "
            "the one before; name a claim that stays, as sub does",
        )
    ]


def test_subjects_and_usernames_of_one_issuers_sessions_are_a_warning(tmp_path: Path) -> None:
    other = ANOTHER.replace("https://partners.example", "https://sso.example").rstrip()
    other += "\n      subject_claim: username\n"
    text = GATEWAY.replace("\nrequest_tokens", other + "request_tokens")
    ((_, warning),) = warnings_of(tmp_path, text)
    assert warning.startswith(
        "its subjects come from username of https://sso.example/introspect and those of "
        '"sso" from https://sso.example/introspect, and nothing tells them apart'
    )


def test_subjects_with_prefixes_of_their_own_are_told_apart(tmp_path: Path) -> None:
    prefixed = ANOTHER + "    subject_prefix: 'partner:'\n"
    text = GATEWAY.replace("\nrequest_tokens", prefixed + "request_tokens")

    assert load_text(tmp_path, text).warnings == ()


def test_sessions_that_were_granted_to_anybody_are_a_warning(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, GATEWAY.replace("      clients: [login]\n", ""))

    (warning,) = configuration.warnings
    assert (warning.position.line, warning.text) == (
        8,
        "any active token of this issuer will do, also one that a user granted to another "
        "application; say in clients or audiences whose are meant",
    )


def test_a_session_that_ends_with_its_credential_unsaid_is_a_warning(tmp_path: Path) -> None:
    session = """
  - name: session
    cookie: __Host-session
    session: {keys: {directory: /sessions}, issued_for: [sso], absolute: 90m}
"""
    text = GATEWAY.replace("\nrequest_tokens", f"{session}request_tokens")

    assert warnings_of(tmp_path, text) == [
        (
            13,
            "a session ends with the credential it was issued for, mostly long before absolute "
            "(1.5h): with the exp of a JWT, or of the issuer's answer; write "
            "outlives_credential: false if that is meant, or true to let it go on",
        )
    ]
    for said in ("true", "false"):
        written = text.replace("absolute: 90m", f"absolute: 90m, outlives_credential: {said}")
        assert warnings_of(tmp_path, written) == []


def test_every_route_public_needs_no_credential(tmp_path: Path) -> None:
    text = GATEWAY.partition("credentials:")[0] + "credentials: []\n"
    text += "request_tokens: {keys: {directory: /keys}, audiences: {orders: []}}\n"
    text += "routes: [{name: a, match: {path: /a}, allow: {public: true}}]\n"

    assert _gateway(load_text(tmp_path, text)).grants == {}


TENANTS = 'issuer_pattern: {pattern: "https://login.example/{tid}/v2.0", values: %s}'


@pytest.mark.parametrize(
    ("issuers", "prefix"),
    [
        (TENANTS % "any", "{tid}:"),
        (TENANTS % "[a, b]", "{tid}:"),
        (TENANTS % "any", "entra-{tid}/"),
        (TENANTS % "any", "{iss}"),
        (TENANTS % "any", "{iss}:"),
        ("issuers: [https://a.example, https://b.example]", "{iss}:"),
        ("issuers: [https://a.example, https://b.example]", "{iss}"),
        ('issuers: [https://a.example, "https://a.example:8443"]', "{iss}|"),
        ("issuer: https://a.example", "{iss}:"),
    ],
)
def test_a_prefix_with_the_issuer_in_it_tells_the_subjects_of_many_apart(
    tmp_path: Path, issuers: str, prefix: str
) -> None:
    gateway = _gateway(load_text(tmp_path, _partners(prefix, issuers)))

    assert gateway.subject_prefixes["partners"] == prefix


@pytest.mark.parametrize(
    "other",
    [
        "issuer: https://a.example",
        'issuer_pattern: {pattern: "https://sts.example/{tid}/", values: any}',
    ],
)
def test_a_character_that_no_issuer_has_tells_all_issuers_apart(tmp_path: Path, other: str) -> None:
    text = _partners("{iss}|", TENANTS % "any", other)

    assert load_text(tmp_path, text).warnings != ()


def _partners(prefix: str, *issuers: str) -> str:
    """The smallest file with a further credential, of trust entries with these issuers."""
    entries = "".join(
        f"""  - name: acme-{number}
    kind: external
    {written}
    audiences: [shop]
    algorithms: [ES256]
    types: [jwt]
    keys: {{jwks: {{url: https://acme.example/keys-{number}}}}}
"""
        for number, written in enumerate(issuers)
    )
    names = ", ".join(f"acme-{number}" for number in range(len(issuers)))
    credential = f"""
  - name: partners
    header: authorization
    scheme: Bearer
    subject_prefix: "{prefix}"
    jwt: {{trust: [{names}]}}
"""
    text = GATEWAY.replace("credentials:", f"trust:\n{entries}credentials:")
    return text.replace("\nrequest_tokens", f"{credential}request_tokens")
