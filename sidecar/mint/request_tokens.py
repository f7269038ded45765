"""The claims of a request token (RFC 9068 §2.2). Pure."""

import secrets
from collections.abc import Mapping
from typing import Final

from sidecar.check.claims import find
from sidecar.check.patterns import matches_any, matching
from sidecar.mint.settings import Grant, RequestTokenSettings
from sidecar.model import VerifiedToken

# 132 random bits in base64url each, so that the jti and txn are unique.
_ID_LENGTH: Final = 22
# The bytes of both, generated in one system call.
_RANDOM_BYTES: Final = 33


def actor(settings: RequestTokenSettings, token: VerifiedToken, principal: str) -> str:
    """The workload that acts for the token's subject; empty when the subject acts for itself.

    Args:
        settings: the configuration's.
        token: the credential.
        principal: the caller's mTLS identity, empty without one.
    """
    if not principal or principal == token.subject:
        return ""
    return principal if matches_any(settings.actors, principal) else ""


def claims(
    settings: RequestTokenSettings, grant: Grant, token: VerifiedToken, actor: str, now: float
) -> tuple[dict[str, object], int]:
    """The claims of a new token and its end, in Unix seconds.

    It never grants more, or lives longer, than the credential.

    Args:
        settings: the configuration's.
        grant: the audiences of the route's tokens, and what they may carry.
        token: the credential.
        actor: the workload that acts for its subject, empty for none.
        now: Unix seconds.
    """
    source = token.claims
    drawn = secrets.token_urlsafe(_RANDOM_BYTES)
    ends = int(_expiry(settings, source, now))
    document = {
        name: value for name, path in settings.claims if (value := find(source, path)) is not None
    }
    document |= _authentication(source)
    document |= {
        "iss": settings.issuer,
        "sub": token.subject,
        "aud": list(grant.audiences),
        "client_id": _client_id(token),
        "iat": int(now),
        "exp": ends,
        "jti": drawn[:_ID_LENGTH],
        # RFC 8417 §2.2. Never from the client, which could name the transaction of another.
        "txn": drawn[_ID_LENGTH:],
    }
    # RFC 9068 §2.2.3 and §2.2.3.1.
    if scopes := token.scopes & grant.scopes:
        document["scope"] = " ".join(sorted(scopes))
    if token.groups and (groups := matching(grant.groups, token.groups)):
        document["groups"] = sorted(groups)
    if token.roles and (roles := matching(grant.roles, token.roles)):
        document["roles"] = sorted(roles)
    # RFC 8693 §4.1. Only the caller that was authenticated here: services trust the current actor.
    if actor:
        document["act"] = {"sub": actor}
    return document, ends


def _expiry(settings: RequestTokenSettings, source: Mapping[str, object], now: float) -> float:
    ends = source.get("exp")
    latest = now + settings.lifetime
    return min(latest, ends) if isinstance(ends, int | float) else latest


def _client_id(token: VerifiedToken) -> str:
    """The ``client_id``, which RFC 9068 requires; or ``azp``, or the name of the credential."""
    for name in ("client_id", "azp"):
        found = token.claims.get(name)
        if isinstance(found, str) and found:
            return found
    return token.trust


def _authentication(source: Mapping[str, object]) -> dict[str, object]:
    """The well-formed claims about the subject's authentication (RFC 9068 §2.2.1)."""
    found: dict[str, object] = {}
    moment, reference, methods = source.get("auth_time"), source.get("acr"), source.get("amr")
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        found["auth_time"] = moment
    if isinstance(reference, str):
        found["acr"] = reference
    if isinstance(methods, list) and not [each for each in methods if not isinstance(each, str)]:
        found["amr"] = methods
    return found
