"""The shape of a configuration file: every key, its type, its default and its meaning.

These models are what the JSON Schema and docs/reference/configuration.md are made from. A rule
that looks at one value is its reader (``values``); a rule between values is in ``semantics``.
"""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
)

from sidecar.config.values import (
    AlgorithmName,
    AuthzAddress,
    Claim,
    Duration,
    Host,
    HttpAddress,
    IdentityHeader,
    LoopbackAddress,
    Method,
    Name,
    Pattern,
    Realm,
    Scope,
    SourceHeader,
    Template,
    Text,
    Token,
    TokenType,
    When,
)
from sidecar.model import TokenKind


class Section(BaseModel):
    """What every part of a configuration has in common: nothing unknown, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _role(value: object) -> object:
    if value == "gateway":
        raise ValueError("this release has only the sidecar; write role: sidecar")
    return value


def _not_nothing(value: object) -> object:
    """Refuses a key after which nothing is written: it would widen a rule without a word."""
    if value is None:
        raise ValueError("nothing is written after the key; fill it in or leave the key out")
    return value


def _distinct_headers(value: object) -> object:
    """Refuses names that become one in lower case, before they do."""
    names = [str(name).lower() for name in value] if isinstance(value, dict) else []
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands twice: case makes no difference; leave one out")
    return value


class Listen(Section):
    """Where it listens."""

    authz: AuthzAddress = Field(
        default="unix:/run/sidecar/authz.sock",
        description="Where Envoy asks, over gRPC: `unix:` and an absolute path, or a port of the "
        "loopback interface.",
    )
    metrics: HttpAddress = Field(
        default="[::]:9465",
        validate_default=True,
        description="`/metrics`, `/livez` and `/readyz` over HTTP, for Prometheus and the kubelet.",
    )
    admin: LoopbackAddress | None = Field(
        default="127.0.0.1:9466",
        validate_default=True,
        description="The status page for people, on the loopback interface; null for none.",
    )


class FileSource(Section):
    """Public keys in a file."""

    path: Text = Field(
        description="A JWKS or PEM file of public keys; a relative path begins at the "
        "configuration file's directory."
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
        description="The least time between two looks at the file for tokens with an unknown key.",
    )
    max_stale: Annotated[float, Duration("1m", "720h")] = Field(
        default="24h",
        validate_default=True,
        description="How long the last good keys serve while the file cannot be used.",
    )


class Keys(Section):
    """Where an issuer's public keys are found."""

    file: FileSource = Field(description="In a file.")


class Trust(Section):
    """An issuer whose tokens of one kind are believed."""

    name: Name = Field(description="What it is called in metrics, logs and answers.")
    kind: TokenKind = Field(
        description="What its tokens are for: `request` (the gateway's), `workload` (a service's "
        "own) or `external` (another issuer's)."
    )
    issuer: Text = Field(description="The `iss` of its tokens, compared character by character.")
    audiences: tuple[Text, ...] = Field(
        min_length=1, description="Of these a token's audience must name at least one."
    )
    audience_claim: Claim = Field(
        default="aud",
        validate_default=True,
        description="The claim that holds the audience, for issuers that set no `aud`.",
    )
    algorithms: tuple[AlgorithmName, ...] = Field(
        min_length=1, description="The signature algorithms that are accepted."
    )
    types: tuple[TokenType, ...] = Field(
        default=(),
        min_length=1,
        description="The accepted `typ` values, without `application/`; `none` for tokens without "
        "one. For kind `request` it is `[at+jwt]` where nothing else is said; other kinds must "
        "say it.",
    )
    leeway: Annotated[float, Duration("0s", "5m")] = Field(
        default="10s",
        validate_default=True,
        description="How far the issuer's clock may be off when dates are compared.",
    )
    subjects: tuple[Pattern, ...] = Field(
        default=(),
        description="Patterns of which a token's `sub` must match one; `*` stands for one part "
        "between `:` or `/`. Required for kind `workload`; otherwise empty accepts all.",
    )
    required_claims: tuple[Claim, ...] = Field(
        default=("sub",),
        validate_default=True,
        description="Claims that must be there and not be empty.",
    )
    scope_claim: Claim = Field(
        default="scope", validate_default=True, description="The claim that holds the scopes."
    )
    roles_claim: Claim = Field(
        default="roles", validate_default=True, description="The claim that holds the roles."
    )
    groups_claim: Claim = Field(
        default="groups", validate_default=True, description="The claim that holds the groups."
    )
    keys: Keys = Field(description="Where its public keys are found.")


class TokenSource(Section):
    """A place where a request may carry its token: a header or a cookie."""

    header: SourceHeader = Field(default=None, description="The header's name.")
    scheme: Token = Field(
        default=None,
        description="The authentication scheme in front of the token, compared without case; "
        "without it the header holds the token alone.",
    )
    cookie: Token = Field(default=None, description="The cookie's name.")


class Identity(Section):
    """How a verified identity is handed to the service."""

    headers: Annotated[dict[IdentityHeader, Claim], BeforeValidator(_distinct_headers)] = Field(
        default={},
        description="The headers to set, each with the claim it carries. What a client sends under "
        "these names never reaches the service.",
    )
    strip: tuple[IdentityHeader, ...] = Field(
        default=(), description="Further headers that a client may not send."
    )
    forward_token: StrictBool = Field(
        default=True, description="Whether the service gets the token too."
    )
    max_bytes: Annotated[StrictInt, Field(ge=256, le=65536)] = Field(
        default=8192,
        description="The bytes that names and values of the identity headers may have together.",
    )


