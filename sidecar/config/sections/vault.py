"""The keys for a server of HashiCorp Vault or OpenBao: its address, and the login."""

from typing import Final

from pydantic import Field, StrictBool

from sidecar.clients.http import HttpSettings
from sidecar.clients.vault import settings as vault
from sidecar.config.addresses import HttpUrl
from sidecar.config.section import OneOf, Section, copied, written
from sidecar.config.values import File, Name, Text, VaultPath

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


class VaultKubernetesLogin(Section):
    """With the pod's service account."""

    role: Text = Field(description="The role in Vault.")
    mount: VaultPath = written("kubernetes", "Where the method is mounted, without `auth/`.")
    token_file: File = written(f"{SERVICE_ACCOUNT}/token", "The service account token.")


class VaultAppRoleLogin(Section):
    """With a role id and a secret id."""

    role_id_file: File = Field(description="The file that holds the role id.")
    secret_id_file: File = Field(description="The file that holds the secret id.")
    mount: VaultPath = written("approle", "Where the method is mounted, without `auth/`.")


class VaultLogin(OneOf):
    """How to log in: one of these."""

    kubernetes: VaultKubernetesLogin | None = written(None, "With the pod's service account.")
    approle: VaultAppRoleLogin | None = written(None, "With a role id and a secret id.")
    token_file: File | None = written(
        None, "With the token in this file, which another program renews."
    )

    def settings(self) -> vault.Login:
        """How the client logs in."""
        if self.kubernetes is not None:
            return copied(vault.KubernetesLogin, self.kubernetes)
        if self.approle is not None:
            return copied(vault.AppRoleLogin, self.approle)
        assert self.token_file is not None  # noqa: S101 - one of the three is written
        return vault.TokenFile(self.token_file)


class Transit(Section):
    """A key of the transit engine, with all of its live versions."""

    key: Name = Field(description="The key's name.")
    mount: VaultPath = written("transit", "Where the engine is mounted.")


class Kv(Section):
    """A JWKS in the key-value store, version 2."""

    path: VaultPath = Field(description="The secret's path, without the mount and `data/`.")
    mount: VaultPath = written("secret", "Where the engine is mounted.")
    replicas: StrictBool = written(
        False, "`path` is a folder with one secret per replica, each with its own key."
    )


class InVault(Section):
    """A server of HashiCorp Vault or OpenBao."""

    address: HttpUrl = Field(description="The server's URL.")
    namespace: VaultPath | None = written(None, "The namespace; without it, the root one.")
    login: VaultLogin = Field(description="How to log in.")

    def vault_settings(self, http: HttpSettings) -> vault.VaultSettings:
        """The server, and how it is reached."""
        return copied(
            vault.VaultSettings,
            self,
            login=self.login.settings(),
            namespace=self.namespace or "",
            http=http,
        )
