"""Validates the claims of a token whose signature is valid (RFC 7519 §4.1, RFC 9068 §4)."""

from collections.abc import Mapping
from math import isfinite
from typing import Final, NamedTuple, TypeGuard

from sidecar.check.patterns import matches_any
from sidecar.check.refusal import Refusal
from sidecar.check.trust import ClaimPath, RequiredValue, TrustEntry, format_single
from sidecar.model import Reason, VerifiedToken

# The claim that names the subject where nothing else is configured (RFC 7519 §4.1.2).
SUB: Final = ("sub",)
# Why a token is refused that is bound to a key of its holder (``cnf``, RFC 7800 §3.1): without a
# proof of the key, a thief could use it as well.
BOUND: Final = (
    "binds it to a key, and no proof of that key is checked here; it is accepted without one where "
    "accept_bound_tokens: true is written"
)


class SignedToken(NamedTuple):
    """A token with a valid signature by a key of its trust entry; the claims are unchecked."""

    trust: TrustEntry
    claims: Mapping[str, object]
    fingerprint: str


def verify(token: SignedToken, now: float) -> VerifiedToken | Refusal:
    """Check dates, audience, key binding, required values, subject and required claims in order.

    Args:
        token: the token; its signature is valid.
        now: Unix seconds.
    """
    trust, claims = token.trust, token.claims
    if claims.get("exp") is None:
        return invalid("exp", "is missing")
    refusal = check_dates(claims, now, trust.leeway) or check_audience(
        claims, trust.audience_claim, trust.audiences, trust.name
    )
    if refusal is not None:
        return refusal
    if claims.get("cnf") is not None and not trust.accept_bound_tokens:
        return invalid("cnf", BOUND)
    if trust.claim_values and (wrong := first_wrong(claims, trust.claim_values)):
        return _wrong_value(claims, wrong)
    path = trust.subject_claim
    subject = claims.get(path[0], "") if len(path) == 1 else find(claims, path)
    # Most entries accept every subject: then the call is saved, on each check.
    if trust.subjects or not isinstance(subject, str) or not subject:
        subject = _accepted_subject(subject, trust)
        if isinstance(subject, Refusal):
            return subject
    for required in trust.required_claims:
        if find(claims, required) in (None, ""):
            return invalid(".".join(required), "is missing")
    return VerifiedToken(
        trust=trust.name,
        kind=trust.kind,
        issuer=str(claims.get("iss", "")),
        subject=subject,
        claims=claims,
        scopes=scopes_in(find(claims, trust.scope_claim)),
        roles=names_in(find(claims, trust.roles_claim)),
        groups=names_in(find(claims, trust.groups_claim)),
        fingerprint=token.fingerprint,
    )


def find(claims: Mapping[str, object], path: ClaimPath) -> object:
    """The claim at a path of names, one per level of nesting; None where there is none.

    ``claims`` are as JSON gives them: an object is a ``dict``.
    """
    value: object = claims
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def first_wrong(
    claims: Mapping[str, object], required: tuple[RequiredValue, ...]
) -> RequiredValue | None:
    """The first of the required values that the claims do not have; None if they have all."""
    for each in required:
        if not each.accepts(find(claims, each.claim)):
            return each
    return None


def _accepted_subject(subject: object, trust: TrustEntry) -> str | Refusal:
    """The subject, if the entry accepts it; empty where there is none and the entry needs none."""
    path = trust.subject_claim
    if subject in (None, "") and (trust.subjects or path in trust.required_claims):
        reason = Reason.UNTRUSTED_SUBJECT if trust.subjects else Reason.INVALID_CLAIM
        return without_subject(path, trust.name)._replace(reason=reason)
    if not isinstance(subject, str):
        return invalid(".".join(path), "is not a string")
    if trust.subjects and not matches_any(trust.subjects, subject):
        accepted = ", ".join(trust.subjects)
        return Refusal(Reason.UNTRUSTED_SUBJECT, f"subjects of {trust.name} are: {accepted}")
    return subject


def without_subject(path: ClaimPath, name: str) -> Refusal:
    """The refusal of claims that have no subject at ``path``, which ``subject_claim`` of the trust
    entry or credential ``name`` says.
    """
    named = "" if path == SUB else f", and subject_claim of {name} names it"
    return invalid(".".join(path), f"is missing{named}")


