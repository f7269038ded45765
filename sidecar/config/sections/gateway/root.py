"""The shape of a gateway's configuration file: what it has besides what both roles have."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, StrictInt

from sidecar.config.addresses import HttpAddress, IssuerUrl, Origin
from sidecar.config.section import Section
from sidecar.config.sections.gateway.credentials import Credential
from sidecar.config.sections.gateway.signing_keys import RingKeys
from sidecar.config.sections.root import Configured, Listen
from sidecar.config.sections.routes import Allow, Route
from sidecar.config.values import Claim, Duration, IdentityHeader, Name, Pattern, Scope, Text
from sidecar.mint.settings import LONGEST_LIFETIME

_LONGEST_LIFETIME: Final = f"{LONGEST_LIFETIME / 60:g}m"


def _enforce(value: object) -> object:
    if value == "shadow":
        raise ValueError(
            "a gateway that lets everyone through has no token to give them, and behind it every "
            "request would be refused; leave mode out, and use shadow in the sidecars"
        )
    return value


class ServerTls(Section):
    """What the internal listener shows. Without it, it speaks plain HTTP, for use in a mesh."""

    certificate: Text = Field(description="The certificate with its chain, PEM.")
    private_key: Text = Field(description="The certificate's key, PEM.")


class GatewayListen(Listen):
    """Where it listens."""

    internal: HttpAddress = Field(
        default="[::]:9467",
        validate_default=True,
        description="The public keys, the metadata and `POST /session` over HTTP, for the cluster "
        "alone: the edge Envoy has no route to it.",
    )
    internal_tls: ServerTls | None = Field(
        default=None,
        description="What `internal` shows over TLS; without it, it speaks plain HTTP, for a mesh.",
    )


class RequestTokens(Section):
    """The tokens that services get, one for every request (RFC 9068)."""

    keys: RingKeys = Field(description="Where the keys live that sign them.")
    lifetime: Annotated[float, Duration("1s", _LONGEST_LIFETIME)] = Field(
        default="60s",
        validate_default=True,
        description="How long a token is good for. It cannot be revoked.",
    )
    reuse: Annotated[float, Duration("0s", "10s")] = Field(
        default="0s",
        validate_default=True,
        description="How long one token may serve further requests with the same credential on the "
        "same route.",
    )
    audiences: dict[Text, tuple[Scope, ...]] = Field(
        min_length=1,
        description="Everything a token may be for: the audiences, each with the scopes it knows.",
    )
    claims: dict[Text, Claim] = Field(
        default={},
        description="Further claims of a token, each with the credential's claim it is copied "
        "from.",
    )
    actors: tuple[Pattern, ...] = Field(
        default=(),
        min_length=1,
        description="Patterns of the mTLS principals that act for a user: a token for them has "
        "`act`. `*` stands for one part between `:` or `/`.",
    )
    verifiers_refresh: Annotated[float, Duration("1s", "24h")] = Field(
        default="30s",
        validate_default=True,
        description="The longest `refresh` that any verifier has: a key is published for longer "
        "before it signs, and caches may answer with the public keys for so long.",
    )
    leeway: Annotated[float, Duration("0s", "5m")] = Field(
        default="10s",
        validate_default=True,
        description="How far clocks may be apart, the verifiers' own leeway included.",
    )
    propagation: Annotated[float, Duration("0s", "1h")] = Field(
        default="2m",
        validate_default=True,
        description="The time until a change of the keys has reached every replica.",
    )
    max_bytes: Annotated[StrictInt, Field(ge=512, le=65536)] = Field(
        default=4096, description="The size of a token in bytes."
    )


class RouteToken(Section):
    """What the tokens of a route are good for."""

    audiences: tuple[Text, ...] = Field(
        min_length=1, description="Whom they are for: audiences of `request_tokens`."
    )
    scopes: tuple[Scope, ...] = Field(
        default=(),
        min_length=1,
        description="The scopes they may carry, where the credential has them; without it, all "
        "that the audiences know.",
    )


class GatewayAllow(Allow):
    """What a route asks of a request. All of what is named must hold."""

    credentials: tuple[Name, ...] = Field(
        default=(),
        min_length=1,
        description="The credentials that are accepted, by name; without it, any.",
    )


class GatewayRoute(Route):
    """A rule, and the requests it is for."""

    allow: GatewayAllow = Field(description="What it asks of them.")
    token: RouteToken | None = Field(
        default=None,
        description="What the token is good for that the service gets; needed unless the route is "
        "public.",
    )


class Gateway(Configured):
    """A gateway's configuration."""

    role: Literal["gateway"] = Field(description="What the program does.")
    issuer: IssuerUrl = Field(description="The `iss` of its tokens: an https URL.")
    listen: GatewayListen = Field(default_factory=GatewayListen, description="Where it listens.")
    credentials: tuple[Credential, ...] = Field(
        description="What a client may bring, in the order in which it is looked for. Two in one "
        "request are refused."
    )
    request_tokens: RequestTokens = Field(description="The tokens that services get.")
    routes: tuple[GatewayRoute, ...] = Field(
        description="The rules. The most specific match wins; without a match the request is "
        "denied."
    )
    origins: tuple[Origin, ...] = Field(
        default=(),
        description="The origins besides the request's own whose pages may change something with "
        "a cookie.",
    )
    strip: tuple[IdentityHeader, ...] = Field(
        default=(), description="Further headers that a client may not send."
    )
    mode: Annotated[Literal["enforce"], BeforeValidator(_enforce)] = Field(
        default="enforce", description="A gateway enforces; `shadow` is for sidecars."
    )
