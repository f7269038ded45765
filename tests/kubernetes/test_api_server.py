"""What the tests of this folder rely on: the API server decides as that of a cluster does."""

import json

import pytest

from tests.support.kube_apiserver import KubeApiserver, ServiceAccount
from tests.support.kube_objects import pod
from tests.support.kubectl import KubectlError
from tests.support.processes import eventually

pytestmark = pytest.mark.kubernetes


def test_it_is_a_release_that_kubectl_knows(kube_apiserver: KubeApiserver) -> None:
    version = kube_apiserver.kubectl("version", "--output=yaml")

    assert "serverVersion" in version
    assert 'minor: "37"' in version.split("serverVersion")[1]


def test_a_namespace_holds_its_pods_to_pod_security(
    kube_apiserver: KubeApiserver, namespace: str
) -> None:
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted:latest"'):
        kube_apiserver.apply(pod("orders", allowPrivilegeEscalation=True), namespace=namespace)

    (stored,) = kube_apiserver.apply(pod("orders"), namespace=namespace)
    assert stored["spec"]["serviceAccountName"] == "default"


def test_a_dry_run_says_what_would_be_stored_and_stores_nothing(
    kube_apiserver: KubeApiserver, namespace: str
) -> None:
    (would_be,) = kube_apiserver.apply(pod("orders"), namespace=namespace, dry_run=True)

    assert would_be["metadata"]["uid"]
    with pytest.raises(KubectlError, match='pods "orders" not found'):
        kube_apiserver.kubectl("get", "pod", "orders", "--namespace", namespace)


def test_a_field_that_does_not_exist_is_refused(
    kube_apiserver: KubeApiserver, namespace: str
) -> None:
    with pytest.raises(KubectlError, match=r"\.spec\.containers.*readOnlyFilesystem"):
        kube_apiserver.apply(pod("orders", readOnlyFilesystem=True), namespace=namespace)


def test_who_may_do_what_is_decided_by_roles(kube_apiserver: KubeApiserver, namespace: str) -> None:
    account = kube_apiserver.new_service_account(namespace, "deployer")
    assert not kube_apiserver.can_i(account.user, "create", "pods", namespace=namespace)

    role = ("deployer", "--verb=get,create,patch", "--resource=pods")
    kube_apiserver.kubectl("create", "role", *role, "--namespace", namespace)
    binding = ("deployer", "--role=deployer", f"--serviceaccount={namespace}:{account.name}")
    kube_apiserver.kubectl("create", "rolebinding", *binding, "--namespace", namespace)

    eventually(lambda: kube_apiserver.can_i(account.user, "create", "pods", namespace=namespace))
    assert not kube_apiserver.can_i(account.user, "create", "pods", namespace="default")
    kube_apiserver.apply(pod("orders"), namespace=namespace, user=account.user)
    with pytest.raises(KubectlError, match="is forbidden"):
        kube_apiserver.apply(pod("orders"), namespace="default", user=account.user)


def test_a_token_is_bound_to_a_pod_that_exists(
    kube_apiserver: KubeApiserver, namespace: str
) -> None:
    account = ServiceAccount(namespace, "default")

    with pytest.raises(KubectlError, match='pods "orders" not found'):
        kube_apiserver.new_token(account, pod="orders")

    kube_apiserver.apply(pod("orders"), namespace=namespace)
    token = kube_apiserver.new_token(account, pod="orders")
    review = kube_apiserver.kubectl("auth", "whoami", "--token", token, "--output=json")
    who = json.loads(review)["status"]["userInfo"]
    assert who["username"] == account.user
    assert who["extra"]["authentication.kubernetes.io/pod-name"] == ["orders"]


def test_what_is_stored_outlives_a_restart(kube_apiserver_to_restart: KubeApiserver) -> None:
    server = kube_apiserver_to_restart
    namespace = server.new_namespace()
    server.restart("--disable-admission-plugins=PodSecurity")

    server.apply(pod("orders", allowPrivilegeEscalation=True), namespace=namespace)
