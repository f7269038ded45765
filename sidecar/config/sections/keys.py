"""The shape of ``trust[].keys``: where an issuer's public keys are found, and how often."""

from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, model_validator

from sidecar.clients.http import ANSWER_BYTES
from sidecar.config.addresses import HttpUrl, http_url
from sidecar.config.section import OneOf, Section
from sidecar.config.values import (
    Duration,
    Name,
    RequestHeader,
    Text,
    VaultPath,
    distinct_headers,
    shown,
)
from sidecar.model import TokenKind

# An answer of the largest size is parsed in about 0.1 s, beside the checks.
AnswerBytes = Annotated[StrictInt, Field(ge=1024, le=1024 * 1024)]

_REFRESH: Final = 300.0
_REFRESH_OF_REQUEST_KEYS: Final = 30.0
_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


class FileSource(Section):
    """Public keys in a file."""

    path: Text = Field(
        description="A JWKS or PEM file of public keys; a relative path begins at the "
        "configuration file's directory, here and wherever a file is named."
    )
    refresh: Annotated[float, Duration("1s", "1h")] = Field(
        default="5s",
        validate_default=True,
        description="How often the file is looked at.",
    )
    # A look at an unchanged file costs microseconds: no token of a new key need be turned away.
    cooldown: Annotated[float, Duration("10ms", "1h")] = Field(
        default="50ms",
        validate_default=True,
        description="The least time between two looks at the file for tokens with an unknown key, "
        "or for any while there are no keys.",
    )
    max_stale: Annotated[float, Duration("1m", "720h")] = Field(
        default="24h",
        validate_default=True,
        description="How long the last good keys serve while the file cannot be used.",
    )


class _Refreshed(Section):
    """Keys that are fetched over a network."""

    refresh: Annotated[float | None, Duration("1s", "24h")] = Field(
        default=None,
        description="The longest time between two regular fetches: for so long a key that was "
        "taken out may still be accepted. Without it `30s` for kind `request`, `5m` for the "
        "others.",
    )
    min_refresh: Annotated[float, Duration("1s", "24h")] = Field(
        default="30s",
        validate_default=True,
        description="The shortest time between two regular fetches where the server's "
        "`Cache-Control` asks for more of them; where it is left out, no more than `refresh`.",
    )
    cooldown: Annotated[float, Duration("100ms", "1h")] = Field(
        default="10s",
        validate_default=True,
        description="The least time between two fetches for tokens with an unknown key, or for "
        "any while there are no keys; where it is left out, no more than `refresh`.",
    )
    max_stale: Annotated[float, Duration("1m", "720h")] = Field(
        default="24h",
        validate_default=True,
        description="How long the last good keys serve while no fetch succeeds.",
    )
    timeout: Annotated[float, Duration("100ms", "1m")] = Field(
        default="10s",
        validate_default=True,
        description="How long one fetch may take.",
    )


class Reached(Section):
    """A server of one's own choice."""

    ca_file: Text | None = Field(
        default=None,
        description="The authorities that may vouch for the server, PEM, in place of the system's.",
    )
    certificate: Text | None = Field(
        default=None, description="The client certificate to show, with its chain, PEM."
    )
    private_key: Text | None = Field(
        default=None,
        description="The client certificate's key, PEM; without it, it is in `certificate`.",
    )
    allow_http: StrictBool = Field(
        default=False,
        description="Speak http, too: whoever is on the way can then read and change what is said.",
    )
    answer_bytes: AnswerBytes = Field(
        default=ANSWER_BYTES,
        description="The most bytes that an answer may have; a longer one is a failure.",
    )


class Headed(Section):
    """A server that wants to be shown something."""

    headers: Annotated[dict[RequestHeader, Text], BeforeValidator(distinct_headers)] = Field(
        default={},
        description="Headers to send, each with the file that holds its value.",
    )


class _AtUrl(Section):
    url: HttpUrl = Field(description="The URL of the JWKS.")


# The bases stand in reverse: the reference lists the keys of the last one first.
class JwksSource(_Refreshed, Headed, Reached, _AtUrl):
    """Public keys at a URL."""


class OidcSource(_Refreshed, Headed, Reached):
    """Public keys where the issuer's discovery document says; the address is the `issuer`'s."""


