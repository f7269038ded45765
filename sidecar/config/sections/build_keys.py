"""From the models of key sources to the settings that the sources work with."""

from pathlib import Path
from typing import Final

from sidecar.clients import vault
from sidecar.clients.http import HttpSettings
from sidecar.config.sections import keys as models
from sidecar.config.sections.root import Trust
from sidecar.keys import settings

_READ_TIMEOUT: Final = 5.0


def key_settings(trust: Trust, beside: Path, maximum_waiters: int) -> settings.KeySettings:
    """What keeps an entry's keys fresh. Relative paths begin at ``beside``."""
    source = models.source(trust.keys)
    if isinstance(source, models.FileSource):
        return settings.KeySettings(
            trust=trust.name,
            source=settings.FileKeys(beside / source.path),
            refresh=source.refresh,
            cooldown=source.cooldown,
            max_stale=source.max_stale,
            maximum_waiters=maximum_waiters,
        )
    refresh = models.refresh_of(trust.kind, source)
    return settings.KeySettings(
        trust=trust.name,
        source=_fetched(source, trust.issuer, beside),
        refresh=refresh,
        minimum_refresh=min(source.min_refresh, refresh),
        cooldown=min(source.cooldown, refresh),
        max_stale=source.max_stale,
        timeout=source.timeout,
        maximum_waiters=maximum_waiters,
    )


def http_settings(source: models.Reached, beside: Path) -> HttpSettings:
    """How to reach the server of a source."""
    headed = source.headers if isinstance(source, models.Headed) else {}
    return HttpSettings(
        ca_file=_path(source.ca_file, beside),
        certificate=_path(source.certificate, beside),
        private_key=_path(source.private_key, beside),
        headers=tuple((name, beside / file) for name, file in headed.items()),
        allow_http=source.allow_http,
        read_timeout=_READ_TIMEOUT,
        answer_bytes=source.answer_bytes,
    )


def vault_settings(
    server: models.InVault, reached: models.Reached, beside: Path
) -> vault.VaultSettings:
    """One server of Vault, and how to reach it."""
    return vault.VaultSettings(
        address=server.address,
        login=_login(server.login, beside),
        namespace=server.namespace or "",
        http=http_settings(reached, beside),
    )


def _fetched(source: models.FetchedSource, issuer: str, beside: Path) -> settings.SourceSettings:
    match source:
        case models.JwksSource():
            return settings.JwksKeys(source.url, http_settings(source, beside))
        case models.OidcSource():
            return settings.OidcKeys(issuer, http_settings(source, beside))
        case models.VaultSource():
            return _in_vault(source, beside)
        case models.KubernetesSource():
            return settings.KubernetesKeys(
                server=source.server,
                ca_file=beside / source.ca_file,
                token_file=beside / source.token_file,
                answer_bytes=source.answer_bytes,
            )


def _in_vault(source: models.VaultSource, beside: Path) -> settings.SourceSettings:
    server = vault_settings(source, source, beside)
    if source.kv is not None:
        return settings.KvKeys(server, source.kv.path, source.kv.mount, source.kv.replicas)
    assert source.transit is not None  # noqa: S101 - the model refuses a source with neither
    return settings.TransitKeys(server, source.transit.key, source.transit.mount)


def _login(login: models.Login, beside: Path) -> vault.Login:
    if login.kubernetes is not None:
        method = login.kubernetes
        return vault.KubernetesLogin(method.role, beside / method.token_file, method.mount)
    if login.approle is not None:
        ids = login.approle
        return vault.AppRoleLogin(beside / ids.role_id_file, beside / ids.secret_id_file, ids.mount)
    assert login.token_file is not None  # noqa: S101 - the model refuses a login without a method
    return vault.TokenFile(beside / login.token_file)


def _path(file: str | None, beside: Path) -> Path | None:
    return beside / file if file is not None else None
