"""The settings of a Vault or OpenBao server: its address, the login, and where keys are stored."""

from dataclasses import dataclass, field
from pathlib import Path

from sidecar.clients.http import HttpSettings


@dataclass(frozen=True, slots=True)
class KubernetesLogin:
    """Log in with the pod's service account token."""

    role: str
    token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    mount: str = "kubernetes"


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """Log in with a role id and a secret id, each in a file."""

    role_id_file: Path
    secret_id_file: Path
    mount: str = "approle"


@dataclass(frozen=True, slots=True)
class TokenFile:
    """Use a token that something else renews and writes to a file."""

    path: Path


Login = KubernetesLogin | AppRoleLogin | TokenFile


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """One server and how to log in to it. ``namespace`` is empty for the root namespace."""

    address: str
    login: Login
    namespace: str = ""
    http: HttpSettings = field(default_factory=HttpSettings)


@dataclass(frozen=True, slots=True)
class TransitKeys:
    """A key of the transit engine, with the mount of the engine."""

    vault: VaultSettings
    key: str
    mount: str = "transit"


@dataclass(frozen=True, slots=True)
class KvKeys:
    """Key sets kept in KV version 2.

    ``path`` is one secret, or with ``replicas`` a folder of records (``clients.vault.records``).
    """

    vault: VaultSettings
    path: str
    mount: str = "secret"
    replicas: bool = False
