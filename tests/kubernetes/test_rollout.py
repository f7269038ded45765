"""The steps of docs/kubernetes.md at a real API server: each is taken, and taken back."""

import os
from pathlib import Path
from typing import Final

import pytest
from ruamel.yaml import YAML

from tests.support.kube_apiserver import KubeApiserver
from tests.support.kube_objects import Json
from tests.support.kubectl import KubectlError, kustomize
from tools.manifests import MANIFESTS

pytestmark = pytest.mark.kubernetes

SERVICE: Final = MANIFESTS / "examples" / "shop" / "unprotected" / "payments"
RULES: Final = (MANIFESTS / "keys" / "jwks" / "sidecar.yaml").read_text()


class Rollout:
    """A service's kustomization, which gets longer step by step."""

    def __init__(self, server: KubeApiserver, namespace: str, directory: Path) -> None:
        self._server, self._namespace, self._directory = server, namespace, directory

    def apply(self, *components: str, mode: str = "enforce", dry_run: bool = False) -> None:
        """Apply the service with these components."""
        (self._directory / "sidecar.yaml").write_text(f"mode: {mode}\n{RULES}")
        kustomization: Json = {
            "namespace": self._namespace,
            "resources": [os.path.relpath(SERVICE, self._directory)],
            "components": [
                os.path.relpath(MANIFESTS / "components" / name, self._directory)
                for name in components
            ],
        }
        if components:
            rules = {"name": "authz-sidecar", "files": ["sidecar.yaml"]}
            kustomization["configMapGenerator"] = [rules]
        YAML(typ="safe").dump(kustomization, self._directory / "kustomization.yaml")
        rendered = self._directory / "rendered.yaml"
        rendered.write_text(kustomize(self._directory))
        self._server.apply_file(rendered, dry_run=dry_run)

    def pod(self) -> Json:
        """The pod that the Deployment's controller would make now."""
        spec: Json = self._get("deployment")["spec"]["template"]["spec"]
        return spec

    def target_port(self) -> int | str:
        (port,) = self._get("service")["spec"]["ports"]
        target: int | str = port["targetPort"]
        return target

    def _get(self, kind: str) -> Json:
        found: Json = YAML(typ="safe").load(
            self._server.kubectl(
                *("get", kind, "payments", "--namespace", self._namespace, "--output=yaml")
            )
        )
        return found


@pytest.fixture
def rollout(kube_apiserver: KubeApiserver, namespace: str, tmp_path: Path) -> Rollout:
    """A service that is not protected yet."""
    rollout = Rollout(kube_apiserver, namespace, tmp_path)
    rollout.apply()
    return rollout


def names(pod: Json) -> list[str]:
    return [each["name"] for each in pod.get("initContainers", [])]


def test_a_service_is_paired_and_the_pair_is_taken_away_again(rollout: Rollout) -> None:
    before = rollout.pod()

    rollout.apply("pair", "keys-jwks", mode="shadow")
    assert names(rollout.pod()) == ["sidecar", "envoy"]
    assert rollout.target_port() == 8081

    rollout.apply()
    assert rollout.pod() == before


def test_the_service_leads_to_the_pair_and_back(rollout: Rollout) -> None:
    rollout.apply("pair", "keys-jwks", "services", mode="shadow")
    assert rollout.target_port() == "envoy"

    rollout.apply("pair", "keys-jwks", mode="shadow")
    assert rollout.target_port() == 8081


def test_to_enforce_is_another_config_map_and_the_old_one_is_there_to_go_back_to(
    rollout: Rollout,
) -> None:
    components = ("pair", "keys-jwks", "services", "network-policy")
    rollout.apply(*components, mode="shadow")
    shadow = rollout.pod()
    rollout.apply(*components, mode="enforce")
    assert rollout.pod() != shadow

    rollout.apply(*components, mode="shadow")
    assert rollout.pod() == shadow


def test_a_dry_run_stores_nothing_and_says_what_the_server_would_refuse(
    rollout: Rollout,
) -> None:
    before = rollout.pod()
    rollout.apply("pair", "keys-jwks", dry_run=True)
    assert rollout.pod() == before

    # Without components/pair, what the keys are mounted into is a container without an image.
    with pytest.raises(KubectlError, match="image: Required value"):
        rollout.apply("keys-jwks", dry_run=True)
