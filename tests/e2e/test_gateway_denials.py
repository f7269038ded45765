"""Every reason that only a gateway has, and what client and operator see of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from sidecar.model import GATEWAY_REASONS, Reason
from tests.e2e.gateway import Edge, Passage, legacy, running_edge_alone, session, sso
from tests.e2e.gateway_shop import gateway_configuration
from tests.support.http1 import Field
from tests.support.openid_provider import OpenIdProvider
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import eventually
from tests.support.upstream import Upstream

pytestmark = pytest.mark.every_envoy


@dataclass(frozen=True, slots=True)
class Scenario:
    """A request that meets one reason; without a ``secret`` it has a good one, alice's.

    ``edge`` is a fixture, for an edge of its own.
    """

    carried: Callable[[str], Field]
    secret: str = ""
    method: str = "GET"
    target: str = "/orders/1"
    headers: Sequence[Field] = ()
    edge: str = ""

    def play(self, edge: Edge, alice: str) -> Passage:
        credential = self.carried(self.secret or alice)
        return edge.request(credential, *self.headers, method=self.method, target=self.target)


SCENARIOS = {
    Reason.CROSS_SITE_REQUEST: Scenario(
        sso, method="POST", target="/checkout", headers=[("origin", "https://evil.example")]
    ),
    Reason.INVALID_SESSION: Scenario(session, "made-by-nobody"),
    Reason.INACTIVE_SESSION: Scenario(sso, "given-to-nobody"),
    Reason.INTROSPECTION_UNAVAILABLE: Scenario(legacy, "of-an-sso-that-is-down"),
    Reason.SIGNING_UNAVAILABLE: Scenario(sso, edge="edge_without_keys"),
}

# In the order in which the reasons are defined.
REASONS = [reason for reason in Reason if reason in GATEWAY_REASONS]
EVERY_REASON = pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.label)


@pytest.fixture(scope="module")
def edge_without_keys(
    envoy_version: str,
    openid_provider: OpenIdProvider,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """An edge whose gateway signs with Vault, which is down."""
    directory = tmp_path_factory.mktemp("gateway-without-keys")
    (directory / "vault-token").write_text("none")
    configuration = gateway_configuration(directory, openid_provider, start_timeout="0s")
    transit = {
        "address": f"http://{LOOPBACK}:{free_port()}",
        "allow_http": True,
        "login": {"token_file": "vault-token"},
        "key": "gateway",
    }
    configuration["request_tokens"]["keys"] = {"transit": transit}
    with running_edge_alone(envoy_version, directory, configuration, upstream) as running:
        yield running


@pytest.fixture
def passage(reason: Reason, edge: Edge, alice: str, request: pytest.FixtureRequest) -> Passage:
    """The request that meets ``reason``, sent and answered."""
    scenario = SCENARIOS[reason]
    if scenario.edge:
        edge = request.getfixturevalue(scenario.edge)
    return scenario.play(edge, alice)


@EVERY_REASON
def test_reason_decides_the_status_and_no_service_is_reached(
    reason: Reason, passage: Passage
) -> None:
    assert passage.response.status == reason.status
    assert not passage.reached_the_service


@EVERY_REASON
def test_access_log_tells_the_operator_why(reason: Reason, passage: Passage) -> None:
    entry = passage.access_log

    assert entry["reason"] == reason.label
    assert entry["decision"] == "deny"
    assert entry["response_flags"] == "UAEX"


@EVERY_REASON
def test_client_gets_problem_details(reason: Reason, passage: Passage) -> None:
    problem = passage.response.json()

    assert passage.response.header("content-type") == "application/problem+json"
    assert passage.response.header("cache-control") == "no-store"
    assert problem.keys() == {"type", "title", "status", "detail", "reason", "request_id"}
    assert problem["status"] == reason.status
    assert problem["reason"] == reason.label
    assert problem["request_id"] == passage.request_id


@EVERY_REASON
def test_challenge_names_the_error_and_an_outage_when_to_come_back(
    reason: Reason, passage: Passage
) -> None:
    challenge = passage.response.header("www-authenticate")

    assert (f'error="{reason.error}"' in str(challenge)) == bool(reason.error)
    assert (challenge is not None) == (reason.status == 401)
    assert (passage.response.header("retry-after") is not None) == (reason.status == 503)


@EVERY_REASON
def test_denial_is_logged_and_counted_and_names_no_credential(
    reason: Reason, passage: Passage, alice: str
) -> None:
    gateway = passage.edge.gateway
    (line,) = eventually(
        lambda: [each for each in gateway.log() if each.get("request_id") == passage.request_id]
    )

    assert line["reason"] == reason.label
    assert gateway.metric("sidecar_checks_total", decision="deny", reason=reason.label) >= 1
    secret = SCENARIOS[reason].secret or alice
    assert secret not in repr((line, passage.access_log, passage.response))


def test_origin_of_a_page_is_for_operators_alone(edge: Edge, alice: str) -> None:
    scenario = SCENARIOS[Reason.CROSS_SITE_REQUEST]
    passage = scenario.play(edge, alice)
    origin = str(dict(scenario.headers)["origin"])

    (line,) = eventually(
        lambda: [
            each for each in edge.gateway.log() if each.get("request_id") == passage.request_id
        ]
    )
    assert line["origin"] == origin
    assert origin in edge.gateway.admin("/").body.decode()
    assert origin not in repr((passage.response, passage.access_log))
