"""The shape of a sidecar's configuration file: what it has besides what both roles have."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from sidecar.config.section import Section
from sidecar.config.sections.root import Configured, TokenSource
from sidecar.config.sections.routes import Allow, Route
from sidecar.config.values import IdentityHeader, PassedHeader, Source, distinct_headers, shown
from sidecar.model import TokenKind


def _role(value: object) -> object:
    """Whoever writes neither role gets the answer from here: ``gateway`` has its own model."""
    if value != "sidecar":
        raise ValueError(f"{shown(value)} is not a role; write sidecar or gateway")
    return value


class Identity(Section):
    """How a verified identity is handed to the service."""

    headers: Annotated[dict[IdentityHeader, Source], BeforeValidator(distinct_headers)] = Field(
        default={},
        description="The headers to set, each with the claim it carries, or with "
        "`{normalised: NAME}`, where NAME is `scopes`, `roles` or `groups`: a sorted list of what "
        "rules see, read from each issuer's `scope_claim`, `roles_claim` or `groups_claim`. It is "
        "a mapping because a claim may be called `roles`, too. What a client sends under these "
        "names never reaches the service, in any spelling: all characters but letters and digits "
        "count as the same.",
    )
    strip: tuple[IdentityHeader, ...] = Field(
        default=(), description="Further headers that a client may not send, in any spelling."
    )
    passed: tuple[PassedHeader, ...] = Field(
        default=(),
        alias="pass",
        min_length=1,
        description="`[authorization]` where the service checks `Authorization` itself. Otherwise "
        "it is removed wherever it is no token source: nobody would have verified it.",
    )
    forward_token: StrictBool = Field(
        default=True, description="Whether the service gets the token too."
    )
    max_bytes: Annotated[StrictInt, Field(ge=256, le=65536)] = Field(
        default=8192,
        description="The bytes that names and values of the identity headers may have together.",
    )


class SidecarAllow(Allow):
    """What a route asks of a request. All of what is named must hold."""

    tokens: tuple[TokenKind, ...] = Field(
        default=(),
        min_length=1,
        description="The kinds of token that are accepted; without it, `[request]`.",
    )


class SidecarRoute(Route):
    """A rule, and the requests it is for."""

    allow: SidecarAllow = Field(description="What it asks of them.")


class Sidecar(Configured):
    """A sidecar's configuration."""

    role: Annotated[Literal["sidecar"], BeforeValidator(_role)] = Field(
        description="What the program does."
    )
    token_sources: tuple[TokenSource, ...] = Field(
        default=({"header": "authorization", "scheme": "Bearer"},),
        validate_default=True,
        min_length=1,
        description="Where a request may carry its token. Two tokens in one request are refused.",
    )
    identity: Identity = Field(
        default_factory=Identity, description="How a verified identity is handed to the service."
    )
    routes: tuple[SidecarRoute, ...] = Field(
        description="The rules. The most specific match wins; without a match the request is "
        "denied."
    )
    mode: Literal["enforce", "shadow"] = Field(
        default="enforce",
        description="In `shadow` mode denials are decided, logged and counted, and not carried "
        "out; no identity is handed on for them. A request above `limits` is refused even so. What "
        "Envoy refuses or answers itself, as the shipped configurations have it, never reaches the "
        "sidecar and stays as it is: a path with `%2F` or `%5C`, a header with an underscore in "
        "its name, a preflight. `sidecar test` and `sidecar check` decide as if enforced.",
    )
