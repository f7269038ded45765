"""A connection that sends more than its share: Envoy refuses the rest, and asks nobody about it."""

import uuid

import pytest

from tests.support import envoy
from tests.support.http1 import Connection, Field, Response
from tests.support.pod import Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess

pytestmark = pytest.mark.every_envoy

SHARE = 3


@pytest.fixture(scope="module")
def pod(sidecar: SidecarProcess, start_pod: StartPod) -> Pod:
    """As shipped, but with a bucket that a test can empty and nothing fills meanwhile."""
    configuration = envoy.load(envoy.PLAIN)
    limit = envoy.http_filter(configuration, "local_ratelimit")
    limit["token_bucket"] = {
        "max_tokens": SHARE,
        "tokens_per_fill": 1,
        "fill_interval": "3600s",
    }
    return start_pod(sidecar, configuration)


def ask(connection: Connection, *headers: Field) -> Response:
    return connection.request("GET", "/healthz", headers)


def test_connection_above_its_share_is_refused_and_no_other(
    pod: Pod, sidecar: SidecarProcess
) -> None:
    checks = sidecar.metric("sidecar_checks_total")

    with Connection(pod.envoy.address) as one, Connection(pod.envoy.address) as other:
        statuses = [ask(one).status for _ in range(SHARE + 2)]
        assert statuses == [200] * SHARE + [429] * 2
        assert ask(other).status == 200

    assert sidecar.metric("sidecar_checks_total") == checks + SHARE + 1


def test_refusal_shows_in_the_access_log_and_in_envoys_statistics(pod: Pod) -> None:
    refused = uuid.uuid4().hex
    counter = "ingress.http_local_rate_limit.rate_limited"
    before = pod.envoy.stats()[counter]

    with Connection(pod.envoy.address) as connection:
        for _ in range(SHARE):
            ask(connection)
        ask(connection, ("x-request-id", refused))

    entry = pod.envoy.access_log(refused)
    assert (entry["response_flags"], entry["response_details"]) == ("RL", "local_rate_limited")
    assert pod.envoy.stats()[counter] == before + 1


def test_grpc_client_is_told_in_its_own_terms(pod: Pod) -> None:
    with Connection(pod.envoy.address) as connection:
        for _ in range(SHARE):
            ask(connection)
        response = ask(connection, ("content-type", "application/grpc"))

    assert response.header("grpc-status") == "8"  # RESOURCE_EXHAUSTED
