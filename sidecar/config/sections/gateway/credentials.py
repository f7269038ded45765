"""The shape of ``credentials``: what a client may bring, and how it is told whose it is."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, model_validator

from sidecar.config.addresses import HttpUrl
from sidecar.config.section import Section
from sidecar.config.sections.gateway.signing_keys import SigningAlgorithm
from sidecar.config.sections.keys import AnswerBytes, Reached
from sidecar.config.sections.root import TokenSource
from sidecar.config.values import Claim, Duration, Name, Pattern, Scope, Text
from sidecar.session.settings import ANSWER_BYTES


class JwtCredential(Section):
    """JWTs of trusted issuers."""

    trust: tuple[Name, ...] = Field(
        min_length=1, description="The trust entries that decide about them."
    )


class Client(Section):
    """How the gateway proves itself to the issuer, which knows it as a client."""

    id: Text = Field(description="The `client_id`.")
    method: Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] = Field(
        default="client_secret_basic",
        description="The authentication method, as OpenID Connect names them: the secret in the "
        "Authorization header or in the form, or an assertion signed with a key.",
    )
    secret_file: Text | None = Field(
        default=None, description="The file that holds the client secret."
    )
    key_file: Text | None = Field(
        default=None,
        description="For `private_key_jwt`: the file that holds the private key, PEM or JWK.",
    )
    audience: Text | None = Field(
        default=None,
        description="For `private_key_jwt`: the `aud` the issuer expects; mostly its `issuer`.",
    )
    algorithm: SigningAlgorithm | None = Field(
        default=None,
        description="For `private_key_jwt`: what the key signs with; without it, the `alg` of its "
        "JWK or what is usual for such a key.",
    )
    kid: Text | None = Field(
        default=None, description="For `private_key_jwt`: the key id the issuer knows it by."
    )

    @model_validator(mode="after")
    def _method_has_what_it_needs(self) -> Self:
        signs = self.method == "private_key_jwt"
        needed = {"key_file", "audience"} if signs else {"secret_file"}
        refused = {"secret_file"} if signs else {"key_file", "audience", "algorithm", "kid"}
        missing = [name for name in sorted(needed) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.method} needs {' and '.join(missing)}; write it, too")
        useless = sorted(refused & self.model_fields_set)
        if useless:
            raise ValueError(
                f"{self.method} has no use for {', '.join(useless)}; leave it out, or choose "
                "another method"
            )
        return self


class _Asked(Section):
    url: HttpUrl = Field(description="The introspection endpoint's URL.")
    client: Client = Field(description="How the gateway proves itself there.")


class _Answered(Section):
    issuer: Text | None = Field(
        default=None, description="What an answer's `iss` must be, where it has one."
    )
    audiences: tuple[Text, ...] = Field(
        default=(), min_length=1, description="Of these an answer's `aud` must name at least one."
    )
    clients: tuple[Text, ...] = Field(
        default=(),
        min_length=1,
        description="Of these an answer's `client_id` must be one: whatever else of the issuer's "
        "is active was granted to somebody else.",
    )
    scopes: tuple[Scope, ...] = Field(
        default=(),
        min_length=1,
        description="Scopes every active session has, besides those of its scope claim. A session "
        "of an SSO that knows no scopes needs them here.",
    )
    scope_claim: Claim = Field(
        default="scope", validate_default=True, description="What holds the scopes in an answer."
    )
    roles_claim: Claim = Field(
        default="roles", validate_default=True, description="What holds the roles."
    )
    groups_claim: Claim = Field(
        default="groups", validate_default=True, description="What holds the groups."
    )
    leeway: Annotated[float, Duration("0s", "5m")] = Field(
        default="10s",
        validate_default=True,
        description="How far the issuer's clock may be off when dates are compared.",
    )
    cache: Annotated[float, Duration("0s", "5m")] = Field(
        default="10s",
        validate_default=True,
        description="How long an answer is believed, at most until its `exp`: a session that ends "
        "is good for so long.",
    )
    negative_cache: Annotated[float, Duration("0s", "1m")] = Field(
        default="2s",
        validate_default=True,
        description="How long a session stays refused that was not active.",
    )
    timeout: Annotated[float, Duration("10ms", "10s")] = Field(
        default="2s",
        validate_default=True,
        description="How long one look-up may take; less than Envoy's time-out, or the client "
        "learns of that first.",
    )
    max_lookups: Annotated[StrictInt, Field(ge=1, le=4096)] = Field(
        default=64,
        description="How many look-ups are under way at once; the next session gets a 503. A "
        "quarter is kept for sessions that were active when last asked about.",
    )
    max_waiters: Annotated[StrictInt, Field(ge=1, le=65536)] = Field(
        default=128,
        description="How many checks wait for look-ups at once; the next gets a 503. A quarter is "
        "kept as that of `max_lookups` is. Fewer than `limits.pending_checks`, or a slow issuer "
        "leaves no room for other credentials.",
    )
    remembered_sessions: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = Field(
        default=10_000, description="How many answers are kept."
    )


# The bases stand in reverse: the reference lists the keys of the last one first.
class Introspection(_Answered, Reached, _Asked):
    """Opaque sessions that their issuer is asked about (RFC 7662)."""

    answer_bytes: AnswerBytes = Field(
        default=ANSWER_BYTES,
        description="The most bytes that an answer may have, with room for many groups; a longer "
        "one is a 503 for its session.",
    )


def _in_a_directory(value: object) -> object:
    """Says why the keys of sessions cannot be where those of request tokens can."""
    if isinstance(value, dict) and "transit" in value:
        raise ValueError(
            "sessions are encrypted in this process, on every request; keep their keys in a "
            "directory"
        )
    if isinstance(value, dict) and "ephemeral" in value:
        raise ValueError(
            "every replica has to read the sessions of the others, and after a restart its own; "
            "keep their keys in a directory"
        )
    return value


class SessionKeys(Section):
    """Where the keys live that sessions are encrypted with."""

    directory: Text = Field(
        description="A directory, such as a mounted Secret, that `sidecar keys` manages: of its "
        "own, with keys for A256GCM."
    )


class Session(Section):
    """Session tokens of the gateway's own, which a client gets from `POST /session`."""

    keys: Annotated[SessionKeys, BeforeValidator(_in_a_directory)] = Field(
        description="Where the keys live that sessions are encrypted with."
    )
    issued_for: tuple[Name, ...] = Field(
        min_length=1, description="The credentials that a session is issued for."
    )
    idle: Annotated[float, Duration("1m", "720h")] = Field(
        default="30m",
        validate_default=True,
        description="A session that is not used for so long ends.",
    )
    absolute: Annotated[float, Duration("1m", "720h")] = Field(
        default="12h",
        validate_default=True,
        description="A session ends so long after it began, however much it is used.",
    )
    renew: Annotated[float, Duration("1s", "24h")] = Field(
        default="1m",
        validate_default=True,
        description="How old a cookie is when the next request is answered with a new one.",
    )
    outlives_credential: StrictBool = Field(
        default=False,
        description="Whether a session goes on when the credential it was issued for has expired. "
        "Otherwise it ends at that one's `exp`, where it has one.",
    )
    claims: tuple[Text, ...] = Field(
        default=(),
        min_length=1,
        description="Claims a session keeps for conditions, besides those that request tokens "
        "have.",
    )
    leeway: Annotated[float, Duration("0s", "5m")] = Field(
        default="10s",
        validate_default=True,
        description="How far the clocks of two replicas may be apart.",
    )
    propagation: Annotated[float, Duration("0s", "1h")] = Field(
        default="2m",
        validate_default=True,
        description="The time until every replica has read a change of the directory.",
    )


