"""The shape of what a sidecar's and a gateway's configuration have in common.

These models, ``models`` and ``gateway.models`` are what the JSON Schema and
docs/reference/configuration.md are made from. A rule that looks at one value is its reader
(``values``); a rule between values is in ``semantics`` and the modules of rules beside it.
"""

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from sidecar.config.addresses import AuthzAddress, HttpAddress, LoopbackAddress
from sidecar.config.section import Section
from sidecar.config.sections.keys import Keys
from sidecar.config.sections.routes import Route
from sidecar.config.values import (
    AlgorithmName,
    Claim,
    Duration,
    Name,
    Pattern,
    Realm,
    SourceHeader,
    Text,
    Token,
    TokenType,
)
from sidecar.model import TokenKind


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


class KeyCache(Section):
    """Copies of the last good public keys, for a start while their server is down."""

    directory: Text = Field(
        description="A directory that is there, outlives the process and that nobody else can "
        "write to. Keys in files are not copied."
    )


class TokenSource(Section):
    """A place where a request may carry its token: a header or a cookie."""

    header: SourceHeader = Field(default=None, description="The header's name.")
    scheme: Token = Field(
        default=None,
        description="The authentication scheme in front of the token, compared without case; "
        "without it the header holds the token alone.",
    )
    cookie: Token = Field(default=None, description="The cookie's name.")


class Paths(Section):
    """How paths are read."""

    semicolons: Literal["reject", "literal"] = Field(
        default="reject",
        description="A path with `;` is refused, because some services cut it off there, or the "
        "semicolon is an ordinary character.",
    )


class Limits(Section):
    """What is bounded, and where."""

    request_bytes: Annotated[StrictInt, Field(ge=4096, le=1048576)] = Field(
        default=131072,
        description="The size of a request's head as Envoy describes it; more than Envoy's "
        "`max_request_headers_kb`. What is larger is answered with a 431, as is what goes beyond "
        "the next two.",
    )
    header_lines: Annotated[StrictInt, Field(ge=16, le=4096)] = Field(
        default=512, description="How many header lines a request may have."
    )
    cookies: Annotated[StrictInt, Field(ge=16, le=65536)] = Field(
        default=1024,
        description="How many cookies a request may have where one of them may carry a token.",
    )
    token_bytes: Annotated[StrictInt, Field(ge=256, le=65536)] = Field(
        default=8192, description="The size of a token in bytes."
    )
    token_values: Annotated[StrictInt, Field(ge=64, le=65536)] = Field(
        default=400,
        description="How many values a token's claims may hold: members, items of lists, objects "
        "and lists, counted by their commas and brackets.",
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
        description="How long a check waits for an unknown key, or for first keys; less than "
        "Envoy's time-out.",
    )
    key_waiters: Annotated[StrictInt, Field(ge=0, le=65536)] = Field(
        default=64,
        description="How many checks of one issuer wait for keys at once; the next is answered "
        "with a 503.",
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


class Configured(Section):
    """What both roles are told."""

    role: Literal["sidecar", "gateway"] = Field(
        description="What the program does: `sidecar` beside a service, or `gateway` at the edge."
    )
    listen: Listen = Field(default_factory=Listen, description="Where it listens.")
    trust: tuple[Trust, ...] = Field(
        default=(),
        description="Whose tokens are believed. May be left out where no token has to be verified.",
    )
    key_cache: KeyCache | None = Field(
        default=None,
        description="Where the last good public keys are kept, for a start while their server is "
        "down. They serve until `max_stale` after they were fetched.",
    )
    paths: Paths = Field(default_factory=Paths, description="How paths are read.")
    routes: tuple[Route, ...] = Field(
        description="The rules. The most specific match wins; without a match the request is "
        "denied."
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
        description="How long it waits for first keys, of every issuer and to sign with, before "
        "it says that it is ready, and before a new configuration is used.",
    )
