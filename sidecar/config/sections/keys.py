"""``trust[].keys``: where an issuer's public keys are found, and how often they are fetched."""

from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from sidecar.clients.http import ANSWER_BYTES
from sidecar.clients.proxy import ProxySettings
from sidecar.clients.vault.settings import KvKeys, TransitKeys
from sidecar.config.addresses import HttpUrl, same_url
from sidecar.config.problems import Finding
from sidecar.config.section import OneOf, Section, copied, written
from sidecar.config.sections.http import AnswerBytes, RemoteServer, RequestHeaders, over_http
from sidecar.config.sections.vault import SERVICE_ACCOUNT, InVault, Kv, Transit
from sidecar.config.values import Duration, File
from sidecar.keys.settings import FileKeys, JwksKeys, KubernetesKeys, OidcKeys, SourceSettings
from sidecar.model import TokenKind

_REFRESH: Final = 300.0
_REFRESH_OF_REQUEST_KEYS: Final = 30.0
_FILE_TIMEOUT: Final = 10.0


# What no other place of keys has; None where the configuration does not say it.
Place = tuple[str, ...] | None


class FileKeysSection(Section):
    """Public keys in a file."""

    path: File = Field(
        description="A JWKS or PEM file of public keys; a relative path begins at the "
        "configuration file's directory, here and wherever a file is named."
    )
    refresh: Annotated[float, Duration("1s", "1h")] = written("5s", "How often the file is polled.")
    # Polling an unchanged file costs microseconds, so a new key is found without a refused token.
    cooldown: Annotated[float, Duration("10ms", "1h")] = written(
        "50ms",
        "The least time between two polls of the file for tokens with an unknown key, "
        "or for any while there are no keys.",
    )
    max_stale: Annotated[float, Duration("1m", "720h")] = written(
        "24h", "How long the last good keys stay in use while the file cannot be used."
    )

    @property
    def place(self) -> Place:
        """The file."""
        return ("file", str(self.path.resolve()))

    def refresh_for(self, _: TokenKind) -> float:
        """How often the file is polled, in seconds, for every kind of token."""
        return self.refresh

    @property
    def min_refresh(self) -> float:
        """As ``refresh``: a file sends no ``Cache-Control``."""
        return self.refresh

    @property
    def timeout(self) -> float:
        """How long reading the file may take, in seconds."""
        return _FILE_TIMEOUT

    def settings(self, _issuer: str, _proxy: ProxySettings | None) -> SourceSettings:
        """The file."""
        return copied(FileKeys, self)


class _Refreshed(Section):
    """Keys that are fetched over a network."""

    refresh: Annotated[float | None, Duration("1s", "24h")] = written(
        None,
        "The longest time between two regular fetches: for so long a key that was "
        "removed may still be accepted. Without it `30s` for kind `request`, `5m` for the "
        "others.",
    )
    min_refresh: Annotated[float, Duration("1s", "24h")] = written(
        "30s",
        "The shortest time between two regular fetches where the server's "
        "`Cache-Control` asks for more of them; where it is left out, no more than `refresh`.",
    )
    cooldown: Annotated[float, Duration("100ms", "1h")] = written(
        "10s",
        "The least time between two fetches for tokens with an unknown key, or for "
        "any while there are no keys; where it is left out, no more than `refresh`.",
    )
    max_stale: Annotated[float, Duration("1m", "720h")] = written(
        "24h", "How long the last good keys stay in use while no fetch succeeds."
    )
    timeout: Annotated[float, Duration("100ms", "1m")] = written(
        "10s", "How long one fetch may take."
    )

    def refresh_for(self, kind: TokenKind) -> float:
        """The longest time between two regular fetches, in seconds: as written, or by the kind.

        Request tokens can be revoked only by revoking their key, so their keys are fetched often.
        """
        if self.refresh is not None:
            return self.refresh
        return _REFRESH_OF_REQUEST_KEYS if kind is TokenKind.REQUEST else _REFRESH


class _AtUrl(Section):
    url: HttpUrl = Field(description="The URL of the JWKS.")


