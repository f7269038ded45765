"""``credentials``: what a client may present, and how it is verified."""

from collections.abc import Iterable, Iterator
from typing import Final, Self

from pydantic import Field, StrictBool, model_validator

from sidecar.check.claims import SUB
from sidecar.check.extract import CookieSource
from sidecar.check.identity import folded
from sidecar.check.patterns import EVERY_NAME
from sidecar.clients.proxy import ProxySettings
from sidecar.config.problems import Finding, Location, format_names
from sidecar.config.rules import Draft, duplicate_names, rule
from sidecar.config.section import Section, written
from sidecar.config.sections.gateway.attributes import LISTS, AttributesSection
from sidecar.config.sections.gateway.introspection import Introspection
from sidecar.config.sections.gateway.session import SessionSection
from sidecar.config.sections.token_sources import TokenPlace, distinct_sources, one_to_servers
from sidecar.config.sections.trust import Trust
from sidecar.config.values import Name, Text
from sidecar.gateway.settings import (
    CredentialSettings,
    IntrospectedCredential,
    JwtCredential,
)

_HOST_PREFIX: Final = "__Host-"
_KINDS: Final = ("jwt", "introspection", "session")


class JwtSection(Section):
    """JWTs of trusted issuers."""

    trust: tuple[Name, ...] = Field(
        min_length=1,
        description="The trust entries that decide about them. Credentials that differ in name, "
        "place and `exchange_only` alone may name the same entry: a cookie in browsers, a header "
        "in apps.",
    )


class _Called(Section):
    name: Name = Field(description="What it is called in metrics, logs and answers.")