class Paths(Section):
    """How paths are read."""

    semicolons: Literal["reject", "literal"] = Field(
        default="reject",
        description="A path with `;` is refused, because some services cut it off there, or the "
        "semicolon is an ordinary character.",
    )


class Match(Section):
    """The requests a route is for."""

    methods: tuple[Method, ...] = Field(
        default=(), min_length=1, description="The methods, in capitals; without it, any."
    )
    hosts: tuple[Host, ...] = Field(
        default=(),
        min_length=1,
        description="The hosts, without port; `*.example.org` stands for every host below "
        "example.org. Without it, any.",
    )
    path: Template = Field(
        description="`/orders/{id}`: a parameter in braces and `*` stand for one segment, `**` at "
        "the end for one or more."
    )


class Allow(Section):
    """What a route asks of a request. All of what is named must hold."""

    public: StrictBool = Field(
        default=False, description="Let everyone through without a look at any token."
    )
    optional: StrictBool = Field(
        default=False,
        description="Let requests without a token through, too; a bad token is still refused.",
    )
    authenticated: StrictBool = Field(
        default=False, description="Any valid token of an accepted kind will do."
    )
    scopes: tuple[Scope, ...] = Field(
        default=(), min_length=1, description="The token has all of these scopes."
    )
    any_role: tuple[Text, ...] = Field(
        default=(), min_length=1, description="The token has one of these roles."
    )
    any_group: tuple[Text, ...] = Field(
        default=(), min_length=1, description="The token has one of these groups."
    )
    tokens: tuple[TokenKind, ...] = Field(
        default=(),
        min_length=1,
        description="The kinds of token that are accepted; without it, `[request]`.",
    )
    callers: tuple[Pattern, ...] = Field(
        default=(),
        min_length=1,
        description="Patterns of which the caller's mTLS principal matches one; `*` stands for one "
        "part between `:` or `/`.",
    )
    when: When = Field(
        default=None,
        description="A condition in CEL over `claims` and `request` (`method`, `host`, `path`, "
        "`params`, `caller`).",
    )


class Route(Section):
    """A rule, and the requests it is for."""

    name: Name = Field(description="What it is called in metrics, logs and answers.")
    match: Annotated[Match | None, BeforeValidator(_not_nothing)] = Field(
        default=None,
        description="The requests it is for. Without it the route is reached only by its name in "
        "Envoy's `context_extensions`.",
    )
    allow: Allow = Field(description="What it asks of them.")


class Limits(Section):
    """What is bounded, and where."""

    token_bytes: Annotated[StrictInt, Field(ge=256, le=65536)] = Field(
        default=8192, description="The size of a token in bytes."
    )
    remembered_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = Field(
        default=2000,
        description="How many tokens are remembered as well-formed and rightly signed, at most "
        "1.5 KiB each.",
    )
    pending_checks: Annotated[StrictInt, Field(ge=1, le=65536)] = Field(
        default=256, description="How many checks may wait; the next is answered with a 503."
    )
    key_wait: Annotated[float, Duration("0s", "5s")] = Field(
        default="100ms",
        validate_default=True,
        description="How long a check waits for an unknown key; less than Envoy's time-out.",
    )
    key_waiters: Annotated[StrictInt, Field(ge=0, le=65536)] = Field(
        default=64,
        description="How many checks of one issuer wait for unknown keys at once; the next is "
        "answered with a 503.",
    )


class Log(Section):
    """What is logged."""

    format: Literal["json", "console"] = Field(
        default="json", description="One JSON object a line, or text for people."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged; `debug` logs every allow."
    )
    allows: Annotated[StrictFloat, Field(ge=0, le=1)] = Field(
        default=0.0, description="The share of allowed requests that is logged, from 0 to 1."
    )
    denials_per_second: Annotated[StrictInt, Field(ge=0, le=10_000)] = Field(
        default=20, description="How many lines about requests are written per second at most."
    )


class Sidecar(Section):
    """A whole configuration file."""

    role: Annotated[Literal["sidecar"], BeforeValidator(_role)] = Field(
        description="What the program does; this release has only `sidecar`."
    )
    listen: Listen = Field(default_factory=Listen, description="Where it listens.")
    trust: tuple[Trust, ...] = Field(
        default=(),
        description="Whose tokens are believed. May be left out only if every route is public.",
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
    paths: Paths = Field(default_factory=Paths, description="How paths are read.")
    routes: tuple[Route, ...] = Field(
        description="The rules. The most specific match wins; without a match the request is "
        "denied."
    )
    mode: Literal["enforce", "shadow"] = Field(
        default="enforce",
        description="In `shadow` mode denials are decided, logged and counted, and not carried "
        "out; no identity is handed on for them.",
    )
    realm: Realm = Field(
        default="authz-sidecar", description="The `realm` of `WWW-Authenticate` challenges."
    )
    limits: Limits = Field(default_factory=Limits, description="What is bounded, and where.")
    log: Log = Field(default_factory=Log, description="What is logged.")
    drain: Annotated[float, Duration("0s", "10m")] = Field(
        default="25s",
        validate_default=True,
        description="How long after SIGTERM it goes on answering while Envoy is still connected; "
        "less than the pod's `terminationGracePeriodSeconds`.",
    )
    start_timeout: Annotated[float, Duration("0s", "5m")] = Field(
        default="10s",
        validate_default=True,
        description="How long it waits for first keys before it says that it is ready.",
    )
