"""The rules of a route, a class for each: conditions on the token and on the caller.

A route has a tuple of them, and all must hold. A rule also describes itself: ``reasons`` are those
it refuses for, ``needs_token`` says that it cannot hold for a request without a token, and
``describe`` is the rule in the words of the configuration.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from sidecar.check.claims import is_date
from sidecar.check.conditions import Condition
from sidecar.check.patterns import matches_any
from sidecar.check.refusal import Refusal
from sidecar.model import Reason, TokenKind, VerifiedToken


class Subject(NamedTuple):
    """What rules are evaluated for.

    ``token`` is None for an anonymous request, ``caller`` the mTLS principal, empty without one,
    ``now`` in Unix seconds. ``facts`` gives the request as conditions see it.
    """

    token: VerifiedToken | None
    caller: str
    now: float
    facts: Callable[[], Mapping[str, object]]


class Rule(Protocol):
    """One rule. It is a value: two that ask for the same are equal."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons for which it refuses."""
        ...

    @property
    def needs_token(self) -> bool:
        """Whether it is about the token; it is skipped for an anonymous request."""
        ...

    @property
    def claims(self) -> tuple[str, ...]:
        """The claims it reads, besides those that scopes, roles and groups are taken from."""
        ...

    def refusal(self, subject: Subject) -> Refusal | None:
        """Why it does not hold; None where it does."""
        ...

    def describe(self) -> str:
        """The rule in the words of the configuration."""
        ...


class NamedTokens(NamedTuple):
    """The tokens of the one trust entry of this kind and name."""

    kind: TokenKind
    trust: str

    def __str__(self) -> str:
        """As the configuration writes it."""
        return f"{self.kind.value}:{self.trust}"


@dataclass(frozen=True, slots=True)
class TokenKinds:
    """The token is of one of these kinds, or of one of these trust entries."""

    kinds: frozenset[TokenKind]
    entries: frozenset[NamedTokens] = frozenset()
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.TOKEN_KIND_NOT_ACCEPTED,)
    needs_token: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        token = _token(subject)
        if token.kind in self.kinds or (token.kind, token.trust) in self.entries:
            return None
        found = NamedTokens(token.kind, token.trust) if self.entries else f"kind {token.kind.value}"
        return Refusal(
            Reason.TOKEN_KIND_NOT_ACCEPTED, f"it is of {found}; accepted: {self._format_accepted()}"
        )

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"tokens: {self._format_accepted()}"

    def _format_accepted(self) -> str:
        kinds = [kind.value for kind in self.kinds]
        return ", ".join(sorted([*kinds, *map(str, self.entries)]))


@dataclass(frozen=True, slots=True)
class Credentials:
    """The token is of one of these credentials of a gateway."""

    names: frozenset[str]
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.TOKEN_KIND_NOT_ACCEPTED,)
    needs_token: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        token = _token(subject)
        if token.credential in self.names:
            return None
        return Refusal(
            Reason.TOKEN_KIND_NOT_ACCEPTED,
            f"it is of {token.credential}; accepted: {_format_names(self.names)}",
        )

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"credentials: {_format_names(self.names)}"


@dataclass(frozen=True, slots=True)
class Scopes:
    """The token has all of these scopes (RFC 6750 §3.1)."""

    scopes: tuple[str, ...]
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.INSUFFICIENT_SCOPE,)
    needs_token: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        held = _token(subject).scopes
        if held.issuperset(self.scopes):
            return None
        missing = [scope for scope in self.scopes if scope not in held]
        return Refusal(
            Reason.INSUFFICIENT_SCOPE,
            f"missing: {' '.join(missing)}",
            challenge=(("scope", " ".join(self.scopes)),),
        )

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"scopes: {', '.join(sorted(self.scopes))}"


@dataclass(frozen=True, slots=True)
class AnyScope:
    """The token has one of these scopes, and besides ``needed``, which ``Scopes`` checks.

    RFC 6750 §3: ``scope`` of the challenge is what a token needs. A client is told the first of
    ``scopes`` alone: with all of them it would ask for more than is needed.
    """

    scopes: tuple[str, ...]
    needed: tuple[str, ...] = ()
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.INSUFFICIENT_SCOPE,)
    needs_token: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        if not _token(subject).scopes.isdisjoint(self.scopes):
            return None
        scope = " ".join(dict.fromkeys((*self.needed, self.scopes[0])))
        return Refusal(
            Reason.INSUFFICIENT_SCOPE,
            f"one of: {', '.join(self.scopes)}",
            challenge=(("scope", scope),),
        )

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"any_scope: {', '.join(sorted(self.scopes))}"


