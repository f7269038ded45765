"""Every kind of source can be opened, and says what it is before anything is fetched."""

import asyncio
from pathlib import Path

import pytest

from sidecar.clients.http import HttpSettings
from sidecar.clients.vault.settings import KvKeys, TokenFile, TransitKeys, VaultSettings
from sidecar.keys.settings import FileKeys, JwksKeys, OidcKeys, SourceSettings
from sidecar.keys.sources.factory import open_source
from tests.support.settings import kubernetes_keys

VAULT = VaultSettings("https://vault.example", TokenFile(Path("token")))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (FileKeys(Path("keys.json")), "file"),
        (JwksKeys("https://u:p@keys.example/keys?token=hush", HttpSettings()), "jwks"),
        (OidcKeys("https://issuer.example", HttpSettings()), "oidc"),
        (TransitKeys(VAULT, "gateway"), "transit"),
        (KvKeys(VAULT, "gateway"), "secret"),
        (kubernetes_keys(), "kubernetes"),
    ],
)
def test_a_source_names_itself_without_secrets(settings: SourceSettings, kind: str) -> None:
    async def opened() -> str:
        source = open_source(settings)
        await source.close()
        return str(source)

    name = asyncio.run(opened())
    assert name.startswith(f"{kind} ")
    assert "hush" not in name
