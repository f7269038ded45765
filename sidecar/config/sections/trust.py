"""``trust``: the trusted issuers, and where their public keys are found."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from typing import Annotated, Final, Self

from pydantic import Field, StrictBool, StrictInt, model_validator

from sidecar.check.trust import ClaimPath, RequiredValue, TrustEntry
from sidecar.clients.proxy import ProxySettings
from sidecar.config.addresses import http_url
from sidecar.config.problems import Finding, Location
from sidecar.config.rules import Draft, duplicate_names, rule
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.claim_names import ONE_CLAIM, is_dotted
from sidecar.config.sections.http import HTTPS_OR_ALLOWED, over_http
from sidecar.config.sections.keys import Keys, KubernetesSection, OidcSection
from sidecar.config.values import (
    AlgorithmName,
    Claim,
    ClaimValues,
    Duration,
    Issuer,
    IssuerPatternText,
    IssuerValues,
    Name,
    OptionalIssuer,
    PatternOfParts,
    Text,
    TokenType,
    WholeText,
    format_value,
)
from sidecar.jose.issuers import IssuerTemplate, overlap
from sidecar.jose.jwk import VerificationKey
from sidecar.keys.settings import KeySettings
from sidecar.model import TokenKind

_REQUEST_TYPES: Final = ("at+jwt",)  # RFC 9068 §2.1
# OpenID Connect Core §5.7: neither unique nor stable.
_CHANGEABLE: Final = frozenset({"email", "preferred_username", "upn"})
# Names of subjects that are texts wherever they are defined (RFC 7519, RFC 7662, OpenID Connect).
_TEXTS: Final = _CHANGEABLE | {"sub", "username", "client_id"}
# Claims that are no value to require, and what they are compared with.
_COMPARED_ANYWAY: Final = {
    "iss": "issuer",
    "aud": "audiences",
    **dict.fromkeys(("exp", "nbf", "iat"), "the time"),
}
_ISSUERS: Final = ("issuer", "issuers", "issuer_pattern")


class IssuerPattern(Section):
    """Issuers that differ in one segment of their path, in which a claim of the token stands."""

    pattern: IssuerPatternText = Field(
        description="The `iss` of its tokens, with a placeholder: the name of a claim in braces, "
        "as one whole segment of the path. It stands for letters, digits and `-`, and is what the "
        "token has in the claim."
    )
    values: IssuerValues = Field(
        description="What may stand in place of the placeholder, or `any`: then whoever the "
        "provider gives an issuer of this form is trusted."
    )

    @property
    def issuers(self) -> tuple[str, ...]:
        """The issuers of the values on the list; none where any value is accepted."""
        return tuple(self.pattern.filled(value) for value in self.values or ())

    def warnings(self) -> Iterator[Finding]:
        """Everybody's issuers are trusted."""
        if self.values is None:
            text = (
                f"whoever can have a {self.pattern.placeholder} of their own at this provider is "
                "trusted, and chooses the subjects and claims of their tokens; list the values "
                "that are meant"
            )
            yield Finding(("values",), text)


