"""Every reason for which a request passes or does not, and what client and operator see of it."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from sidecar.model import GATEWAY_REASONS, LISTENER_REASONS, Reason
from tests.e2e import shop
from tests.e2e.conftest import StartSidecar
from tests.support import envoy
from tests.support.grpc_application import ECHO, call
from tests.support.http1 import Field
from tests.support.pod import Exchange, Pod
from tests.support.pod_fixtures import StartPod
from tests.support.processes import eventually
from tests.support.sidecar_process import FAULTY_SIDECAR, SidecarProcess
from tests.support.tokens import SigningKey, key_for, new_key

pytestmark = pytest.mark.every_envoy

Token = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A request that meets one reason. ``pod`` is a fixture, for a pod of its own."""

    path: str
    token: Token | None = None
    method: str = "GET"
    headers: Sequence[Field] = ()
    pod: str = ""

    def play(self, pod: Pod) -> Exchange:
        token = self.token() if self.token else None
        return pod.request(self.method, self.path, self.headers, token=token)


def with_token(key: SigningKey | None = None, **changes: Any) -> Scenario:
    """A request refused for its token alone. The token is made when it is sent."""
    return Scenario("/orders/1", lambda: shop.token(key, **changes))


SCENARIOS = {
    Reason.PUBLIC: Scenario("/healthz"),
    Reason.ANONYMOUS: Scenario("/catalogue"),
    Reason.AUTHORIZED: Scenario("/orders/1", shop.token),
    Reason.REQUEST_TOO_LARGE: Scenario(
        "/orders/1", shop.token, headers=[("a", "")] * 30, pod="narrow_pod"
    ),
    Reason.UNSAFE_PATH: Scenario("//orders/1", shop.token),
    Reason.INVALID_METHOD: Scenario("/healthz", method="get", pod="any_method_pod"),
    Reason.NO_ROUTE: Scenario("/admin", shop.token),
    Reason.NO_CREDENTIAL: Scenario("/orders/1"),
    Reason.UNSUPPORTED_SCHEME: Scenario("/orders/1", headers=[("authorization", "Basic YTpi")]),
    Reason.AMBIGUOUS_REQUEST: Scenario(
        "/orders/1", shop.token, headers=[("authorization", "Bearer another")]
    ),
    Reason.TOKEN_TOO_LARGE: with_token(padding="x" * 8192),
    Reason.MALFORMED_TOKEN: Scenario("/orders/1", lambda: shop.token() + "="),
    Reason.UNSUPPORTED_CRITICAL_HEADER: with_token(header={"crit": ["b64"], "b64": False}),
    Reason.UNTRUSTED_ISSUER: with_token(issuer="https://elsewhere.example"),
    Reason.WRONG_TOKEN_TYPE: with_token(header={"typ": "JWT"}),
    Reason.ALGORITHM_NOT_ALLOWED: with_token(key_for("RS256")),
    Reason.KEYS_UNAVAILABLE: with_token(issuer=shop.PARTNER),
    Reason.UNKNOWN_KEY: with_token(new_key("ES256", "unpublished")),
    Reason.BAD_SIGNATURE: with_token(new_key("ES256", shop.gateway_key().kid)),
    Reason.INVALID_CLAIM: with_token(exp="tomorrow"),
    Reason.EXPIRED: Scenario("/orders/1", lambda: shop.token(exp=shop.now() - 60)),
    Reason.NOT_YET_VALID: Scenario("/orders/1", lambda: shop.token(nbf=shop.now() + 60)),
    Reason.WRONG_AUDIENCE: with_token(audience="payments"),
    Reason.UNTRUSTED_SUBJECT: Scenario(
        "/orders/1", lambda: shop.workload_token("system:serviceaccount:default:default")
    ),
    Reason.TOKEN_KIND_NOT_ACCEPTED: Scenario(
        "/orders/1", lambda: shop.workload_token("system:serviceaccount:shop:shipping")
    ),
    Reason.INSUFFICIENT_SCOPE: Scenario(
        "/orders", lambda: shop.token(scope="orders:read"), method="POST"
    ),
    Reason.INSUFFICIENT_USER_AUTHENTICATION: Scenario(
        "/password", lambda: shop.token(acr="urn:shop:2fa", auth_time=time.time() - 600)
    ),
    Reason.MISSING_ROLE: Scenario("/support", lambda: shop.token(roles=["customer"])),
    Reason.MISSING_GROUP: Scenario("/staff", lambda: shop.token(groups=["customers"])),
    Reason.CALLER_NOT_ALLOWED: Scenario("/ship", shop.token),
    Reason.CONDITION_NOT_MET: Scenario("/customers/bob/orders", shop.token),
    Reason.CONDITION_FAILED: Scenario("/tenant", shop.token),
    Reason.IDENTITY_TOO_LARGE: with_token(subject="%" * 4000),
    Reason.OVERLOADED: Scenario("/orders/1", shop.token, pod="overloaded_pod"),
    Reason.INTERNAL_ERROR: Scenario("/orders/1", shop.token, pod="broken_pod"),
}

