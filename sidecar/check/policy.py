"""What a route asks of a token: all of what it names must hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidecar.check.conditions import Condition
from sidecar.check.patterns import matches_any
from sidecar.check.refusal import Refusal
from sidecar.model import Reason, TokenKind, VerifiedToken

REQUEST_TOKENS = frozenset({TokenKind.REQUEST})


@dataclass(frozen=True, slots=True)
class Requirement:
    """The ``allow`` of a route. What is empty is not asked for.

    ``public`` looks at no credential at all. ``optional`` lets a request without one through, if
    ``callers`` and ``when`` hold for it. ``trusts`` names the trust entries, or the gateway's
    credentials, whose tokens are accepted; empty accepts all.
    """

    public: bool = False
    optional: bool = False
    tokens: frozenset[TokenKind] = REQUEST_TOKENS
    trusts: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    any_role: frozenset[str] = frozenset()
    any_group: frozenset[str] = frozenset()
    callers: tuple[str, ...] = ()
    when: Condition | None = None


def evaluate(
    requirement: Requirement,
    token: VerifiedToken | None,
    caller: str,
    facts: Callable[[], Mapping[str, object]],
) -> Refusal | None:
    """Hold a route's requirement against a token, or against an anonymous request.

    Args:
        requirement: the route's.
        token: the verified token; None on an ``optional`` route without a credential.
        caller: the mTLS principal, empty without one.
        facts: gives the request as conditions see it; asked only where there is a condition.
    """
    if token is not None:
        refusal = _evaluate_token(requirement, token)
        if refusal is not None:
            return refusal
    if requirement.callers and not matches_any(requirement.callers, caller):
        return Refusal(Reason.CALLER_NOT_ALLOWED, f"accepted are: {', '.join(requirement.callers)}")
    if requirement.when is not None:
        held = requirement.when.holds(token.claims if token else {}, facts())
        if not held:
            reason = Reason.CONDITION_FAILED if held is None else Reason.CONDITION_NOT_MET
            return Refusal(reason, requirement.when.expression)
    return None


def _evaluate_token(requirement: Requirement, token: VerifiedToken) -> Refusal | None:
    if token.kind not in requirement.tokens:
        accepted = ", ".join(sorted(kind.value for kind in requirement.tokens))
        return Refusal(
            Reason.TOKEN_KIND_NOT_ACCEPTED,
            f"it is a {token.kind.value} token; accepted: {accepted}",
        )
    if requirement.trusts and token.trust not in requirement.trusts:
        accepted = ", ".join(sorted(requirement.trusts))
        return Refusal(
            Reason.TOKEN_KIND_NOT_ACCEPTED, f"it is from {token.trust}; accepted: {accepted}"
        )
    missing = [scope for scope in requirement.scopes if scope not in token.scopes]
    if missing:
        return Refusal(
            Reason.INSUFFICIENT_SCOPE, f"missing: {' '.join(missing)}", requirement.scopes
        )
    if requirement.any_role and requirement.any_role.isdisjoint(token.roles):
        return Refusal(Reason.MISSING_ROLE, f"one of: {', '.join(sorted(requirement.any_role))}")
    if requirement.any_group and requirement.any_group.isdisjoint(token.groups):
        return Refusal(Reason.MISSING_GROUP, f"one of: {', '.join(sorted(requirement.any_group))}")
    return None
