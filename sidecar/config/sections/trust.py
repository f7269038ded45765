"""``trust``: the trusted issuers, and where their public keys are found."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, StrictBool

from sidecar.check.trust import RequiredValue, TrustEntry
from sidecar.clients.proxy import ProxySettings
from sidecar.config.addresses import http_url
from sidecar.config.problems import Finding, Location
from sidecar.config.rules import Draft, duplicate_names, rule
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.http import HTTPS_OR_ALLOWED, over_http
from sidecar.config.sections.keys import Keys, KubernetesSection, OidcSection
from sidecar.config.values import (
    AlgorithmName,
    Claim,
    ClaimValues,
    Duration,
    Name,
    Pattern,
    Text,
    TokenType,
    format_value,
)
from sidecar.keys.settings import KeySettings
from sidecar.model import TokenKind

_REQUEST_TYPES: Final = ("at+jwt",)  # RFC 9068 §2.1
# Claims that are no value to require, and what they are compared with.
_COMPARED_ANYWAY: Final = {
    "iss": "issuer",
    "aud": "audiences",
    **dict.fromkeys(("exp", "nbf", "iat"), "the time"),
}


class Trust(Section):
    """An issuer that is trusted for one kind of token."""

    name: Name = Field(description="What it is called in metrics, logs and answers.")
    kind: TokenKind = Field(
        description="What its tokens are for: `request` (the gateway's), `workload` (a service's "
        "own) or `external` (another issuer's)."
    )
    issuer: Text = Field(description="The `iss` of its tokens, compared character by character.")
    audiences: tuple[Text, ...] = Field(
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
    subjects: tuple[Pattern, ...] = written(
        (),
        "Patterns of which a token's `sub` must match one; `*` stands for one part "
        "between `:` or `/`. Required for kind `workload`; otherwise empty accepts all.",
    )
    required_claims: tuple[Claim, ...] = written(
        ("sub",), "Claims that must be there and not be empty."
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
    keys: Keys = Field(description="Where its public keys are found.")

    @property
    def accepted_types(self) -> tuple[str, ...]:
        """The types as written or by default; empty where they must be written."""
        if self.types:
            return self.types
        return _REQUEST_TYPES if self.kind is TokenKind.REQUEST else ()

    def findings(self) -> Iterator[Finding]:
        """The types and subjects that are accepted are written, and the keys fit the entry."""
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
        yield from self._times_of_keys()
        source = self.keys.source
        if isinstance(source, KubernetesSection) and self.kind is not TokenKind.WORKLOAD:
            text = (
                "a cluster signs the tokens of workloads; write kind: workload and the subjects "
                "that are accepted"
            )
            yield Finding(("kind",), text)
        if isinstance(source, OidcSection):
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
            source=source.settings(self.issuer, proxy),
            refresh=refresh,
            min_refresh=min(source.min_refresh, refresh),
            cooldown=min(source.cooldown, refresh),
            timeout=source.timeout,
            key_waiters=key_waiters,
        )


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
    found: dict[tuple[str, str], list[tuple[Location, TrustEntry]]] = {}
    for here, trust in draft.items("trust", Trust):
        entry = trust.settings()
        for name in dict.fromkeys(trust.accepted_types):
            others = found.setdefault((trust.issuer, name), [])
            for at, other in others:
                if not entry.differs_from(other):
                    text = (
                        f'"{trust.name}" and "{other.name}" (line {draft.line(at)}) both accept '
                        f"the typ {name} from this issuer; a token must lead to one entry: write "
                        "other types, or claim_values of one claim in both, without a common value"
                    )
                    yield Finding((*here, "issuer"), text)
                    break
            others.append((here, entry))


TRUST_RULES: Final = (_names, _tokens_lead_to_one_entry)