class Trust(Section):
    """An issuer, or many with one set of keys, that are trusted for one kind of token."""

    name: Name = Field(description="What it is called in metrics, logs and answers.")
    kind: TokenKind = Field(
        description="What its tokens are for: `request` (the gateway's), `workload` (a service's "
        "own) or `external` (another issuer's)."
    )
    issuer: OptionalIssuer = written(
        None,
        "The `iss` of its tokens, compared character by character. Exactly one of `issuer`, "
        "`issuers` and `issuer_pattern` is written.",
    )
    issuers: tuple[Issuer, ...] = written(
        (),
        "The `iss` of its tokens, one of these, where many issuers have one set of keys.",
        min_length=1,
    )
    issuer_pattern: IssuerPattern | None = written(
        None, "The `iss` of its tokens, where the issuers of many tenants have one set of keys."
    )
    audiences: tuple[WholeText, ...] = Field(
        min_length=1, description="Of these a token's audience must name at least one."
    )
    audience_claim: Claim = written(
        "aud", "The claim that holds the audience, for issuers that set no `aud`."
    )
    algorithms: tuple[AlgorithmName, ...] = Field(
        min_length=1, description="The signature algorithms that are accepted."
    )
    types: tuple[TokenType, ...] = written(
        (),
        "The accepted `typ` values, without `application/`; `none` for tokens without "
        "one. For kind `request` it is `[at+jwt]` where nothing else is said; other kinds must "
        "say it.",
        min_length=1,
    )
    claim_values: dict[Text, ClaimValues] = written(
        {},
        "Claims, each with the value that it must have or a list of those it may have: "
        "`{token_use: access}`. Text, booleans and whole numbers are compared by JSON type and "
        "value, and a claim that is a list equals none. A nested claim is a mapping below the one "
        "that it is in. Entries of one issuer and typ need a claim that both name, with different "
        "values.",
    )
    leeway: Annotated[float, Duration("0s", "5m")] = written(
        "10s", "How far the issuer's clock may be off when dates are compared."
    )
    subject_claim: Claim = written(
        "sub",
        "The claim that holds the subject. Where it is written, a token without it is refused, and "
        "no other claim takes its place.",
    )
    subjects: tuple[PatternOfParts, ...] = written(
        (),
        "Patterns of which a token's subject must match one; `*` stands for one part between `:` "
        "or `/`, and `**` at the end for one or more. Required for kind `workload`; otherwise "
        "empty accepts all. Of many issuers, each may have them.",
    )
    required_claims: tuple[Claim, ...] = written(
        (), "Claims that must be there and not be empty; without it, the `subject_claim`."
    )
    scope_claim: Claim = written("scope", "The claim that holds the scopes.")
    roles_claim: Claim = written("roles", "The claim that holds the roles.")
    groups_claim: Claim = written("groups", "The claim that holds the groups.")
    accept_bound_tokens: StrictBool = written(
        False,
        "Accept tokens with a `cnf` claim, which are bound to a key of the client (DPoP, mTLS), as "
        "bearer tokens: whoever holds one may use it. Otherwise they are refused, because no proof "
        "of that key is checked.",
    )
    keys: Keys = Field(
        description="Where its public keys are found. A key belongs to one issuer: entries of "
        "different issuers have neither the same file, URL, Vault path or API server nor two files "
        "with a common key, unless each names the other in `shared_keys`. A JWK with a member "
        "`issuer` signs for that issuer alone; a placeholder in it, as Microsoft writes one, "
        "stands for one segment of the path."
    )
    without_kid: StrictBool = written(
        False,
        "Its tokens have no `kid`: where none of the known keys has signed one, the keys are "
        "fetched once more, as for an unknown `kid`, because the key may be new.",
    )
    key_candidates: Annotated[StrictInt, Field(ge=1, le=16)] = written(
        4,
        "How many keys are tried for a token whose `kid` does not name one. A forged token costs "
        "as many signatures: with more than 4, the most expensive request may cost more than "
        "three new tokens.",
    )
    shared_keys: tuple[Name, ...] = written(
        (),
        "The other entries that have the same keys, because one provider signs the tokens of all. "
        "Each entry names the others, and all are of one kind.",
    )

    @model_validator(mode="after")
    def _one_of_the_issuers(self) -> Self:
        self.refuse_all_but_one(_ISSUERS)
        return self

    @property
    def issuer_key(self) -> str:
        """The key that says whose tokens they are."""
        return self.refuse_all_but_one(_ISSUERS)

    @property
    def template(self) -> IssuerTemplate | None:
        """The pattern of its issuers, if it has one."""
        return self.issuer_pattern.pattern if self.issuer_pattern else None

    @property
    def open_template(self) -> IssuerTemplate | None:
        """The pattern of its issuers, if any value is accepted in it."""
        return None if self.known_issuers else self.template

    @property
    def known_issuers(self) -> tuple[str, ...]:
        """Its issuers; none where any value of a pattern is accepted."""
        if self.issuer_pattern is not None:
            return self.issuer_pattern.issuers
        return self.issuers if self.issuer is None else (self.issuer,)

    @property
    def has_many_issuers(self) -> bool:
        """Whether a subject says whose it is only together with its issuer."""
        return self.issuer is None

    def has_issuers_of(self, other: "Trust") -> bool:
        """Whether both entries are for tokens of the same issuers."""
        return (set(self.known_issuers), self.open_template) == (
            set(other.known_issuers),
            other.open_template,
        )

    def accepts(self, issuer: str) -> bool:
        """Whether the issuer is one of its own."""
        template = self.open_template
        return issuer in self.known_issuers or (template is not None and template.matches(issuer))

    def may_have(self, key: VerificationKey) -> bool:
        """Whether the key is for an issuer of this entry, as far as it names one."""
        template = self.open_template
        if template is None:
            return any(map(key.signs_for, self.known_issuers))
        if isinstance(key.issuer, IssuerTemplate):
            return overlap(template, key.issuer)
        return key.issuer is None or template.matches(key.issuer)

    @property
    def accepted_types(self) -> tuple[str, ...]:
        """The types as written or by default; empty where they must be written."""
        if self.types:
            return self.types
        return _REQUEST_TYPES if self.kind is TokenKind.REQUEST else ()

    def findings(self) -> Iterator[Finding]:
        """The types and subjects that are accepted are written, and keys and claims fit them."""
        yield from subject_in_a_text(self.subject_claim)
        if not self.accepted_types:
            text = (
                f'the key "types" is missing; kind {self.kind.value} has no usual typ: write the '
                "one its tokens have, as in [jwt], or [none] if they have none"
            )
            yield Finding((), text)
        if self.kind is TokenKind.WORKLOAD and not self.subjects:
            text = (
                'kind workload needs "subjects"; without them every workload of the issuer is '
                'accepted: write patterns such as "system:serviceaccount:shop:*"'
            )
            yield Finding(("subjects",), text)
        for name in _COMPARED_ANYWAY.keys() & self.claim_values.keys():
            text = f"{name} is compared with {_COMPARED_ANYWAY[name]} anyway; leave it out"
            yield Finding(("claim_values", name), text)
        if self.kind is TokenKind.WORKLOAD and self.open_template is not None:
            text = (
                "kind workload needs a list of values; with any, whoever has an issuer of this "
                "form chooses subjects that are accepted: name the issuers of your workloads"
            )
            yield Finding(("issuer_pattern", "values"), text)
        yield from self._times_of_keys()
        source = self.keys.source
        if isinstance(source, KubernetesSection) and self.kind is not TokenKind.WORKLOAD:
            text = (
                "a cluster signs the tokens of workloads; write kind: workload and the subjects "
                "that are accepted"
            )
            yield Finding(("kind",), text)
        if isinstance(source, OidcSection):
            yield from self._discovery(source)

    def _discovery(self, source: OidcSection) -> Iterator[Finding]:
        """The one issuer has a discovery document."""
        if self.issuer is None:
            text = (
                f"oidc finds the keys of one issuer, and {self.issuer_key} names many; write the "
                'URL of the key set that they share: jwks: {url: "https://.."}'
            )
            yield Finding(("keys", "oidc"), text)
            return
        if not source.allow_http:
            yield from over_http(("issuer",), self.issuer, source.danger, HTTPS_OR_ALLOWED)
        try:
            _discoverable(self.issuer)
        except ValueError as fault:
            yield Finding(("issuer",), f"{fault}; or name the keys with jwks")

    def _times_of_keys(self) -> Iterator[Finding]:
        """The times of ``keys``, checked here because ``refresh`` depends on the kind of token."""
        source, here = self.keys.source, ("keys", self.keys.chosen)
        refresh, written = source.refresh_for(self.kind), source.model_fields_set
        if source.max_stale <= refresh:
            text = "max_stale is not longer than refresh; the keys would be too old in between"
            yield Finding((*here, "max_stale"), text)
        if "cooldown" in written and source.cooldown > refresh:
            text = (
                "cooldown is longer than refresh; the regular fetches would come first: write "
                "refresh or less"
            )
            yield Finding((*here, "cooldown"), text)
        if "min_refresh" in written and source.min_refresh > refresh:
            text = "min_refresh is longer than refresh, of which it is the lower limit"
            yield Finding((*here, "min_refresh"), text)

    def _all_required_claims(self) -> tuple[ClaimPath, ...]:
        """The required claims as written or by default, and the subject where it is written."""
        written, required = self.model_fields_set, self.required_claims
        if "required_claims" in written and "subject_claim" not in written:
            return required
        return tuple(dict.fromkeys((self.subject_claim, *required)))

    def warnings(self) -> Iterator[Finding]:
        """A subject that can be changed, or values that most likely are meant otherwise."""
        yield from changeable_subject(self.subject_claim)
        for name, found in self.claim_values.items():
            if any("*" in str(value) for _, values in found for value in values):
                text = (
                    "values are compared character by character, and * stands for nothing else; "
                    "required_claims asks for a claim with any value"
                )
                yield Finding(("claim_values", name), text)
        for name in filter(is_dotted, self.claim_values):
            first, _, rest = name.partition(".")
            text = f"{ONE_CLAIM.format(name)}; write {first}: {{{rest}: ...}}"
            yield Finding(("claim_values", name), text)

    def settings(self) -> TrustEntry:
        """What the check needs of the entry."""
        return copied(
            TrustEntry,
            self,
            claim_values=tuple(
                RequiredValue.of((name, *below), values)
                for name, found in self.claim_values.items()
                for below, values in found
            ),
            issuers=frozenset(self.known_issuers),
            pattern=self.template,
            required_claims=self._all_required_claims(),
            types=frozenset(None if name == "none" else name for name in self.accepted_types),
        )

    def key_settings(self, key_waiters: int, proxy: ProxySettings | None) -> KeySettings:
        """The settings of the refresher of the entry's keys."""
        source = self.keys.source
        refresh = source.refresh_for(self.kind)
        return copied(
            KeySettings,
            source,
            trust=self.name,
            source=source.settings(self.issuer or "", proxy),
            refresh=refresh,
            min_refresh=min(source.min_refresh, refresh),
            cooldown=min(source.cooldown, refresh),
            timeout=source.timeout,
            key_waiters=key_waiters,
        )


