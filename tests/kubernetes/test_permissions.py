"""What the ServiceAccounts of the manifests may do: as little as any."""

from typing import Final

import pytest

from tests.support.kube_apiserver import KubeApiserver
from tests.support.manifests import RENDERINGS, documents

pytestmark = pytest.mark.kubernetes

ACCOUNTS: Final = sorted(
    {
        (document["metadata"]["namespace"], document["metadata"]["name"])
        for path in RENDERINGS
        for document in documents(path)
        if document["kind"] == "ServiceAccount"
    }
)
# The keys that service accounts' tokens are verified with: every account may read them.
ALLOWED: Final = [("get", "/openid/v1/jwks"), ("get", "/.well-known/openid-configuration")]
REFUSED: Final = [
    ("get", "secrets"),
    ("list", "secrets"),
    ("get", "configmaps"),
    ("update", "configmaps"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("create", "pods/portforward"),
    ("update", "pods/ephemeralcontainers"),
    ("patch", "deployments"),
    ("patch", "services"),
    ("create", "endpointslices"),
    ("create", "serviceaccounts/token"),
    ("impersonate", "users"),
]


def test_the_accounts_are_those_of_the_examples() -> None:
    assert {name for _, name in ACCOUNTS} >= {"orders", "payments", "gateway", "gateway-keys"}


@pytest.mark.parametrize(("namespace", "name"), ACCOUNTS)
def test_an_account_reads_public_keys_and_nothing_else(
    kube_apiserver: KubeApiserver, namespace: str, name: str
) -> None:
    user = f"system:serviceaccount:{namespace}:{name}"
    may = {
        (verb, what): kube_apiserver.can_i(user, verb, what, namespace=namespace)
        for verb, what in (*ALLOWED, *REFUSED)
    }
    assert [each for each, allowed in may.items() if allowed] == ALLOWED
