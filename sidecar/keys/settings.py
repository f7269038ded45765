"""The settings of key sources and of refreshers."""

from dataclasses import dataclass
from pathlib import Path

from sidecar.clients.http import HttpSettings
from sidecar.clients.vault.settings import KvKeys, TransitKeys


@dataclass(frozen=True, slots=True)
class FileKeys:
    """Keys in a file, JWKS or PEM."""

    path: Path


@dataclass(frozen=True, slots=True)
class JwksKeys:
    """Keys at a URL (RFC 7517 §5)."""

    url: str
    http: HttpSettings


@dataclass(frozen=True, slots=True)
class OidcKeys:
    """Keys at the ``jwks_uri`` of the discovery document (OpenID Connect Discovery, RFC 8414)."""

    issuer: str
    http: HttpSettings


@dataclass(frozen=True, slots=True)
class KubernetesKeys:
    """The keys of the cluster's service account issuer, from its API server."""

    server: str
    ca_file: Path
    token_file: Path
    answer_bytes: int


SourceSettings = FileKeys | JwksKeys | OidcKeys | TransitKeys | KvKeys | KubernetesKeys


@dataclass(frozen=True, slots=True)
class KeySettings:
    """One trust entry's keys; all times in seconds.

    ``refresh`` is the longest time between two regular fetches; a source's ``max_age`` may shorten
    it, down to ``min_refresh``. ``cooldown`` is the least time between two fetches for unknown
    keys, ``max_stale`` how long the last good keys stay in use when no fetch succeeds, ``timeout``
    limits one fetch. At most ``key_waiters`` checks wait at once for a key; the next one is refused
    as unavailable (503).
    """

    trust: str
    source: SourceSettings
    refresh: float
    min_refresh: float
    cooldown: float
    max_stale: float
    timeout: float
    key_waiters: int