def subject_in_a_text(claim: ClaimPath) -> Iterator[Finding]:
    """The list names a claim below a text: it was meant as several claims, of which one will do."""
    if len(claim) > 1 and claim[0] in _TEXTS:
        text = (
            f"{claim[0]} is a text, with no {claim[1]} in it: a list leads to one nested claim. A "
            f"subject has one claim, and no other takes its place; write {claim[0]} or {claim[1]}"
        )
        yield Finding(("subject_claim",), text)


def changeable_subject(claim: ClaimPath) -> Iterator[Finding]:
    """A warning about a subject that can be changed, or given to somebody else later."""
    if claim[-1] in _CHANGEABLE:
        text = (
            f"{claim[-1]} can be changed, or given to somebody else later, who "
            "would then be taken for the one before; name a claim that stays, as sub does"
        )
        yield Finding(("subject_claim",), text)


def _discoverable(issuer: str) -> None:
    """An issuer has a discovery document if it is a URL without a query (RFC 8414 §2).

    Raises:
        ValueError: it has none.
    """
    if "?" in http_url(issuer):
        text = f"{format_value(issuer)} has a query, and a discovery document has no place then"
        raise ValueError(text)


@rule()
def _names(draft: Draft) -> Iterator[Finding]:
    return duplicate_names(draft, draft.items("trust", Trust), "trust entries")


