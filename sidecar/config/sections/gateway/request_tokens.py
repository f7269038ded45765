"""``request_tokens``: the tokens that services get, and what they may be for."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, StrictInt

from sidecar.config.problems import Finding
from sidecar.config.rules import Draft, rule
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.gateway.signing_keys import RingKeys
from sidecar.config.values import Claim, Duration, Pattern, Scope, Text
from sidecar.errors import ConfigurationFault
from sidecar.mint.settings import LONGEST_LIFETIME, RequestTokenSettings
from sidecar.rings.lifecycle import Timings

# Claims that the gateway sets by its own rules (RFC 9068 §2.2, RFC 8693 §4, RFC 7800 §3.1), and
# claims that services would take for those.
_NOT_COPIED: Final = frozenset(
    {
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "client_id", "txn", "cnf"),
        *("scope", "groups", "roles", "act", "may_act", "auth_time", "acr", "amr", "status", "wf"),
    }
)


_REUSED_TOKENS: Final = 2000
_LONGEST_LIFETIME: Final = f"{LONGEST_LIFETIME / 60:g}m"


class RequestTokens(Section):
    """The tokens that services get, one for every request (RFC 9068)."""

    keys: RingKeys = Field(description="Where the keys live that sign them.")
    lifetime: Annotated[float, Duration("1s", _LONGEST_LIFETIME)] = written(
        "60s", "How long a token is good for. It cannot be revoked."
    )
    reuse: Annotated[float, Duration("0s", "10s")] = written(
        "0s",
        "How long one token may serve further requests with the same credential on the same route.",
    )
    audiences: dict[Text, tuple[Scope, ...]] = Field(
        min_length=1,
        description="Everything a token may be for: the audiences, each with the scopes it knows.",
    )
    claims: dict[Text, Claim] = written(
        {}, "Further claims of a token, each with the credential's claim it is copied from."
    )
    actors: tuple[Pattern, ...] = written(
        (),
        "Patterns of the mTLS principals that act for a user: a token for them has "
        "`act`. `*` stands for one part between `:` or `/`.",
        min_length=1,
    )
    verifiers_refresh: Annotated[float, Duration("1s", "24h")] = written(
        "30s",
        "The longest `refresh` that any verifier has: a key is published for longer "
        "before it signs, and caches may answer with the public keys for so long.",
    )
    leeway: Annotated[float, Duration("0s", "5m")] = written(
        "10s", "How far clocks may be apart, the verifiers' own leeway included."
    )
    propagation: Annotated[float, Duration("0s", "1h")] = written(
        "2m", "The time until a change of the keys has reached every replica."
    )
    max_bytes: Annotated[StrictInt, Field(ge=512, le=65536)] = written(
        4096, "The size of a token in bytes."
    )

    def findings(self) -> Iterator[Finding]:
        """Audiences are no patterns, no claim is one of the gateway's, and the times are valid."""
        for name in self.audiences:
            if "*" in name:
                text = "an audience is one service, and no pattern; name each"
                yield Finding(("audiences", name), text)
        for name in _NOT_COPIED & self.claims.keys():
            text = (
                f"{name} is set by the gateway's own rules and copied from nowhere; give the "
                "claim another name"
            )
            yield Finding(("claims", name), text)
        if self.reuse >= self.lifetime:
            text = (
                "reuse is not shorter than lifetime: a reused token would have expired; write less"
            )
            yield Finding(("reuse",), text)
        try:
            self.timings()
        except ConfigurationFault as fault:
            text = f"rotate does not go with the other times; {fault}"
            yield Finding(("keys", self.keys.chosen, "rotate"), text)

    def timings(self) -> Timings:
        """The timings that the dates of the keys follow from.

        Raises:
            ConfigurationFault: a key is replaced sooner than the other times allow.
        """
        return Timings(
            verifier_refresh=self.verifiers_refresh,
            token_life=self.lifetime,
            leeway=self.leeway,
            propagation=self.propagation,
            period=self.keys.period,
        )

    def settings(self, issuer: str) -> RequestTokenSettings:
        """How the tokens are made."""
        return copied(
            RequestTokenSettings,
            self,
            issuer=issuer,
            reused_tokens=_REUSED_TOKENS,
        )


@rule("issuer", "request_tokens")
def _the_gateway_is_no_audience(draft: Draft) -> Iterator[Finding]:
    issuer = draft.section("issuer", str)
    if issuer in draft.section("request_tokens", RequestTokens).audiences:
        text = (
            "the gateway itself is no audience of request tokens: what is for it, is a session; "
            "name the services"
        )
        yield Finding(("request_tokens", "audiences", issuer), text)


REQUEST_TOKEN_RULES: Final = (_the_gateway_is_no_audience,)