# In the order in which the reasons are defined.
SIDECAR_REASONS = [reason for reason in Reason if reason not in GATEWAY_REASONS | LISTENER_REASONS]
EVERY_REASON = pytest.mark.parametrize("reason", SIDECAR_REASONS, ids=lambda reason: reason.label)
DENIALS = pytest.mark.parametrize(
    "reason",
    [reason for reason in SIDECAR_REASONS if reason.status != 200],
    ids=lambda reason: reason.label,
)


@pytest.fixture(scope="module")
def overloaded_pod(start_sidecar: StartSidecar, start_pod: StartPod) -> Pod:
    """A pod whose sidecar gets to each check when Envoy no longer waits for it."""
    return start_pod(start_sidecar(command=[*FAULTY_SIDECAR, "late"]))


@pytest.fixture(scope="module")
def narrow_pod(start_sidecar: StartSidecar, start_pod: StartPod) -> Pod:
    """A pod whose sidecar looks at few header lines."""
    return start_pod(start_sidecar(limits={"header_lines": 30}))


@pytest.fixture(scope="module")
def broken_pod(start_sidecar: StartSidecar, start_pod: StartPod) -> Pod:
    """A pod whose sidecar has a bug."""
    return start_pod(start_sidecar(command=[*FAULTY_SIDECAR, "broken"]))


@pytest.fixture(scope="module")
def any_method_pod(sidecar: SidecarProcess, start_pod: StartPod) -> Pod:
    """A pod whose Envoy takes any method over HTTP/1.1, as it always does over HTTP/2."""
    configuration = envoy.load(envoy.PLAIN)
    manager = envoy.http_connection_manager(configuration)
    manager["http_protocol_options"] = {"allow_custom_methods": True}
    return start_pod(sidecar, configuration)


@pytest.fixture
def exchange(reason: Reason, pod: Pod, request: pytest.FixtureRequest) -> Exchange:
    """The request that meets ``reason``, sent and answered."""
    scenario = SCENARIOS[reason]
    return scenario.play(request.getfixturevalue(scenario.pod) if scenario.pod else pod)


@EVERY_REASON
def test_reason_decides_status_and_whether_the_application_is_reached(
    reason: Reason, exchange: Exchange
) -> None:
    assert exchange.response.status == reason.status
    assert exchange.reached_the_application == (reason.status == 200)


@EVERY_REASON
def test_access_log_tells_the_operator_why(reason: Reason, exchange: Exchange) -> None:
    entry = exchange.access_log

    assert entry["reason"] == reason.label
    assert entry["decision"] == ("allow" if reason.status == 200 else "deny")
    assert (entry["response_flags"] == "UAEX") == (reason.status != 200)