@rule()
def _tokens_lead_to_one_entry(draft: Draft) -> Iterator[Finding]:
    # By typ and issuer, of which there may be thousands: the entries of one share a tuple.
    found: defaultdict[str, dict[str, tuple[tuple[Location, TrustEntry], ...]]] = defaultdict(dict)
    for here, trust in draft.items("trust", Trust):
        entry = trust.settings()
        issuers = trust.known_issuers or (str(trust.template),)
        alone = ((here, entry),)
        told: set[Location] = set()
        for name, issuer in product(dict.fromkeys(trust.accepted_types), dict.fromkeys(issuers)):
            others = found[name].get(issuer, ())
            for at, other in others:
                if at not in told and not entry.differs_from(other):
                    told.add(at)
                    whose = "this issuer" if trust.issuer else issuer
                    text = (
                        f'"{trust.name}" and "{other.name}" (line {draft.line(at)}) both accept '
                        f"the typ {name} from {whose}; a token must lead to one entry: write "
                        "other types, or claim_values of one claim in both, without a common value"
                    )
                    yield Finding((*here, trust.issuer_key), text)
                    break
            found[name][issuer] = others + alone if others else alone


@rule()
def _open_patterns_are_alone(draft: Draft) -> Iterator[Finding]:
    """No other entry has an issuer that a pattern with any value has, whatever its typ."""
    entries = draft.items("trust", Trust)
    for here, trust in entries:
        template = trust.open_template
        for at, other in entries:
            if template is None or other is trust or other.open_template == template:
                continue
            rival = other.open_template
            if any(map(template.matches, other.known_issuers)) or (
                rival is not None and overlap(template, rival)
            ):
                text = (
                    f'with any value the pattern has issuers of "{other.name}" (line '
                    f"{draft.line(at)}), too; list the values, or write this pattern there"
                )
                yield Finding((*here, "issuer_pattern"), text)


TRUST_RULES: Final = (_names, _tokens_lead_to_one_entry, _open_patterns_are_alone)
