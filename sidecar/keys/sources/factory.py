"""Creates key sources from settings. A module is imported only if its source is configured."""

# ruff: noqa: PLC0415 - a module is imported only when its source is configured, to save memory
from sidecar.clients.vault.settings import KvKeys, TransitKeys
from sidecar.keys import settings as kinds
from sidecar.keys.sources import KeySource


def open_source(settings: kinds.SourceSettings) -> KeySource:
    """The source these settings describe. Nothing is read yet."""
    match settings:
        case kinds.FileKeys():
            from sidecar.keys.sources.file import FileSource

            return FileSource(settings.path)
        case kinds.JwksKeys():
            from sidecar.keys.sources.jwks import JwksSource

            return JwksSource(settings)
        case kinds.OidcKeys():
            from sidecar.keys.sources.oidc import OidcSource

            return OidcSource(settings)
        case TransitKeys():
            from sidecar.keys.sources.vault import VaultTransitSource

            return VaultTransitSource(settings)
        case KvKeys():
            from sidecar.keys.sources.vault import VaultKvSource

            return VaultKvSource(settings)
        case kinds.KubernetesKeys():
            from sidecar.keys.sources.kubernetes import KubernetesSource

            return KubernetesSource(settings)