@DENIALS
def test_client_gets_problem_details(reason: Reason, exchange: Exchange) -> None:
    problem = exchange.response.json()

    assert exchange.response.header("content-type") == "application/problem+json"
    assert exchange.response.header("cache-control") == "no-store"
    assert problem.keys() == {"type", "title", "status", "detail", "reason", "request_id"}
    assert problem["status"] == reason.status
    assert problem["reason"] == reason.label
    assert problem["request_id"] == exchange.request_id


@DENIALS
def test_challenge_names_the_error(reason: Reason, exchange: Exchange) -> None:
    challenge = exchange.response.header("www-authenticate")

    if reason.error:
        assert challenge is not None
        assert f'error="{reason.error}"' in challenge
    else:
        assert (challenge is not None) == (reason.status == 401)


def test_challenge_without_a_token_has_no_error_code(pod: Pod) -> None:
    challenge = pod.request(target="/orders/1").response.header("www-authenticate")

    assert challenge is not None
    assert challenge.startswith('Bearer realm="')
    assert "error" not in challenge


def test_challenge_names_the_scopes_a_token_lacks(pod: Pod) -> None:
    exchange = SCENARIOS[Reason.INSUFFICIENT_SCOPE].play(pod)

    challenge = exchange.response.header("www-authenticate")

    assert challenge is not None
    assert 'scope="orders:write orders:read"' in challenge


def test_challenge_names_one_of_several_scopes_and_those_that_are_needed_besides(pod: Pod) -> None:
    lacking = pod.request(target="/invoices", token=shop.token(scope="profile invoices"))
    enough = pod.request(target="/invoices", token=shop.token(scope="profile invoices:all"))

    challenge = lacking.response.header("www-authenticate")
    assert challenge is not None
    assert 'scope="profile invoices:read"' in challenge
    assert lacking.access_log["reason"] == "insufficient_scope"
    assert enough.response.status == 200


def test_challenge_says_how_the_user_has_to_be_authenticated(pod: Pod) -> None:
    stale = SCENARIOS[Reason.INSUFFICIENT_USER_AUTHENTICATION].play(pod)
    weak = pod.request(target="/password", token=shop.token(auth_time=time.time()))
    strong = shop.token(acr="urn:shop:2fa", auth_time=time.time())

    for exchange, needed in ((stale, 'max_age="300"'), (weak, 'acr_values="urn:shop:2fa"')):
        challenge = exchange.response.header("www-authenticate")
        assert challenge is not None
        assert 'error="insufficient_user_authentication"' in challenge
        assert challenge.endswith(needed)
    assert pod.request(target="/password", token=strong).response.status == 200


def test_unavailable_keys_ask_the_client_to_come_back(pod: Pod) -> None:
    exchange = SCENARIOS[Reason.KEYS_UNAVAILABLE].play(pod)

    assert exchange.response.header("retry-after") is not None


def test_access_log_names_route_subject_and_token_by_its_fingerprint(pod: Pod) -> None:
    exchange = pod.request(target="/orders/1?token=secret", token=shop.token())

    entry = exchange.access_log

    assert entry["route"] == "orders"
    assert entry["sub"] == "alice"
    assert entry["iss"] == shop.GATEWAY
    assert len(entry["token"]) == 16
    assert entry["path"] == "/orders/1"


def test_denial_is_one_line_in_the_log_of_the_sidecar(pod: Pod, sidecar: SidecarProcess) -> None:
    exchange = SCENARIOS[Reason.EXPIRED].play(pod)

    (line,) = eventually(
        lambda: [line for line in sidecar.log() if line.get("request_id") == exchange.request_id]
    )

    assert line["reason"] == "expired"
    assert line["route"] == "orders"
    assert line["token"] == exchange.access_log["token"]
    assert line["exp"].endswith(" s ago")


