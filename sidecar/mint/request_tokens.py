"""What a request token says (RFC 9068 §2.2): who, for which services, with which scopes. Pure."""

import secrets
from collections.abc import Mapping
from typing import Final

from sidecar.check.claims import find
from sidecar.check.patterns import matches_any
from sidecar.mint.settings import Grant, RequestTokenSettings
from sidecar.model import VerifiedToken

# 132 random bits in base64url: the jti of a token and the txn of a request never repeat.
_ID_LENGTH: Final = 22
# The bytes of both: drawing them costs a call to the system.
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

    It is never good for more, or for longer, than the credential.

    Args:
        settings: the configuration's.
        grant: what tokens of the route are good for.
        token: the credential.
        actor: who acts for its subject, empty for nobody.
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
        # RFC 8417 §2.2. Never what a client sent: it would name other people's work.
        "txn": drawn[_ID_LENGTH:],
    }
    # RFC 9068 §2.2.3 and §2.2.3.1.
    if scopes := token.scopes & grant.scopes:
        document["scope"] = " ".join(sorted(scopes))
    if token.groups:
        document["groups"] = sorted(token.groups)
    if token.roles:
        document["roles"] = sorted(token.roles)
    # RFC 8693 §4.1. Nobody but who was authenticated here: a service believes the current actor.
    if actor:
        document["act"] = {"sub": actor}
    return document, ends


def _expiry(settings: RequestTokenSettings, source: Mapping[str, object], now: float) -> float:
    ends = source.get("exp")
    latest = now + settings.lifetime
    return min(latest, ends) if isinstance(ends, int | float) else latest


def _client_id(token: VerifiedToken) -> str:
    """RFC 9068 demands one. OpenID providers call it ``azp``, and some say nothing."""
    for name in ("client_id", "azp"):
        found = token.claims.get(name)
        if isinstance(found, str) and found:
            return found
    return token.trust


def _authentication(source: Mapping[str, object]) -> dict[str, object]:
    """When and how the subject was authenticated (RFC 9068 §2.2.1), as far as it is well-formed."""
    found: dict[str, object] = {}
    moment, reference, methods = source.get("auth_time"), source.get("acr"), source.get("amr")
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        found["auth_time"] = moment
    if isinstance(reference, str):
        found["acr"] = reference
    if isinstance(methods, list) and not [each for each in methods if not isinstance(each, str)]:
        found["amr"] = methods
    return found