@dataclass(frozen=True, slots=True)
class AnyRole:
    """The token has one of these roles."""

    roles: frozenset[str]
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.MISSING_ROLE,)
    needs_token: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        if not self.roles.isdisjoint(_token(subject).roles):
            return None
        return Refusal(Reason.MISSING_ROLE, f"one of: {_format_names(self.roles)}")

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"any_role: {_format_names(self.roles)}"


@dataclass(frozen=True, slots=True)
class AnyGroup:
    """The token has one of these groups."""

    groups: frozenset[str]
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.MISSING_GROUP,)
    needs_token: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        if not self.groups.isdisjoint(_token(subject).groups):
            return None
        return Refusal(Reason.MISSING_GROUP, f"one of: {_format_names(self.groups)}")

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"any_group: {_format_names(self.groups)}"


@dataclass(frozen=True, slots=True)
class MaxAge:
    """The user was authenticated at most so many seconds ago (RFC 9470 §4, ``auth_time``).

    A token that does not say when is refused, and so is one that says a time far ahead.
    """

    seconds: float
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.INSUFFICIENT_USER_AUTHENTICATION,)
    needs_token: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ("auth_time",)

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        moment = _token(subject).claims.get("auth_time")
        if moment is None:
            detail = "auth_time is missing"
        elif not is_date(moment):
            detail = "auth_time is not a date"
        elif abs(subject.now - moment) <= self.seconds:  # clocks differ: just ahead is recent
            return None
        else:
            detail = f"the user was not authenticated within the last {self.seconds:g} s"
        return Refusal(
            Reason.INSUFFICIENT_USER_AUTHENTICATION,
            detail,
            challenge=(("max_age", f"{self.seconds:.0f}"),),
        )

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"max_age: {self.seconds:g}s"


@dataclass(frozen=True, slots=True)
class Acr:
    """The user was authenticated in one of these classes (RFC 9470 §4, ``acr``)."""

    values: tuple[str, ...]
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.INSUFFICIENT_USER_AUTHENTICATION,)
    needs_token: ClassVar[bool] = True
    claims: ClassVar[tuple[str, ...]] = ("acr",)

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        held = _token(subject).claims.get("acr")
        if held in self.values:
            return None
        problem = "is missing; accepted" if held is None else "is none of"
        return Refusal(
            Reason.INSUFFICIENT_USER_AUTHENTICATION,
            f"acr {problem}: {', '.join(self.values)}",
            challenge=(("acr_values", " ".join(self.values)),),
        )

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"acr: {', '.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Callers:
    """The caller's mTLS principal matches one of these patterns."""

    patterns: tuple[str, ...]
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.CALLER_NOT_ALLOWED,)
    needs_token: ClassVar[bool] = False
    claims: ClassVar[tuple[str, ...]] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        if matches_any(self.patterns, subject.caller):
            return None
        return Refusal(Reason.CALLER_NOT_ALLOWED, f"accepted are: {', '.join(self.patterns)}")

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"callers: {', '.join(sorted(self.patterns))}"


@dataclass(frozen=True, slots=True)
class When:
    """The condition holds. It sees no claims and empty lists in an anonymous request."""

    condition: Condition
    reasons: ClassVar[tuple[Reason, ...]] = (Reason.CONDITION_NOT_MET, Reason.CONDITION_FAILED)
    needs_token: ClassVar[bool] = False
    claims: ClassVar[tuple[str, ...]] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """``Rule.refusal``."""
        held = self.condition.holds(subject.token, subject.facts())
        if held is True:
            return None
        if held is False:
            return Refusal(Reason.CONDITION_NOT_MET, self.condition.expression)
        cause = f"{held}: " if held else ""
        return Refusal(Reason.CONDITION_FAILED, f"{cause}{self.condition.expression}")

    def describe(self) -> str:
        """``Rule.describe``."""
        return f"when: {self.condition.expression}"


def _token(subject: Subject) -> VerifiedToken:
    """The token of a subject; rules that need one are not evaluated without."""
    if subject.token is None:
        raise ValueError("a rule about tokens was asked about an anonymous request")
    return subject.token


def _format_names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