@pytest.mark.parametrize(
    ("target", "changes", "held"),
    [
        (
            "/orders/1",
            {"audience": ["stock", "billing"]},
            {"aud": "stock, billing", "issuer": "gateway", "sub": "alice"},
        ),
        (
            "/nowhere/%7Ealice?code=marked",
            {},
            {"method": "GET", "path": "/nowhere/~alice"},
        ),
        ("/orders//1?code=marked", {}, {"method": "GET", "path": "/orders//1"}),
    ],
    ids=["wrong_audience", "no_route", "unsafe_path"],
)
def test_log_and_status_page_have_what_was_held_and_the_client_does_not(
    pod: Pod, sidecar: SidecarProcess, target: str, changes: dict[str, Any], held: dict[str, str]
) -> None:
    exchange = pod.request(target=target, token=shop.token(**changes))

    (line,) = eventually(
        lambda: [line for line in sidecar.log() if line.get("request_id") == exchange.request_id]
    )
    assert {name: line[name] for name in held} == held
    status = sidecar.admin("/").body.decode()
    for value in held.values():
        assert value in status
    assert "marked" not in status + repr(line)
    answer = exchange.response.json()
    assert not set(held.values()) & set(map(str, answer.values()))
    assert "stock" not in repr(exchange.response)


@pytest.mark.parametrize(
    "reason", [Reason.AUTHORIZED, Reason.EXPIRED], ids=lambda reason: reason.label
)
def test_decision_is_counted(pod: Pod, sidecar: SidecarProcess, reason: Reason) -> None:
    def counted() -> float:
        return sidecar.metric("sidecar_checks_total", route="orders", reason=reason.label)

    before = counted()
    SCENARIOS[reason].play(pod)

    eventually(lambda: counted() == before + 1)


@pytest.mark.parametrize("changes", [{}, {"exp": 1}], ids=["allowed", "denied"])
def test_no_log_holds_the_token(pod: Pod, sidecar: SidecarProcess, changes: dict[str, Any]) -> None:
    token = shop.token(**changes)

    entry = pod.request(target=f"/orders/1?access_token={token}", token=token).access_log

    logs = repr(entry) + repr(sidecar.log())
    assert [part for part in token.split(".")[1:] if part in logs] == []


def test_denial_of_a_head_request_has_no_body(pod: Pod) -> None:
    exchange = pod.request("HEAD", "/orders/1")

    assert exchange.response.status == 401
    assert exchange.response.body == b""


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.NO_CREDENTIAL, grpc.StatusCode.UNAUTHENTICATED),
        (Reason.EXPIRED, grpc.StatusCode.UNAUTHENTICATED),
        (Reason.INSUFFICIENT_SCOPE, grpc.StatusCode.PERMISSION_DENIED),
        (Reason.AMBIGUOUS_REQUEST, grpc.StatusCode.INVALID_ARGUMENT),
        (Reason.KEYS_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
    ],
    ids=lambda value: value.label if isinstance(value, Reason) else value.name,
)
def test_grpc_client_gets_the_status_and_a_sentence(
    pod: Pod, reason: Reason, code: grpc.StatusCode
) -> None:
    tokens = {
        Reason.NO_CREDENTIAL: [],
        Reason.EXPIRED: [shop.token(exp=1)],
        Reason.INSUFFICIENT_SCOPE: [shop.token()],
        Reason.AMBIGUOUS_REQUEST: [shop.token(), shop.token()],
        Reason.KEYS_UNAVAILABLE: [shop.token(issuer=shop.PARTNER)],
    }
    request_id = uuid.uuid4().hex
    metadata = tuple(("authorization", f"Bearer {token}") for token in tokens[reason])

    outcome = call(pod.envoy.address, ECHO, (("x-request-id", request_id), *metadata))

    assert outcome.code is code
    assert outcome.details
    assert not outcome.details.startswith("{")
    assert pod.envoy.access_log(request_id)["reason"] == reason.label
