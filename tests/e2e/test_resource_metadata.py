"""A client that has no token follows the challenge to the document that Envoy serves (RFC 9728)."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sidecar.cli import main
from tests.e2e import shop
from tests.e2e.conftest import StartSidecar
from tests.support import envoy
from tests.support.pod import Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess, write_json

pytestmark = pytest.mark.every_envoy

URL = "https://orders.example/.well-known/oauth-protected-resource/api"
PATH = "/.well-known/oauth-protected-resource/api"


@pytest.fixture
def metadata_sidecar(start_sidecar: StartSidecar) -> SidecarProcess:
    return start_sidecar(resource_metadata=URL)


@pytest.fixture
def metadata_pod(
    metadata_sidecar: SidecarProcess,
    start_pod: StartPod,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Pod:
    """The pod, with the route that the command prints."""
    file = tmp_path / "sidecar.yaml"
    write_json(file, {"role": "sidecar", **shop.configuration(tmp_path), "resource_metadata": URL})
    assert main(["metadata", "-c", str(file), "--envoy"]) == 0
    (route,) = YAML(typ="safe").load(capsys.readouterr().out)
    configuration = envoy.load(envoy.PLAIN)
    envoy.routes(configuration).insert(0, route)
    return start_pod(metadata_sidecar, configuration)


@pytest.mark.parametrize("host", ["orders.shop.internal", "evil.example"])
def test_the_challenge_leads_to_the_document(metadata_pod: Pod, host: str) -> None:
    refused = metadata_pod.request(target="/orders/1", headers=[("host", host)])

    challenge = refused.response.header("www-authenticate") or ""
    found = re.search(r'resource_metadata="([^"]*)"', challenge)
    assert refused.response.status == 401
    assert found is not None
    assert found[1] == URL

    document = metadata_pod.request(target=PATH, headers=[("host", host)])
    assert document.response.status == 200
    assert document.response.header("content-type") == "application/json"
    assert document.response.json()["resource"] == "https://orders.example/api"
    assert document.response.json()["authorization_servers"] == [shop.PARTNER]
    assert not document.reached_the_application


def test_the_document_needs_no_sidecar(metadata_pod: Pod, metadata_sidecar: SidecarProcess) -> None:
    metadata_sidecar.process.stop()

    assert metadata_pod.request(target=PATH).response.status == 200
    assert metadata_pod.request(target="/orders/1").response.status == 503


def test_the_paths_below_and_beside_are_checked(metadata_pod: Pod) -> None:
    for target in (f"{PATH}/x", "/.well-known/oauth-protected-resource", f"{PATH}x"):
        assert metadata_pod.request(target=target).response.status != 200