# The bases stand in reverse: the reference lists the keys of the last one first.
class JwksSection(_Refreshed, RequestHeaders, RemoteServer, _AtUrl):
    """Public keys at a URL."""

    server_url = "url"

    @property
    def place(self) -> Place:
        """The URL."""
        return ("url", same_url(self.url))

    def settings(self, _: str, proxy: ProxySettings | None) -> SourceSettings:
        """The URL, and how it is reached."""
        return copied(JwksKeys, self, http=self.http_settings(proxy))


class OidcSection(_Refreshed, RequestHeaders, RemoteServer):
    """Public keys at the `jwks_uri` of the issuer's discovery document; its URL is `issuer`."""

    @property
    def place(self) -> Place:
        """None: the issuer says it."""
        return None

    def settings(self, issuer: str, proxy: ProxySettings | None) -> SourceSettings:
        """The issuer, and how its discovery document is reached."""
        return OidcKeys(issuer, self.http_settings(proxy))


class _Engines(Section):
    transit: Transit | None = written(None, "The keys are a transit key's.")
    kv: Kv | None = written(None, "The keys are in the key-value store.")


class VaultKeysSection(_Refreshed, RemoteServer, _Engines, InVault):
    """Public keys in HashiCorp Vault or OpenBao."""

    server_url = "address"

    @model_validator(mode="after")
    def _one_engine(self) -> Self:
        self.refuse_all_but_one(("transit", "kv"))
        return self

    @property
    def place(self) -> Place:
        """The path of the key or of the secret, with the namespace."""
        server = ("vault", same_url(self.address), self.namespace or "")
        if self.kv is not None:
            return (*server, self.kv.mount, "kv", self.kv.path)
        assert self.transit is not None  # noqa: S101 - one of the two is written
        return (*server, self.transit.mount, "transit", self.transit.key)

    def settings(self, _: str, proxy: ProxySettings | None) -> SourceSettings:
        """Where in Vault the keys are, and how it is reached."""
        server = self.vault_settings(self.http_settings(proxy))
        if self.kv is not None:
            return copied(KvKeys, self.kv, vault=server)
        assert self.transit is not None  # noqa: S101 - one of the two is written
        return copied(TransitKeys, self.transit, vault=server)


class _InCluster(Section):
    server: HttpUrl = written("https://kubernetes.default.svc", "The API server's URL.")
    ca_file: File = written(f"{SERVICE_ACCOUNT}/ca.crt", "The trusted CA certificates for it, PEM.")
    token_file: File = written(f"{SERVICE_ACCOUNT}/token", "The service account token to send.")
    answer_bytes: AnswerBytes = written(
        ANSWER_BYTES, "The most bytes that an answer may have; a longer one is a failure."
    )


class KubernetesSection(_Refreshed, _InCluster):
    """The keys of the cluster's service accounts, from its API server."""

    @property
    def place(self) -> Place:
        """The API server."""
        return ("kubernetes", same_url(self.server))

    def findings(self) -> Iterator[Finding]:
        """The keys come over https."""
        yield from super().findings()
        yield from over_http(("server",), self.server, "could exchange the keys", "write https")

    def settings(self, _issuer: str, _proxy: ProxySettings | None) -> SourceSettings:
        """The API server, and how it is reached: directly, since it is the cluster's own."""
        return copied(KubernetesKeys, self)


KeySource = FileKeysSection | JwksSection | OidcSection | VaultKeysSection | KubernetesSection


class Keys(OneOf):
    """Where an issuer's public keys are found: one of these."""

    file: FileKeysSection | None = written(None, "In a file.")
    jwks: JwksSection | None = written(None, "At a URL.")
    oidc: OidcSection | None = written(
        None, "At the `jwks_uri` of the issuer's discovery document (OpenID Connect or RFC 8414)."
    )
    vault: VaultKeysSection | None = written(None, "In HashiCorp Vault or OpenBao.")
    kubernetes: KubernetesSection | None = written(
        None, "At the cluster's API server, for the tokens of service accounts."
    )

    @property
    def source(self) -> KeySource:
        """The source that is written."""
        found: KeySource = getattr(self, self.chosen)
        return found


class KeyCache(Section):
    """Copies of the last good public keys, for a start while their server is down."""

    directory: File = Field(
        description="An existing directory that outlives the process and that no other user can "
        "write to. Keys in files are not copied."
    )
