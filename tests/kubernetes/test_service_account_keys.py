"""Tokens of a cluster's service accounts, verified with the keys that its API server publishes.

The sidecar has the example for Kubernetes; only where the API server is differs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support import envoy, kube_objects
from tests.support.envoy import ROOT
from tests.support.http1 import Field
from tests.support.kube_apiserver import KubeApiserver, ServiceAccount
from tests.support.load import Load
from tests.support.pod import Pod, running_pod
from tests.support.processes import eventually
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream

pytestmark = pytest.mark.kubernetes

Json = dict[str, Any]

EXAMPLE = ROOT / "examples" / "providers" / "kubernetes" / "sidecar.yaml"
DISCOVERY = "system:service-account-issuer-discovery"
AUDIENCE = "orders"
BILLING = ServiceAccount("shop", "billing")
ORDERS = ServiceAccount("shop", "orders")


@pytest.fixture
def cluster(kube_apiserver_to_restart: KubeApiserver) -> KubeApiserver:
    """A cluster with the callers that the example names, one that it does not, and the service."""
    for namespace, names in {"shop": ("billing", "search", "orders"), "jobs": ("nightly",)}.items():
        kube_apiserver_to_restart.new_namespace(namespace)
        for name in names:
            kube_apiserver_to_restart.new_service_account(namespace, name)
    return kube_apiserver_to_restart


@pytest.fixture
def token_file(cluster: KubeApiserver, tmp_path: Path) -> Path:
    """The token that the service's own pod has for the API server."""
    file = tmp_path / "token"
    file.write_text(cluster.new_token(ORDERS))
    return file


@pytest.fixture
def refresh() -> str:
    """As short as can be: the usual five minutes are too long for a test."""
    return "1s"


@pytest.fixture
def own_sidecar(
    cluster: KubeApiserver, token_file: Path, refresh: str, tmp_path: Path, socket_directory: Path
) -> Iterator[SidecarProcess]:
    configuration: Json = YAML(typ="safe").load(EXAMPLE)
    (entry,) = configuration["trust"]
    entry["keys"]["kubernetes"] = {
        "server": cluster.url,
        "ca_file": str(cluster.ca_file),
        "token_file": str(token_file),
        "refresh": refresh,
        "cooldown": "100ms",
    }
    changes: Json = {"start_timeout": "1s", "limits": {"key_wait": "5s"}}
    with SidecarProcess({**configuration, **changes}, tmp_path, socket_directory) as running:
        yield running


