"""What is generated below ``deploy/k8s`` is up to date, and refers to what is there."""

from pathlib import Path

import pytest

from tests.support.manifests import RENDERINGS, documents, pods
from tools.manifests import MANIFESTS, envoy, outdated, overlays, rendered


def relative(path: Path) -> str:
    return str(path.relative_to(path.parents[2]))


@pytest.mark.usefixtures("kubectl_installed")
def test_every_rendered_manifest_is_what_kubectl_makes_of_its_overlay() -> None:
    assert [str(path) for path, _ in outdated(rendered())] == []


def test_every_overlay_has_its_rendered_manifest() -> None:
    assert {path.parent for path in RENDERINGS} == set(overlays())


def test_every_component_is_in_the_documentation() -> None:
    page = (MANIFESTS.parents[1] / "docs" / "kubernetes.md").read_text()
    for component in (MANIFESTS / "components").iterdir():
        assert f"`{component.name}`" in page or f"components/{component.name}`" in page


def test_envoy_is_configured_with_the_text_of_the_folder_envoy() -> None:
    assert [str(path) for path, _ in outdated(envoy())] == []


@pytest.mark.parametrize("path", RENDERINGS, ids=relative)
def test_every_generated_config_map_is_immutable_and_has_the_hash_of_its_content_in_its_name(
    path: Path,
) -> None:
    there = {
        document["metadata"]["name"]: document
        for document in documents(path)
        if document["kind"] == "ConfigMap"
    }
    for name, document in there.items():
        assert document["immutable"] is True, name
        assert len(name.rpartition("-")[2]) == 10, name
    mounted = {
        volume["configMap"]["name"]
        for pod in pods(path)
        for volume in pod.spec.get("volumes", [])
        if "configMap" in volume
    }
    # What another team makes in the namespace has a fixed name.
    assert mounted - set(there) <= {"gateway-ca", "vault-ca"}
    assert set(there) <= mounted


@pytest.mark.parametrize("path", RENDERINGS, ids=relative)
def test_no_manifest_has_a_digest_of_an_image(path: Path) -> None:
    for pod in pods(path):
        for container in pod.containers:
            assert "@" not in container["image"], container["name"]
            assert ":" in container["image"], container["name"]