class CredentialSection(TokenPlace, _Called):
    """A credential that a client may bring: where it stands, and what tells whose it is.

    Credentials of different kinds may share a place. Three segments joined by dots are then a JWT
    and nothing else, five are a `session`, and any other text is for `introspection`.
    """

    subject_prefix: Text = written(
        "",
        "What stands in front of its subjects and clients, in request tokens and in "
        "conditions: two issuers may call two people the same. Where a trust entry has many "
        "issuers, the issuer is in it: as `{iss}`, or as the placeholder of an `issuer_pattern`, "
        'such as `"{tid}:"`.',
    )
    attributes: AttributesSection = Field(
        default_factory=AttributesSection,
        description="What it may bring besides its subject and scopes; nothing, unless it is "
        "listed here. Rules, conditions, sessions and request tokens see nothing else.",
    )
    exchange_only: StrictBool = written(
        False, "It only buys a session at `POST /session`; on requests it is not looked at."
    )
    jwt: JwtSection | None = written(None, "A JWT of a trusted issuer.")
    introspection: Introspection | None = written(
        None, "An opaque session, which its issuer is asked about."
    )
    session: SessionSection | None = written(None, "A session token of the gateway's own.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        self.refuse_all_but_one(_KINDS)
        return self

    def findings(self) -> Iterator[Finding]:
        """Its source can hold a credential, and a session has no keys of other credentials."""
        yield from super().findings()
        if self.header == "authorization" and self.scheme is None:
            text = (
                "authorization holds a scheme in front of the credential (RFC 9110 §11.6.2); "
                "write scheme: Bearer"
            )
            yield Finding(("header",), text)
        elif self.header is not None and folded(self.header) == "txn-token":
            text = "services look for request tokens in txn-token; choose another header"
            yield Finding(("header",), text)
        if self.session is not None:
            yield from self._session_cookie_is_the_hosts()
            yield from self._session_is_no_other_credential()

    def _session_cookie_is_the_hosts(self) -> Iterator[Finding]:
        """RFC 6265bis §4.1.3.2."""
        if self.header is not None:
            text = f"a session is held in a cookie; write cookie: {_HOST_PREFIX}session"
            yield Finding(("header",), text)
        elif self.cookie is not None and not self.cookie.startswith(_HOST_PREFIX):
            text = (
                "another host of the domain could set this cookie, too; begin its name with "
                f"{_HOST_PREFIX}"
            )
            yield Finding(("cookie",), text)

    def _session_is_no_other_credential(self) -> Iterator[Finding]:
        if self.exchange_only:
            text = "a session that is no use on requests is no use at all; leave exchange_only out"
            yield Finding(("exchange_only",), text)
        if self.subject_prefix:
            text = (
                "a session has the subject of the credential it was issued for, prefix and all; "
                "leave subject_prefix out"
            )
            yield Finding(("subject_prefix",), text)
        if "attributes" in self.model_fields_set:
            text = (
                "a session has what the credential it was issued for might bring; leave "
                "attributes out"
            )
            yield Finding(("attributes",), text)

    def warnings(self) -> Iterator[Finding]:
        """An issuer whose subjects have a prefix, and whose roles or groups are not limited."""
        for name in LISTS:
            if self.subject_prefix and EVERY_NAME in getattr(self.attributes, name):
                text = (
                    f"subject_prefix tells its subjects from others, and nothing tells its {name} "
                    "from those of your own; name the ones it may bring"
                )
                yield Finding(("attributes", name), text)

    @property
    def kind(self) -> str:
        """The key of its kind."""
        return self.refuse_all_but_one(_KINDS)

    @property
    def trusts(self) -> tuple[str, ...]:
        """The trust entries that decide about it; none for a session."""
        return self.jwt.trust if self.jwt else ()

    def settings(
        self,
        issuer: str,
        token_bytes: int,
        copied_claims: Iterable[str],
        proxy: ProxySettings | None,
    ) -> CredentialSettings:
        """What the gateway needs of it. ``copied_claims`` are those that request tokens have."""
        source = self.source_settings()
        if self.jwt is not None:
            return JwtCredential(self.name, source, self.trusts)
        if self.introspection is not None:
            asked = self.introspection.settings(self.name, token_bytes, proxy)
            return IntrospectedCredential(self.name, source, asked)
        assert self.session is not None  # noqa: S101 - one of the three is written
        assert isinstance(source, CookieSource)  # noqa: S101 - a session in a header is refused
        return self.session.settings(self.name, issuer, source, copied_claims)


@rule()
def _names(draft: Draft) -> Iterator[Finding]:
    credentials = draft.items("credentials", CredentialSection)
    yield from duplicate_names(draft, credentials, "credentials")
    taken = {trust.name: here for here, trust in draft.items("trust", Trust)}
    for here, credential in credentials:
        if credential.name in taken:
            text = (
                f'"{credential.name}" is the name of the trust entry on line '
                f"{draft.line(taken[credential.name])} too; both are named where tokens are, so "
                "call one of them something else"
            )
            yield Finding((*here, "name"), text)


@rule()
def _places(draft: Draft) -> Iterator[Finding]:
    """A place has at most one credential of each kind, which are told apart by their form."""
    credentials = draft.items("credentials", CredentialSection)
    for kind in _KINDS:
        yield from distinct_sources(draft, [item for item in credentials if item[1].kind == kind])
    first: dict[tuple[str, str | None], tuple[Location, CredentialSection]] = {}
    for here, each in credentials:
        if each.is_one_place:
            there, other = first.setdefault((folded(each.header or ""), each.cookie), (here, each))
            if each.kind != other.kind:
                yield from _shared(draft, (here, each), (there, other))


def _shared(
    draft: Draft,
    item: tuple[Location, CredentialSection],
    earlier: tuple[Location, CredentialSection],
) -> Iterator[Finding]:
    """How a credential differs from one of another kind at its place, and must not."""
    (here, one), (there, other) = item, earlier
    where = f'"{other.name}" (line {draft.line(there)}) is in the same place'
    if one.header != other.header:
        text = one_to_servers(draft, one.header or "", other.header or "", there)
        yield Finding((*here, "header"), text)
    elif (one.scheme or "").lower() != (other.scheme or "").lower():
        text = f"{where}, and its scheme differs; write the same scheme in both"
        yield Finding((*here, "scheme" if one.scheme else "header"), text)
    elif one.prefix != other.prefix:
        text = f"{where}, and its prefix differs; write the same prefix in both"
        yield Finding((*here, "prefix"), text)
    elif one.exchange_only != other.exchange_only:
        text = f"{where}, and its exchange_only differs; write the same in both"
        yield Finding((*here, "exchange_only" if one.exchange_only else "name"), text)


@rule("trust")
def _trust_is_there(draft: Draft) -> Iterator[Finding]:
    names = [trust.name for _, trust in draft.items("trust", Trust)]
    for here, credential in draft.items("credentials", CredentialSection):
        for index, name in enumerate(credential.trusts):
            if name not in names:
                accepted = format_names(names) or "none, there is no trust entry"
                text = f'no trust entry is called "{name}"; accepted: {accepted}'
                yield Finding((*here, "jwt", "trust", index), text)


@rule("credentials")
def _trust_means_the_same_everywhere(draft: Draft) -> Iterator[Finding]:
    users: dict[str, tuple[Location, CredentialSection]] = {}
    for here, credential in draft.items("credentials", CredentialSection):
        for index, name in enumerate(credential.trusts):
            place = (*here, "jwt", "trust", index)
            there, other = users.setdefault(name, (place, credential))
            if there is place:
                continue
            if other is credential:
                yield Finding(place, f'"{name}" is named twice; leave one out')
            elif key := _difference(credential, other):
                text = (
                    f'"{name}" is named on line {draft.line(there)} too, by "{other.name}", whose '
                    f"{key} differs; whose a token is must not depend on where it stands: write "
                    "the same in both"
                )
                yield Finding(place, text)
    for here, trust in draft.items("trust", Trust):
        if trust.name not in users:
            text = (
                f'no credential takes tokens of "{trust.name}"; name it in the jwt of one, or '
                "leave it out"
            )
            yield Finding((*here, "name"), text)


def _difference(one: CredentialSection, other: CredentialSection) -> str:
    """The first key by which a token would mean more or somebody else; empty for none."""
    if one.subject_prefix != other.subject_prefix:
        return "subject_prefix"
    for name in AttributesSection.model_fields:
        value, another = getattr(one.attributes, name), getattr(other.attributes, name)
        if isinstance(value, tuple):  # a list of names has no order
            value, another = frozenset(value), frozenset(another)
        if value != another:
            return f"attributes.{name}"
    return ""


@rule()
def _one_session(draft: Draft) -> Iterator[Finding]:
    credentials = draft.items("credentials", CredentialSection)
    sessions = [here for here, each in credentials if each.session]
    for here in sessions[1:]:
        text = (
            f"there is a session on line {draft.line(sessions[0])} already; the gateway issues one "
            "kind: leave one out"
        )
        yield Finding((*here, "session"), text)


@rule("credentials")
def _sessions_are_issued_for_others(draft: Draft) -> Iterator[Finding]:
    credentials = draft.items("credentials", CredentialSection)
    names = [each.name for _, each in credentials if each.session is None]
    exchanged: set[str] = set()
    for here, credential in credentials:
        issued_for = credential.session.issued_for if credential.session else ()
        exchanged.update(issued_for)
        for index, name in enumerate(issued_for):
            place = (*here, "session", "issued_for", index)
            if name == credential.name:
                text = (
                    "a session issued for itself would never end; it is renewed by itself: name "
                    "other credentials"
                )
                yield Finding(place, text)
            elif name not in names:
                accepted = format_names(names) or "none, there is no other credential"
                text = f'no credential is called "{name}"; accepted: {accepted}'
                yield Finding(place, text)
    for here, each in credentials:
        if each.exchange_only and each.name not in exchanged and not each.session:
            text = (
                f'no session is issued for "{each.name}", so it is no use at all; name it in '
                "issued_for, or leave exchange_only out"
            )
            yield Finding((*here, "exchange_only"), text)


def _whose(source: Trust | Introspection) -> str:
    """The issuer of subjects, and their claim where it is not ``sub``."""
    if isinstance(source, Introspection):
        issuer = source.issuer or source.url
    else:
        issuer = source.issuer or str(source.template or source.known_issuers[0])
    claim = source.subject_claim
    return issuer if claim == SUB else f"{'.'.join(claim)} of {issuer}"


@rule()
def _subjects_look_alike(draft: Draft) -> Iterator[Finding]:
    """Credentials of several issuers whose subjects have the same prefix."""
    issuers = {trust.name: _whose(trust) for _, trust in draft.items("trust", Trust)}
    owners: dict[str, tuple[str, str]] = {}
    for here, each in draft.items("credentials", CredentialSection):
        if "{iss}" in each.subject_prefix:
            continue
        found = [issuers[name] for name in each.trusts]
        if each.introspection is not None:
            found.append(_whose(each.introspection))
        for issuer in dict.fromkeys(found):
            other, name = owners.setdefault(each.subject_prefix, (issuer, each.name))
            if other != issuer:
                whose = "itself" if name == each.name else f'"{name}"'
                text = (
                    f"its subjects come from {issuer} and those of {whose} from {other}, and "
                    "nothing tells them apart; give each a subject_prefix of its own if one could "
                    "be in both"
                )
                yield Finding((*here, "name"), text)
                break


CREDENTIAL_RULES: Final = (
    _names,
    _places,
    _trust_is_there,
    _trust_means_the_same_everywhere,
    _one_session,
    _sessions_are_issued_for_others,
)
CREDENTIAL_WARNINGS: Final = (_subjects_look_alike,)