@pytest.fixture
def pod(
    envoy_version: str,
    own_sidecar: SidecarProcess,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """The order service. Its Envoy has the patience that a busy machine needs."""
    configuration = envoy.load(envoy.PLAIN)
    service = envoy.http_filter(configuration, "ext_authz")["grpc_service"]
    service["timeout"] = service["retry_policy"]["retry_back_off"]["max_interval"] = "6s"
    directory = tmp_path_factory.mktemp("envoy")
    with running_pod(
        envoy_version,
        directory,
        authz=own_sidecar.socket,
        upstream=upstream,
        configuration=configuration,
    ) as running:
        yield running


def answer(pod: Pod, token: str) -> tuple[int, str]:
    """What a request with this token gets: the status, and the reason if it was denied."""
    response = pod.request(target="/orders/1", token=token).response
    return response.status, "" if response.status == 200 else response.json()["reason"]


def test_a_caller_is_its_service_account_and_its_pod(cluster: KubeApiserver, pod: Pod) -> None:
    cluster.apply(kube_objects.pod("billing-0", "billing"), namespace="shop")
    token = cluster.new_token(BILLING, audience=AUDIENCE, pod="billing-0")

    exchange = pod.request(target="/orders/1", token=token)

    assert exchange.response.status == 200
    assert exchange.received.values("x-caller") == [BILLING.user.encode()]
    assert exchange.received.values("x-caller-pod") == [b"billing-0"]


def test_all_service_accounts_of_a_namespace_or_one(cluster: KubeApiserver, pod: Pod) -> None:
    def caller(namespace: str, name: str) -> tuple[int, str]:
        account = ServiceAccount(namespace, name)
        return answer(pod, cluster.new_token(account, audience=AUDIENCE))

    assert caller("jobs", "nightly") == (200, "")
    assert caller("jobs", "default") == (200, "")
    assert caller("shop", "search") == (401, "untrusted_subject")


def test_the_token_that_every_pod_has_for_the_api_server_is_refused(
    cluster: KubeApiserver, pod: Pod
) -> None:
    assert answer(pod, cluster.new_token(BILLING)) == (401, "wrong_audience")


@pytest.mark.parametrize("refresh", ["1h"])
def test_a_rotation_of_the_signing_key_is_followed_by_the_first_who_brings_it(
    cluster: KubeApiserver, token_file: Path, pod: Pod
) -> None:
    old = cluster.new_token(BILLING, audience=AUDIENCE)
    headers: list[Field] = [("authorization", f"Bearer {old}")]

    # While the API server restarts, the keys that were fetched before serve.
    with Load(pod.envoy.address, "/orders/1", lambda: headers) as load:
        cluster.rotate_signing_key()
        new = cluster.new_token(BILLING, audience=AUDIENCE)
        assert answer(pod, new) == (200, "")
        load.wait_for(100)
    assert not load.failures

    # The kubelet renews the pod's own token before the key that signed it is retired.
    token_file.write_text(cluster.new_token(ORDERS))
    cluster.retire_signing_keys()
    cluster.rotate_signing_key()
    assert answer(pod, cluster.new_token(BILLING, audience=AUDIENCE)) == (200, "")
    assert answer(pod, new) == (200, "")
    assert answer(pod, old) == (401, "unknown_key")


def test_the_role_that_reads_the_keys_is_enough_and_is_needed(
    cluster: KubeApiserver, pod: Pod, own_sidecar: SidecarProcess
) -> None:
    assert cluster.can_i(ORDERS.user, "get", "/openid/v1/jwks")
    token = cluster.new_token(BILLING, audience=AUDIENCE)
    assert answer(pod, token) == (200, "")

    # Every service account has the role from the start.
    cluster.kubectl("delete", "clusterrolebinding", DISCOVERY)
    eventually(lambda: not cluster.can_i(ORDERS.user, "get", "/openid/v1/jwks"))
    eventually(lambda: f"bind it to the ClusterRole {DISCOVERY}" in str(own_sidecar.status_page()))
    assert answer(pod, token) == (200, ""), "the keys that it has serve"

    # Given to this one alone, it is enough again.
    subject = f"--serviceaccount={ORDERS.namespace}:{ORDERS.name}"
    cluster.kubectl("create", "clusterrolebinding", "orders", f"--clusterrole={DISCOVERY}", subject)
    eventually(lambda: cluster.can_i(ORDERS.user, "get", "/openid/v1/jwks"))
    assert not cluster.can_i(BILLING.user, "get", "/openid/v1/jwks")
    eventually(lambda: DISCOVERY not in str(own_sidecar.status_page()))
    assert not cluster.can_i(ORDERS.user, "get", "secrets", namespace="shop")


def test_a_sidecars_own_token_must_be_for_the_api_server(
    cluster: KubeApiserver, token_file: Path, pod: Pod, own_sidecar: SidecarProcess
) -> None:
    token_file.write_text(cluster.new_token(ORDERS, audience=AUDIENCE))

    eventually(lambda: "is not meant for the API server" in str(own_sidecar.status_page()))
    assert answer(pod, cluster.new_token(BILLING, audience=AUDIENCE)) == (200, "")

    token_file.write_text(cluster.new_token(ORDERS))
    eventually(lambda: "is not meant for the API server" not in str(own_sidecar.status_page()))
