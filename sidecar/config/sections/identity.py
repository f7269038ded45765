"""``identity``: how a verified identity is passed to the service."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from sidecar.check.claims import SUB
from sidecar.check.identity import IdentitySettings, folded
from sidecar.config.header_names import IdentityHeader, PassedHeader, distinct_headers
from sidecar.config.problems import Finding
from sidecar.config.rules import Draft, Items, rule
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.routes import others_headers
from sidecar.config.sections.token_sources import carriers, spelt_once
from sidecar.config.sections.trust import Trust
from sidecar.config.values import IdentityClaim


class Identity(Section):
    """How a verified identity is passed to the service."""

    headers: Annotated[dict[IdentityHeader, IdentityClaim], BeforeValidator(distinct_headers)] = (
        written(
            {},
            "The headers to set, each with the claim it carries, or with "
            "`{normalised: NAME}`, where NAME is `scopes`, `roles` or `groups`: a sorted list of "
            "what rules see, read from each issuer's `scope_claim`, `roles_claim` or "
            "`groups_claim`. It is a mapping because a claim may be called `roles`, too. What a "
            "client sends under these names never reaches the service, in any spelling: all "
            "characters but letters and digits "
            "count as the same. Where a trust entry has many issuers, a header with the subject "
            "goes with one for `iss`, or for the claim of the `issuer_pattern`.",
        )
    )
    strip: tuple[IdentityHeader, ...] = written(
        (), "Further headers that a client may not send, in any spelling."
    )
    passed: tuple[PassedHeader, ...] = written(
        (),
        "`[authorization]` where the service checks `Authorization` itself. Otherwise "
        "it is removed wherever it is no token source, because it would not be verified.",
        alias="pass",
        min_length=1,
    )
    forward_token: StrictBool = written(True, "Whether the service gets the token too.")
    max_bytes: Annotated[StrictInt, Field(ge=256, le=65536)] = written(
        8192, "The bytes that names and values of the identity headers may have together."
    )

    def settings(self) -> IdentitySettings:
        """What the check needs of it."""
        return copied(IdentitySettings, self)

    @property
    def owned(self) -> Items[str]:
        """The headers that no client may send, with their locations."""
        headers: Items[str] = [(("identity", "headers", name), name) for name in self.headers]
        return [*headers, *_located("strip", self.strip)]


def _located(key: str, names: tuple[str, ...]) -> Items[str]:
    return [(("identity", key, index), name) for index, name in enumerate(names)]


@rule("identity")
def _headers_are_named_once(draft: Draft) -> Iterator[Finding]:
    identity = draft.section("identity", Identity)
    return spelt_once(draft, [*identity.owned, *_located("pass", identity.passed)])


@rule("identity", "token_sources")
def _headers_carry_no_token(draft: Draft) -> Iterator[Finding]:
    identity = draft.section("identity", Identity)
    carrying = carriers(draft.section("token_sources", tuple))
    for here, name in identity.owned:
        if folded(name) in carrying:
            yield Finding(here, f"{name} carries the token; choose another header")
    for here, name in _located("pass", identity.passed):
        if name in carrying:
            text = (
                f"{name} is a token source: what goes on is verified here, and forward_token says "
                "whether it does; leave it out"
            )
            yield Finding(here, text)


@rule("identity", "token_sources")
def _conditions_read_other_headers(draft: Draft) -> Iterator[Finding]:
    identity = draft.section("identity", Identity)
    carrying = carriers(draft.section("token_sources", tuple))
    return others_headers(draft, carrying, [name for _, name in identity.owned])


@rule("identity")
def _subjects_carry_their_issuer(draft: Draft) -> Iterator[Finding]:
    """Where an entry has many issuers, a header with the subject goes with one that says whose."""
    sources = draft.section("identity", Identity).headers
    for _, trust in draft.items("trust", Trust):
        if not trust.has_many_issuers:
            continue
        claim = trust.template.placeholder if trust.template else "iss"
        if not {("iss",), (claim,)}.isdisjoint(sources.values()):
            continue
        for name, source in sources.items():
            if source in (SUB, trust.subject_claim):
                text = (
                    f'"{trust.name}" has many issuers, and two of them may give two people one '
                    f"{'.'.join(source)}; write a header with {claim} beside it"
                )
                yield Finding(("identity", "headers", name), text)


@rule()
def _headers_carry_the_subject(draft: Draft) -> Iterator[Finding]:
    """A header with ``sub``, where an entry takes the subject from another claim."""
    for name, source in draft.section("identity", Identity).headers.items():
        for _, trust in draft.items("trust", Trust):
            if source == SUB != trust.subject_claim:
                claim = ".".join(trust.subject_claim)
                text = (
                    f'sub is not the subject of "{trust.name}": its subject_claim is {claim}; '
                    f"write {claim} if the header is for the subject"
                )
                yield Finding(("identity", "headers", name), text)


IDENTITY_RULES: Final = (
    _headers_are_named_once,
    _headers_carry_no_token,
    _conditions_read_other_headers,
    _subjects_carry_their_issuer,
)
IDENTITY_WARNINGS: Final = (_headers_carry_the_subject,)
