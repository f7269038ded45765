"""What the service reads about the caller is what the sidecar verified, and nothing else."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.e2e.conftest import StartSidecar
from tests.support import envoy
from tests.support.http1 import Field
from tests.support.pod import Exchange, Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess
from tests.support.tokens import ALGORITHMS, key_for, new_key
from tests.support.upstream import Upstream, respond

pytestmark = pytest.mark.every_envoy

SPOOFED: list[Field] = [(name, "root") for name in shop.IDENTITY]
SPELLINGS: list[list[Field]] = [
    [("x-user-id", "root")],
    [("X-User-Id", "root")],
    [("X-USER-ID", "root")],
    [("x-user-id", "root"), ("x-user-id", "admin")],
    [("x-user-id", "root"), ("X-User-ID", "admin"), ("x-user-id", "alice")],
    [("x-user-id", "")],
    [("x-user-id", "root,alice")],
    [("x-user-id", b"\xff\xfe root")],
]
UNDERSCORED = ["x_user_id", "x-user_id", "x_user-id", "X_User_Id", "X_USER-ID"]
# What servers may read as the same name: all that a name may hold but letters, digits, - and _.
FOLDED = [*(f"x{mark}user{mark}id" for mark in "!#$%&'*+.^`|~"), "X-User.Id", "x.user~id"]


def identity_of(exchange: Exchange) -> dict[str, list[bytes]]:
    """Every header the service could take for identity, in whatever spelling."""
    found: dict[str, list[bytes]] = {}
    for name, value in exchange.received.headers:
        if re.sub("[^a-z0-9]", "-", name.decode().lower()) in shop.IDENTITY:
            found.setdefault(name.decode().lower(), []).append(value)
    return found


def test_verified_claims_arrive_as_headers(pod: Pod) -> None:
    token = shop.token(
        groups=["staff", "ops"], scope="orders:read profile", realm_access={"roles": ["buyer"]}
    )

    exchange = pod.request(target="/orders/1", token=token)

    assert exchange.response.status == 200
    assert identity_of(exchange) == {
        "x-user-id": [b"alice"],
        "x-user-groups": [b"staff,ops"],
        "x-user-scopes": [b"orders:read profile"],
        "x-user-roles": [b"buyer"],
    }


def test_values_are_encoded_so_that_no_claim_can_pass_for_another(pod: Pod) -> None:
    token = shop.token(subject=" Zoë,root%\r\nx-admin: 1", groups=["a,b", "c"])

    exchange = pod.request(target="/orders/1", token=token)

    assert identity_of(exchange) == {
        "x-user-id": [b"%20Zo%C3%AB%2Croot%25%0D%0Ax-admin: 1"],
        "x-user-groups": [b"a%2Cb,c"],
    }
    assert exchange.received.values("x-admin") == []


@pytest.mark.parametrize("spoofed", SPELLINGS)
def test_spoofed_identity_is_replaced_by_the_verified_one(pod: Pod, spoofed: list[Field]) -> None:
    exchange = pod.request(target="/orders/1", headers=spoofed, token=shop.token())

    assert identity_of(exchange) == {"x-user-id": [b"alice"]}


def test_identity_the_token_does_not_speak_of_is_removed(pod: Pod) -> None:
    exchange = pod.request(target="/orders/1", headers=SPOOFED, token=shop.token())

    assert identity_of(exchange) == {"x-user-id": [b"alice"]}


@pytest.mark.parametrize("spoofed", SPELLINGS)
@pytest.mark.parametrize("path", ["/healthz", "/catalogue"])
def test_anonymous_requests_have_no_identity(pod: Pod, path: str, spoofed: list[Field]) -> None:
    exchange = pod.request(target=path, headers=spoofed)

    assert exchange.response.status == 200
    assert identity_of(exchange) == {}


def test_public_route_gives_no_identity_to_a_token_it_does_not_look_at(pod: Pod) -> None:
    exchange = pod.request(target="/healthz", headers=SPOOFED, token=shop.token())

    assert exchange.response.status == 200
    assert identity_of(exchange) == {}


def test_optional_route_gives_identity_to_a_good_token_and_refuses_a_bad_one(pod: Pod) -> None:
    good = pod.request(target="/catalogue", token=shop.token())
    bad = pod.request(target="/catalogue", token=shop.token(exp=1))

    assert identity_of(good) == {"x-user-id": [b"alice"]}
    assert bad.response.status == 401


@pytest.mark.parametrize("name", UNDERSCORED)
def test_underscore_spelling_is_refused_by_envoy(pod: Pod, name: str) -> None:
    exchange = pod.request(target="/orders/1", headers=[(name, "root")], token=shop.token())

    assert exchange.response.status == 400
    assert not exchange.reached_the_application


@pytest.fixture(scope="module")
def underscores_allowed(sidecar: SidecarProcess, start_pod: StartPod) -> Pod:
    """A pod whose Envoy lets underscores through, as it does by default."""
    configuration = envoy.load(envoy.PLAIN)
    options = envoy.http_connection_manager(configuration)["common_http_protocol_options"]
    options["headers_with_underscores_action"] = "ALLOW"
    return start_pod(sidecar, configuration)


@pytest.mark.parametrize("name", UNDERSCORED)
@pytest.mark.parametrize("path", ["/orders/1", "/healthz"])
def test_underscore_spelling_is_removed_where_envoy_allows_it(
    underscores_allowed: Pod, path: str, name: str
) -> None:
    exchange = underscores_allowed.request(
        target=path, headers=[(name, "root"), (name, "admin")], token=shop.token()
    )

    assert exchange.response.status == 200
    assert name.lower() not in identity_of(exchange)


@pytest.mark.parametrize("name", FOLDED)
@pytest.mark.parametrize(
    ("path", "identity"),
    [("/orders/1", {"x-user-id": [b"alice"]}), ("/healthz", {})],
    ids=["authorized", "public"],
)
def test_a_spelling_that_servers_fold_is_removed(
    pod: Pod, path: str, identity: dict[str, list[bytes]], name: str
) -> None:
    exchange = pod.request(
        target=path, headers=[(name, "root"), (name, "admin")], token=shop.token()
    )

    assert exchange.response.status == 200
    assert identity_of(exchange) == identity


def test_every_spelling_at_once_is_removed(pod: Pod) -> None:
    names = (name.replace("-", mark) for name in shop.IDENTITY for mark in "!#$%&'*+.^`|~")

    exchange = pod.request(
        target="/orders/1", headers=[(name, "root") for name in names], token=shop.token()
    )

    assert identity_of(exchange) == {"x-user-id": [b"alice"]}


def test_other_headers_pass_untouched(pod: Pod) -> None:
    headers: list[Field] = [
        ("x-note", "one"),
        ("x-note", "two, three"),
        ("x-bytes", b"caf\xe9 \xff"),
        ("cookie", "a=1; b=2"),
        ("x-user", "not one of ours"),
        ("x.user", "nor this one"),
    ]

    received = pod.request(target="/orders/1", headers=headers, token=shop.token()).received

    assert received.values("x-note") == [b"one", b"two, three"]
    assert received.values("x-bytes") == [b"caf\xe9 \xff"]
    assert received.values("cookie") == [b"a=1; b=2"]
    assert received.values("x-user") == [b"not one of ours"]
    assert received.values("x.user") == [b"nor this one"]


def test_the_token_that_was_verified_is_the_one_that_is_forwarded(pod: Pod) -> None:
    token = shop.token()

    exchange = pod.request(target="/orders/1", token=token)

    assert exchange.received.values("authorization") == [f"Bearer {token}".encode()]


def test_set_cookie_of_the_application_is_untouched(pod: Pod, upstream: Upstream) -> None:
    cookies = ["a=1; Path=/; HttpOnly", "b=2; Secure", "a=3"]
    upstream.answers["/orders/cookies"] = respond(
        headers=[("set-cookie", value) for value in cookies]
    )

    exchange = pod.request(target="/orders/cookies", token=shop.token())

    assert exchange.response.values("set-cookie") == cookies


def test_token_is_removed_where_the_service_does_not_want_it(
    start_sidecar: StartSidecar, start_pod: StartPod
) -> None:
    sidecar = start_sidecar(identity={"headers": shop.IDENTITY, "forward_token": False})
    pod = start_pod(sidecar)

    exchange = pod.request(target="/orders/1", token=shop.token())

    assert exchange.response.status == 200
    assert identity_of(exchange) == {"x-user-id": [b"alice"]}
    assert exchange.received.values("authorization") == []


def test_cookie_that_carried_the_token_is_taken_out_of_the_others(
    start_sidecar: StartSidecar, start_pod: StartPod
) -> None:
    sidecar = start_sidecar(
        token_sources=[{"cookie": "token"}],
        identity={"headers": shop.IDENTITY, "forward_token": False},
    )
    pod = start_pod(sidecar)

    among_others = pod.request(
        target="/orders/1", headers=[("cookie", f"a=1; token={shop.token()}; b=2")]
    )
    alone = pod.request(target="/orders/1", headers=[("cookie", f"token={shop.token()}")])

    assert identity_of(among_others) == {"x-user-id": [b"alice"]}
    assert among_others.received.values("cookie") == [b"a=1; b=2"]
    assert identity_of(alone) == {"x-user-id": [b"alice"]}
    assert alone.received.values("cookie") == []


@pytest.mark.parametrize("raw", [True, False], ids=["lines", "map"])
def test_a_cookie_that_only_the_application_would_take_for_the_token_does_not_reach_it(
    start_sidecar: StartSidecar, start_pod: StartPod, *, raw: bool
) -> None:
    """Where Envoy sends headers as a map, it joins the lines of cookies with a comma."""
    configuration = envoy.load(envoy.PLAIN)
    for filter_ in envoy.http_connection_manager(configuration)["http_filters"]:
        if filter_["name"] == "envoy.filters.http.ext_authz":
            filter_["typed_config"]["encode_raw_headers"] = raw
    sources = [{"header": "authorization", "scheme": "bearer"}, {"cookie": "token"}]
    pod = start_pod(start_sidecar(token_sources=sources), configuration)
    good, forged = shop.token(), shop.token(new_key("ES256", "other"))
    cases: list[list[Field]] = [
        [("cookie", f"token={good}; a=1 token={forged}")],
        [("cookie", f"token={good}; a=1,token={forged}")],
        [("cookie", b"token=%s; \xe2\x80\x80token=%s" % (good.encode(), forged.encode()))],
        [
            ("authorization", f"Bearer {good}"),
            *(("cookie", "a=1"), ("cookie", f"token={forged}")),
        ],
    ]

    for headers in cases:
        exchange = pod.request(target="/orders/1", headers=headers)
        assert exchange.response.json()["reason"] == "ambiguous_request"
        assert not exchange.reached_the_application


FORGED: list[Field] = [("authorization", "Bearer forged"), ("proxy-authorization", "Basic Zm9y")]


@pytest.fixture(scope="module")
def start_cookie_pod(start_sidecar: StartSidecar, start_pod: StartPod) -> Callable[..., Pod]:
    """Starts pods that take the token from a cookie."""

    def start(**identity: object) -> Pod:
        changes = {"headers": shop.IDENTITY, **identity}
        return start_pod(start_sidecar(token_sources=[{"cookie": "token"}], identity=changes))

    return start


def test_authorization_that_nobody_verified_is_removed(
    start_cookie_pod: Callable[..., Pod],
) -> None:
    pod = start_cookie_pod()
    cookie = ("cookie", f"token={shop.token()}")

    verified = pod.request(target="/orders/1", headers=[cookie, *FORGED])
    public = pod.request(target="/healthz", headers=FORGED)
    anonymous = pod.request(target="/catalogue", headers=FORGED)

    for exchange in (verified, public, anonymous):
        assert exchange.response.status == 200
        assert {"authorization", "proxy-authorization"}.isdisjoint(exchange.received.names)
    assert identity_of(verified) == {"x-user-id": [b"alice"]}


def test_authorization_is_passed_on_where_the_service_checks_it(
    start_cookie_pod: Callable[..., Pod],
) -> None:
    pod = start_cookie_pod(**{"pass": ["authorization"]})

    exchange = pod.request(
        target="/orders/1", headers=[("cookie", f"token={shop.token()}"), *FORGED]
    )

    assert exchange.received.values("authorization") == [b"Bearer forged"]
    assert exchange.received.values("proxy-authorization") == []


def test_a_public_route_passes_on_what_is_a_token_source_as_it_came(pod: Pod) -> None:
    exchange = pod.request(target="/healthz", headers=FORGED)

    assert exchange.received.values("authorization") == [b"Bearer forged"]
    assert exchange.received.values("proxy-authorization") == []


def test_headers_may_carry_what_rules_see_whoever_issued_the_token(
    start_sidecar: StartSidecar, start_pod: StartPod, tmp_path: Path
) -> None:
    gateway, cluster, _ = shop.configuration(tmp_path)["trust"]
    gateway["roles_claim"] = ["realm_access", "roles"]
    cluster["roles_claim"] = "kubernetes_roles"
    sidecar = start_sidecar(
        trust=[gateway, cluster],
        identity={
            "headers": {
                "x-user-id": "sub",
                "x-user-roles": {"normalised": "roles"},
                "x-user-groups": {"normalised": "groups"},
                "x-user-scopes": {"normalised": "scopes"},
            }
        },
        routes=[
            {
                "name": "all",
                "match": {"path": "/**"},
                "allow": {"tokens": ["request", "workload"]},
            }
        ],
    )
    pod = start_pod(sidecar)

    alice = shop.token(
        scope="b:write a:read", groups=["ops"], realm_access={"roles": ["clerk", "buyer"]}
    )
    billing = shop.workload_token(
        "system:serviceaccount:shop:billing", kubernetes_roles=["buyer"], roles=["root"]
    )
    assert identity_of(pod.request(target="/a", token=alice)) == {
        "x-user-id": [b"alice"],
        "x-user-roles": [b"buyer,clerk"],
        "x-user-groups": [b"ops"],
        "x-user-scopes": [b"a:read,b:write"],
    }
    assert identity_of(pod.request(target="/a", headers=SPOOFED, token=billing)) == {
        "x-user-id": [b"system:serviceaccount:shop:billing"],
        "x-user-roles": [b"buyer"],
    }


@pytest.fixture(scope="module")
def every_algorithm(
    start_sidecar: StartSidecar, start_pod: StartPod, tmp_path_factory: pytest.TempPathFactory
) -> Pod:
    """A pod whose gateway has a key of each algorithm."""
    directory = tmp_path_factory.mktemp("keys")
    (gateway, *_) = shop.configuration(directory)["trust"]
    gateway["algorithms"] = list(ALGORITHMS)
    shop.publish(directory, "gateway", *map(key_for, ALGORITHMS))
    return start_pod(start_sidecar(trust=[gateway]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_of_every_algorithm_are_verified(every_algorithm: Pod, algorithm: str) -> None:
    exchange = every_algorithm.request(target="/orders/1", token=shop.token(key_for(algorithm)))

    assert exchange.response.status == 200
    assert identity_of(exchange) == {"x-user-id": [b"alice"]}