def _wrong_value(claims: Mapping[str, object], required: RequiredValue) -> Refusal:
    name, value = ".".join(required.claim), find(claims, required.claim)
    accepted = f"accepted: {', '.join(required.values)}"
    if value is None:
        return invalid(name, f"is missing; {accepted}")
    if not isinstance(value, str | int):
        return invalid(name, f"is not text, a boolean or a whole number; {accepted}")
    refusal = invalid(name, f"{required.difference(value)}; {accepted}")
    return refusal._replace(held=((name, format_single(value)),))


def check_dates(claims: Mapping[str, object], now: float, leeway: float) -> Refusal | None:
    """Check those of ``exp``, ``nbf`` and ``iat`` that are present (RFC 7519 §4.1.4 to §4.1.6).

    ``now`` is in Unix seconds, ``leeway`` in seconds.
    """
    dates: dict[str, float] = {}
    for name in ("exp", "nbf", "iat"):
        if name in claims:
            value = claims[name]
            if not is_date(value):
                return invalid(name, "is not a finite number")
            dates[name] = value
    if "exp" in dates and now >= dates["exp"] + leeway:
        return Refusal(Reason.EXPIRED, held=distance("exp", dates["exp"], now))
    for name in ("nbf", "iat"):
        if name in dates and dates[name] > now + leeway:
            detail = f"its {name} lies in the future"
            return Refusal(Reason.NOT_YET_VALID, detail, held=distance(name, dates[name], now))
    return None


def is_date(value: object) -> TypeGuard[float]:
    """RFC 7519 §2 NumericDate: a JSON number, fractions allowed. True is not a number here."""
    if type(value) is not int and type(value) is not float:
        return False
    try:
        return isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def check_audience(
    claims: Mapping[str, object], path: ClaimPath, accepted: frozenset[str], name: str
) -> Refusal | None:
    """Check that the claim at ``path`` names one of ``accepted`` (RFC 7519 §4.1.3).

    ``name`` is the trust entry or credential that the refusal names.
    """
    audience = find(claims, path)
    if audience is None:
        return invalid(".".join(path), "is missing")
    names = [audience] if isinstance(audience, str) else audience
    if not isinstance(names, list) or set(map(type, names)) - {str}:
        return invalid(".".join(path), "is not a string or a list of strings")
    if accepted.isdisjoint(names):
        return Refusal(
            Reason.WRONG_AUDIENCE,
            f"{name} accepts: {', '.join(sorted(accepted))}",
            held=(("aud", ", ".join(names)),),
        )
    return None


def scopes_in(value: object) -> frozenset[str]:
    """Scopes: words in one string (RFC 6749 §3.3), or a list as some issuers write it."""
    return frozenset(value.split(" ")) - {""} if isinstance(value, str) else names_in(value)


def names_in(value: object) -> frozenset[str]:
    """Roles or groups: a list of strings, or one string. Anything else grants nothing."""
    if isinstance(value, str):
        return frozenset({value}) if value else frozenset()
    if not isinstance(value, list):
        return frozenset()
    if set(map(type, value)) <= {str}:
        return frozenset(value) - {""}
    return frozenset([name for name in value if isinstance(name, str) and name])


def about(
    claims: Mapping[str, object], name: str, refusal: Refusal, subject_claim: ClaimPath = SUB
) -> Refusal:
    """The refusal of authentic claims, with their issuer and subject added.

    Args:
        claims: the claims, from a valid signature or from their issuer's answer.
        name: the trust entry or credential of the issuer.
        refusal: why they are refused.
        subject_claim: the claim with the subject.
    """
    subject = find(claims, subject_claim)
    known = (("sub", subject),) if isinstance(subject, str) else ()
    return refusal._replace(held=(*refusal.held, ("issuer", name), *known))


def distance(name: str, date: float, now: float) -> tuple[tuple[str, str], ...]:
    """How far a date (Unix seconds, like ``now``) is away, as ``Refusal.held`` has it."""
    seconds = f"{abs(date - now):.0f} s"
    return ((name, f"in {seconds}" if date > now else f"{seconds} ago"),)


def invalid(name: str, problem: str) -> Refusal:
    """The refusal of a claim that is missing or not as it has to be."""
    return Refusal(Reason.INVALID_CLAIM, f"{name} {problem}")
