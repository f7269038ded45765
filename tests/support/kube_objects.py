"""Kubernetes objects as tests apply them."""

from typing import Any

Json = dict[str, Any]

# What Pod Security's level `restricted` asks of a container.
RESTRICTED_SECURITY: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, service_account: str = "default", **security: object) -> Json:
    """A pod of one application, ready for Pod Security's level `restricted`.

    ``security`` changes the container's security context.
    """
    container = {
        "name": "application",
        "image": "registry.example/application:1",
        "securityContext": {**RESTRICTED_SECURITY, **security},
    }
    spec = {"serviceAccountName": service_account, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
