"""How the keys of one trust entry are found and kept fresh."""

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
    """Keys where the issuer's discovery document says (OpenID Connect Discovery, RFC 8414)."""

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

    ``refresh`` is the longest time between two regular fetches; a source that wants to be asked
    more often is, down to ``min_refresh``. ``cooldown`` is the least time between two fetches
    for keys that are not known, ``max_stale`` how long the last good keys serve when no fetch
    succeeds, ``timeout`` bounds one fetch. At most ``key_waiters`` checks wait at once for a
    key; the next one is unavailable (503).
    """

    trust: str
    source: SourceSettings
    refresh: float
    min_refresh: float
    cooldown: float
    max_stale: float
    timeout: float
    key_waiters: int