class KubernetesLogin(Section):
    """With the pod's service account."""

    role: Text = Field(description="The role in Vault.")
    mount: VaultPath = Field(
        default="kubernetes", description="Where the method is mounted, without `auth/`."
    )
    token_file: Text = Field(
        default=f"{_SERVICE_ACCOUNT}/token", description="The service account token."
    )


class AppRoleLogin(Section):
    """With a role id and a secret id."""

    role_id_file: Text = Field(description="The file that holds the role id.")
    secret_id_file: Text = Field(description="The file that holds the secret id.")
    mount: VaultPath = Field(
        default="approle", description="Where the method is mounted, without `auth/`."
    )


class Login(OneOf):
    """How to log in: one of these."""

    kubernetes: KubernetesLogin | None = Field(
        default=None, description="With the pod's service account."
    )
    approle: AppRoleLogin | None = Field(
        default=None, description="With a role id and a secret id."
    )
    token_file: Text | None = Field(
        default=None, description="With the token in this file, which something else renews."
    )


class Transit(Section):
    """The public halves of a transit key, every version that is live."""

    key: Name = Field(description="The key's name.")
    mount: VaultPath = Field(default="transit", description="Where the engine is mounted.")


class Kv(Section):
    """A JWKS in the key-value store, version 2."""

    path: VaultPath = Field(description="The secret's path, without the mount and `data/`.")
    mount: VaultPath = Field(default="secret", description="Where the engine is mounted.")
    replicas: StrictBool = Field(
        default=False,
        description="`path` is a folder with one secret per replica, each with its own key.",
    )


class InVault(Section):
    """A server of HashiCorp Vault or OpenBao."""

    address: HttpUrl = Field(description="The server's URL.")
    namespace: VaultPath | None = Field(
        default=None, description="The namespace; without it, the root one."
    )
    login: Login = Field(description="How to log in.")


class _Engines(Section):
    transit: Transit | None = Field(default=None, description="The keys are a transit key's.")
    kv: Kv | None = Field(default=None, description="The keys are in the key-value store.")


class VaultSource(_Refreshed, Reached, _Engines, InVault):
    """Public keys in HashiCorp Vault or OpenBao."""

    @model_validator(mode="after")
    def _one_engine(self) -> Self:
        self.refuse_all_but_one(("transit", "kv"))
        return self


class _InCluster(Section):
    server: HttpUrl = Field(
        default="https://kubernetes.default.svc", description="The API server's URL."
    )
    ca_file: Text = Field(
        default=f"{_SERVICE_ACCOUNT}/ca.crt",
        description="The authorities that may vouch for it, PEM.",
    )
    token_file: Text = Field(
        default=f"{_SERVICE_ACCOUNT}/token", description="The service account token to show."
    )
    answer_bytes: AnswerBytes = Field(
        default=ANSWER_BYTES,
        description="The most bytes that an answer may have; a longer one is a failure.",
    )


class KubernetesSource(_Refreshed, _InCluster):
    """The keys of the cluster's service accounts, from its API server."""


class Keys(OneOf):
    """Where an issuer's public keys are found: one of these."""

    file: FileSource | None = Field(default=None, description="In a file.")
    jwks: JwksSource | None = Field(default=None, description="At a URL.")
    oidc: OidcSource | None = Field(
        default=None,
        description="Where the issuer's discovery document says (OpenID Connect or RFC 8414).",
    )
    vault: VaultSource | None = Field(default=None, description="In HashiCorp Vault or OpenBao.")
    kubernetes: KubernetesSource | None = Field(
        default=None,
        description="At the cluster's API server, for the tokens of service accounts.",
    )


FetchedSource = JwksSource | OidcSource | VaultSource | KubernetesSource
Source = FileSource | FetchedSource


def refresh_of(kind: TokenKind, source: Source) -> float:
    """The longest time between two regular fetches, in seconds: as written, or by the kind.

    A token of our own cannot be revoked before its key is: that has to be noticed soon.
    """
    if source.refresh is not None:
        return source.refresh
    return _REFRESH_OF_REQUEST_KEYS if kind is TokenKind.REQUEST else _REFRESH


def discoverable(issuer: str) -> str:
    """An issuer that has a discovery document: a URL without a query (RFC 8414 §2).

    Raises:
        ValueError: it has none.
    """
    url = http_url(issuer)
    if "?" in url:
        raise ValueError(f"{shown(issuer)} has a query, and a discovery document has no place then")
    return url


def source(keys: Keys) -> Source:
    """The source that is written."""
    found: Source = getattr(keys, keys.chosen)
    return found