class Attributes(Section):
    """What a credential may bring besides its subject and scopes. All else in it is dropped."""

    roles: tuple[Pattern, ...] = Field(
        default=(),
        min_length=1,
        description="The roles, by name or pattern; `*` stands for one part between `:` or `/`, "
        "and alone for every role.",
    )
    groups: tuple[Pattern, ...] = Field(
        default=(), min_length=1, description="The groups, in the same way."
    )
    claims: tuple[Claim, ...] = Field(
        default=(),
        min_length=1,
        description="Further claims: `acr`, `amr`, `auth_time`, and what `request_tokens.claims`, "
        "the `claims` of a session and conditions read.",
    )


class _Called(Section):
    name: Name = Field(description="What it is called in metrics, logs and answers.")


class Credential(TokenSource, _Called):
    """A credential that a client may bring: where it stands, and what tells whose it is."""

    subject_prefix: Text = Field(
        default="",
        description="What stands in front of its subjects and clients, in request tokens and in "
        "conditions: two issuers may call two people the same.",
    )
    attributes: Attributes = Field(
        default_factory=Attributes,
        description="What it may bring besides its subject and scopes; nothing, unless it is "
        "listed here. Rules, conditions, sessions and request tokens see nothing else.",
    )
    exchange_only: StrictBool = Field(
        default=False,
        description="It only buys a session at `POST /session`; on requests it is not looked at.",
    )
    jwt: JwtCredential | None = Field(default=None, description="A JWT of a trusted issuer.")
    introspection: Introspection | None = Field(
        default=None, description="An opaque session, which its issuer is asked about."
    )
    session: Session | None = Field(
        default=None, description="A session token of the gateway's own."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        self.refuse_all_but_one(("jwt", "introspection", "session"))
        return self
