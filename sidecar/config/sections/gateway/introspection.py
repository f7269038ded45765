"""``credentials[].introspection``: opaque sessions, verified by introspection (RFC 7662)."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, model_validator

from sidecar.clients.proxy import ProxySettings
from sidecar.config.addresses import HttpUrl
from sidecar.config.header_names import IntrospectionHeader, distinct_headers
from sidecar.config.problems import Finding
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.gateway.signing_keys import SigningAlgorithm
from sidecar.config.sections.http import AnswerBytes, RemoteServer, RequestHeaders
from sidecar.config.sections.trust import changeable_subject, subject_in_a_text
from sidecar.config.values import Claim, Duration, File, Scope, Text, WholeText
from sidecar.session.settings import (
    MOST_NAMES,
    CertificateAuthentication,
    ClientAuthentication,
    IntrospectionSettings,
    KeyAuthentication,
    NoAuthentication,
    SecretAuthentication,
    TokenAuthentication,
)

Method = Literal[
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "tls_client_auth",
    "Bearer",
    "none",
]
_SECRET: Final = (frozenset({"id", "secret_file"}), frozenset[str]())
# The keys that each method needs, and those that it may have.
_METHODS: Final[Mapping[Method, tuple[frozenset[str], frozenset[str]]]] = {
    "client_secret_basic": _SECRET,
    "client_secret_post": _SECRET,
    "private_key_jwt": (frozenset({"id", "key_file", "audience"}), frozenset({"algorithm", "kid"})),
    "tls_client_auth": (frozenset({"id"}), frozenset()),
    "Bearer": (frozenset({"token_file"}), frozenset()),
    "none": (frozenset(), frozenset({"id"})),
}


class IssuerClient(Section):
    """How the gateway authenticates to the issuer, as a client (RFC 6749 §2.3)."""

    id: Text | None = written(None, "The `client_id`; not for `Bearer`, and optional for `none`.")
    method: Method = written(
        "client_secret_basic",
        "The authentication method, as IANA registers them (RFC 8414 §2): the secret in the "
        "Authorization header or in the form; an assertion signed with a key; the `certificate` of "
        "the connection (RFC 8705); `Bearer`, a token of the gateway's own, such as its service "
        "account's; or `none`, a public client or no client at all.",
    )
    secret_file: File | None = written(None, "The file that holds the client secret.")
    key_file: File | None = written(
        None, "For `private_key_jwt`: the file that holds the private key, PEM or JWK."
    )
    audience: Text | None = written(
        None, "For `private_key_jwt`: the `aud` the issuer expects; mostly its `issuer`."
    )
    algorithm: SigningAlgorithm | None = written(
        None,
        "For `private_key_jwt`: what the key signs with; without it, the `alg` of its "
        "JWK or what is usual for such a key.",
    )
    kid: Text | None = written(None, "For `private_key_jwt`: the key id the issuer knows it by.")

    token_file: File | None = written(
        None, "For `Bearer`: the file that holds the token, read for each look-up."
    )

    @model_validator(mode="after")
    def _method_has_what_it_needs(self) -> Self:
        needed, optional = _METHODS[self.method]
        keys = self.model_fields_set - {"method"}
        useless = sorted(keys - needed - optional)
        fitting = [name for name, (theirs, may) in _METHODS.items() if keys <= theirs | may]
        if useless and fitting and keys == self.model_fields_set:
            raise ValueError(
                f"{', '.join(useless)} is for {fitting[0]}; write method: {fitting[0]}"
            )
        missing = [name for name in sorted(needed) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.method} needs {' and '.join(missing)}; write it, too")
        if useless:
            raise ValueError(
                f"{self.method} has no use for {', '.join(useless)}; leave it out, or choose "
                "another method"
            )
        return self

    def settings(self) -> ClientAuthentication:
        """How requests to the issuer are authenticated."""
        if self.token_file is not None:
            return TokenAuthentication(self.token_file)
        if self.method == "none":
            return NoAuthentication(self.id)
        assert self.id is not None  # noqa: S101 - the other methods are refused without it
        if self.secret_file is not None:
            in_body = self.method == "client_secret_post"
            return SecretAuthentication(self.id, self.secret_file, in_body)
        if self.key_file is None:
            return CertificateAuthentication(self.id)
        assert self.audience is not None  # noqa: S101 - private_key_jwt is refused without it
        return KeyAuthentication(self.id, self.key_file, self.audience, self.algorithm, self.kid)


class _Asked(Section):
    url: HttpUrl = Field(description="The introspection endpoint's URL.")
    client: IssuerClient = Field(description="How the gateway proves itself there.")


class _Answered(Section):
    issuer: Text | None = written(None, "What an answer's `iss` must be, where it has one.")
    audiences: tuple[WholeText, ...] = written(
        (), "Of these an answer's `aud` must name at least one.", min_length=1
    )
    clients: tuple[WholeText, ...] = written(
        (),
        "Of these an answer's `client_id` must be one: whatever else of the issuer's "
        "is active was granted to somebody else.",
        min_length=1,
    )
    scopes: tuple[Scope, ...] = written(
        (),
        "Scopes every active session has, besides those of its scope claim. A session "
        "of an SSO that knows no scopes needs them here.",
        min_length=1,
    )
    subject_claim: Claim = written(
        "sub",
        "What holds the subject in an answer, such as `username`. A session without it is refused, "
        "and nothing else takes its place.",
    )
    scope_claim: Claim = written("scope", "What holds the scopes in an answer.")
    roles_claim: Claim = written("roles", "What holds the roles.")
    groups_claim: Claim = written("groups", "What holds the groups.")
    accept_bound_tokens: StrictBool = written(
        False,
        "Accept sessions whose answer has `cnf` or the `token_type` DPoP, which are bound to a key "
        "of the client, as bearer tokens: no proof of that key is checked.",
    )
    leeway: Annotated[float, Duration("0s", "5m")] = written(
        "10s", "How far the issuer's clock may be off when dates are compared."
    )
    cache: Annotated[float, Duration("0s", "5m")] = written(
        "10s",
        "How long an answer is believed, at most until its `exp`: a session that ends "
        "is good for so long.",
    )
    negative_cache: Annotated[float, Duration("0s", "1m")] = written(
        "2s", "How long a session stays refused that was not active."
    )
    timeout: Annotated[float, Duration("10ms", "10s")] = written(
        "2s",
        "How long one look-up may take; less than Envoy's time-out, or the client "
        "learns of that first.",
    )
    max_lookups: Annotated[StrictInt, Field(ge=1, le=4096)] = written(
        64,
        "How many look-ups are under way at once; the next session gets a 503. A "
        "quarter is kept for sessions that were active when last asked about.",
    )
    max_waiters: Annotated[StrictInt, Field(ge=1, le=65536)] = written(
        128,
        "How many checks wait for look-ups at once; the next gets a 503. A quarter is "
        "kept as that of `max_lookups` is, and one session has at most half. Fewer than "
        "`limits.pending_checks`, or a slow issuer leaves no room for other credentials.",
    )
    remembered_sessions: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = written(
        10_000, "How many answers are kept."
    )


# The bases stand in reverse: the reference lists the keys of the last one first.
class Introspection(_Answered, RequestHeaders, RemoteServer, _Asked):
    """Opaque sessions, verified by introspection at their issuer (RFC 7662)."""

    answer_bytes: AnswerBytes = written(
        64 * 1024,
        "The most bytes that an answer may have, with room for many groups; a longer "
        "one is a 503 for its session. One with more than "
        f"{MOST_NAMES:,} scopes, roles and groups is a 403.",
    )

    headers: Annotated[dict[IntrospectionHeader, File], BeforeValidator(distinct_headers)] = (
        written({}, "Headers to send, each with the file that holds its value.")
    )

    server_url = "url"
    danger = "could read sessions and answer"

    def findings(self) -> Iterator[Finding]:
        """The subject is one claim; a client certificate exists, and is shown over TLS."""
        yield from super().findings()
        yield from subject_in_a_text(self.subject_claim)
        if self.client.method == "tls_client_auth":
            if self.certificate is None:
                text = (
                    "tls_client_auth proves the client by its certificate; write certificate, too"
                )
                yield Finding(("client", "method"), text)
            elif urlsplit(self.url).scheme != "https":
                text = "tls_client_auth needs a connection with TLS; write https"
                yield Finding(("url",), text)

    def warnings(self) -> Iterator[Finding]:
        """Any client's tokens are accepted, or the subject is one that may be somebody else's."""
        yield from changeable_subject(self.subject_claim)
        if not self.audiences and not self.clients:
            text = (
                "any active token of this issuer will do, also one that a user granted to another "
                "application; say in clients or audiences whose are meant"
            )
            yield Finding((), text)

    def settings(
        self, name: str, token_bytes: int, proxy: ProxySettings | None
    ) -> IntrospectionSettings:
        """How sessions of the credential of this name are looked up."""
        return copied(
            IntrospectionSettings,
            self,
            name=name,
            authentication=self.client.settings(),
            token_bytes=token_bytes,
            http=self.http_settings(proxy),
        )
