"""The cluster's issuer as a source of keys, over the paths and the TLS of an API server."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.errors import SourceFault
from sidecar.keys.settings import KubernetesKeys
from sidecar.keys.sources import Fetched
from sidecar.keys.sources.kubernetes import KubernetesSource
from tests.support.certificates import CertificateAuthority
from tests.support.kubernetes_api import ISSUER, JWKS, KubernetesApi
from tests.support.settings import kubernetes_keys
from tests.support.tokens import new_key

ACCOUNT = "shop:orders"
SUBJECT = f"system:serviceaccount:{ACCOUNT}"


@pytest.fixture
def settings(kubernetes_api: KubernetesApi, tmp_path: Path) -> KubernetesKeys:
    """Those of a pod that may read the issuer's keys."""
    kubernetes_api.discoverers.add(SUBJECT)
    token_file = tmp_path / "token"
    token_file.write_text(kubernetes_api.new_token(ACCOUNT))
    return kubernetes_keys(
        server=kubernetes_api.url, ca_file=kubernetes_api.ca_file, token_file=token_file
    )


async def fetch(settings: KubernetesKeys) -> Fetched:
    source = KubernetesSource(settings)
    try:
        return await source.fetch()
    finally:
        await source.close()


def kids(fetched: Fetched) -> list[str | None]:
    return [key.kid for key in fetched.keys]


def test_the_keys_are_those_of_the_cluster(
    kubernetes_api: KubernetesApi, settings: KubernetesKeys
) -> None:
    kubernetes_api.keys.append(new_key("RS256", "cluster-2"))
    fetched = asyncio.run(fetch(settings))

    assert kids(fetched) == ["cluster-1", "cluster-2"]
    assert fetched.max_age == 3600


def test_the_discovery_document_is_not_asked_for(
    kubernetes_api: KubernetesApi, settings: KubernetesKeys
) -> None:
    asyncio.run(fetch(settings))

    assert kubernetes_api.requested == [JWKS]


def test_the_token_is_read_anew_for_each_fetch(
    kubernetes_api: KubernetesApi, settings: KubernetesKeys
) -> None:
    async def story() -> None:
        source = KubernetesSource(settings)
        await source.fetch()
        kubernetes_api.delete_pod_of(settings.token_file.read_text())
        with pytest.raises(SourceFault):
            await source.fetch()
        settings.token_file.write_text(kubernetes_api.new_token(ACCOUNT) + "\n")
        assert kids(await source.fetch()) == ["cluster-1"]
        await source.close()

    asyncio.run(story())


@pytest.mark.parametrize(("audience", "lifetime"), [("orders", 3600), (ISSUER, -1)])
def test_a_token_that_is_not_for_the_api_server_is_explained(
    kubernetes_api: KubernetesApi, settings: KubernetesKeys, audience: str, lifetime: float
) -> None:
    token = kubernetes_api.new_token(ACCOUNT, audience=audience, lifetime=lifetime)
    settings.token_file.write_text(token)

    with pytest.raises(SourceFault, match="it has expired, or is not meant for the API server"):
        asyncio.run(fetch(settings))


def test_a_missing_permission_is_explained(
    kubernetes_api: KubernetesApi, settings: KubernetesKeys
) -> None:
    kubernetes_api.discoverers.clear()

    with pytest.raises(SourceFault, match="ClusterRole system:service-account-issuer-discovery"):
        asyncio.run(fetch(settings))


def test_an_api_server_of_another_cluster_is_refused(
    kubernetes_api: KubernetesApi, settings: KubernetesKeys, tmp_path: Path
) -> None:
    other = CertificateAuthority(tmp_path).certificate_file
    source = replace(settings, ca_file=other)

    with pytest.raises(SourceFault, match="certificate that is not trusted"):
        asyncio.run(fetch(source))
    assert kubernetes_api.requested == [], "it was not shown the token"


def test_a_pod_without_a_token_says_so(settings: KubernetesKeys) -> None:
    settings.token_file.unlink()

    with pytest.raises(SourceFault, match=f"{settings.token_file} cannot be read"):
        asyncio.run(fetch(settings))


def test_the_source_is_named_by_its_address(settings: KubernetesKeys) -> None:
    assert str(KubernetesSource(settings)) == f"kubernetes {settings.server}{JWKS}"
