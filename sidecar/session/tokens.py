"""Session tokens: a session's state, encrypted and held by the client, so that replicas keep none.

A token is an encrypted JWT (RFC 7519, ``session+jwt``) whose issuer and audience is the gateway. It
expires after the idle time, unless it is renewed. The session keeps its id, ``sid``, and its end,
the private claim ``session_exp``, in every renewal. Pure except for randomness.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sidecar.check.claims import about, distance
from sidecar.check.patterns import matching
from sidecar.check.refusal import Refusal
from sidecar.errors import SourceFault
from sidecar.jose import jwe
from sidecar.jose.jwe import JweError
from sidecar.jose.strict_json import StrictJsonError, load_object
from sidecar.model import Reason, TokenKind, VerifiedToken
from sidecar.rings.ring import KeyRing
from sidecar.rings.sealing_key import SealingKey
from sidecar.session.settings import SessionTokenSettings

TYPE: Final = "session+jwt"

_LISTS: Final = ("groups", "roles")
_TYPES: Final[Mapping[str, type]] = {
    **dict.fromkeys(("iss", "aud", "sub", "sid", "scope"), str),
    **dict.fromkeys(("iat", "exp", "session_exp"), int),
    **dict.fromkeys(_LISTS, list),
}
# The claims of a session that are not copied from its credential.
OWN_CLAIMS: Final = frozenset({*_TYPES, "kid"})
# Claims that request tokens always copy: the client, and how and when the subject was
# authenticated.
_KEPT: Final = ("client_id", "azp", "auth_time", "acr", "amr")
# 128 random bits: no two sessions share an id.
_RANDOM_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A new token for a client to hold. It expires at ``expires`` (Unix seconds)."""

    text: str = field(repr=False)
    expires: int


class SessionRing(Protocol):
    """Holds sealing keys. They may be read from any thread, and are replaced whole."""

    @property
    def keys(self) -> KeyRing:
        """The keys at this moment."""
        ...


class SessionTokens:
    """Makes, opens and renews the tokens of one configuration with the keys of ``ring``."""

    def __init__(self, settings: SessionTokenSettings, ring: SessionRing) -> None:
        self._settings = settings
        self._maximum_bytes = settings.token_bytes
        self._ring = ring

    def begin(self, identity: VerifiedToken, now: float, *, ends: float | None) -> SessionToken:
        """A token for a new session.

        Args:
            identity: the credential that it is issued for.
            now: Unix seconds.
            ends: when the session ends at the latest, because the credential does; Unix seconds.

        Raises:
            SourceFault: no key can seal it now.
        """
        settings = self._settings
        latest = now + settings.absolute
        source = identity.claims
        claims: dict[str, Any] = {
            name: source[name] for name in (*_KEPT, *settings.claims) if name in source
        }
        claims |= {
            "iss": settings.issuer,
            "aud": settings.issuer,
            "sub": identity.subject,
            "sid": secrets.token_urlsafe(_RANDOM_BYTES),
            "session_exp": int(latest if ends is None else min(latest, ends)),
            # A space would make two scopes of one (RFC 6749 §3.3).
            "scope": " ".join(sorted(scope for scope in identity.scopes if " " not in scope)),
            "groups": sorted(matching(settings.groups, identity.groups)),
            "roles": sorted(matching(settings.roles, identity.roles)),
        }
        return self._seal(claims, self._ring.keys.sealer(now), now)

    def open(self, text: str, digest: bytes, now: float) -> VerifiedToken | Refusal:
        """The session of a token, or why it is refused.

        The claims are the token's own, and the ``kid`` of its header.

        Args:
            text: what the client sent as its token; any text.
            digest: the SHA-256 of its bytes.
            now: Unix seconds.
        """
        # 1. Its size and its form.
        settings = self._settings
        if len(text) > self._maximum_bytes:
            return Refusal(Reason.TOKEN_TOO_LARGE, f"more than {self._maximum_bytes} bytes")
        try:
            sealed = jwe.parse(text, TYPE)

            # 2. It was sealed with a key of this ring; this includes the header.
            key = self._ring.keys.find(sealed.kid, now)
            if not isinstance(key, SealingKey):
                return _invalid("its key is unknown here, or gone")
            payload = jwe.unseal(sealed, key)
        except JweError as fault:
            return _invalid(str(fault))

        # 3. Its claims are those of a session of this gateway.
        claims = _read(payload)
        if isinstance(claims, Refusal):
            return claims
        if claims["iss"] != settings.issuer or claims["aud"] != settings.issuer:
            return _invalid("it was made by another gateway")

        # 4. Its session has not ended.
        refusal = _check_dates(claims, now, settings.leeway)
        if refusal is not None:
            return about(claims, settings.name, refusal)
        claims["kid"] = sealed.kid
        return VerifiedToken(
            trust=settings.name,
            credential=settings.name,
            kind=TokenKind.EXTERNAL,
            issuer=settings.issuer,
            subject=claims["sub"],
            claims=claims,
            scopes=frozenset(claims["scope"].split(" ")) - {""},
            roles=frozenset(claims["roles"]),
            groups=frozenset(claims["groups"]),
            fingerprint=digest[:8].hex(),
        )

    def renewed(self, token: VerifiedToken, now: float) -> SessionToken | None:
        """A new token for the same session, if a renewal is due; otherwise None.

        It is due when the token is ``renew`` seconds old, or another key is active. While no key is
        active, tokens are not renewed.

        Args:
            token: what ``open`` returned.
            now: Unix seconds.
        """
        claims: Mapping[str, Any] = token.claims
        try:
            key = self._ring.keys.sealer(now)
        except SourceFault:
            return None
        if claims["kid"] == key.kid and now < claims["iat"] + self._settings.renew:
            return None
        kept = {name: value for name, value in claims.items() if name != "kid"}
        return self._seal(kept, key, now)

    def _seal(self, claims: dict[str, Any], key: SealingKey, now: float) -> SessionToken:
        expires = min(int(now + self._settings.idle), claims["session_exp"])
        document = {**claims, "iat": int(now), "exp": expires}
        payload = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return SessionToken(jwe.seal(payload, key, TYPE), expires)


def _read(payload: bytes) -> dict[str, Any] | Refusal:
    """The claims, if they have the form in which ``SessionTokens`` writes them."""
    try:
        claims: dict[str, Any] = load_object(payload)
    except StrictJsonError as fault:
        return _invalid(f"its payload {fault}")
    # By exact type, because a bool is an int for isinstance.
    wrong = [name for name, type_ in _TYPES.items() if type(claims.get(name)) is not type_]
    if wrong or [item for name in _LISTS for item in claims[name] if not isinstance(item, str)]:
        return _invalid("its claims are not those of a session")
    return claims


def _check_dates(claims: Mapping[str, Any], now: float, leeway: float) -> Refusal | None:
    # No leeway for the ends: they are limits set by the gateway, not dates of another clock.
    if now >= claims["session_exp"]:
        return Refusal(
            Reason.EXPIRED,
            "the session has come to its end",
            held=distance("session_exp", claims["session_exp"], now),
        )
    if now >= claims["exp"]:
        return Refusal(
            Reason.EXPIRED,
            "the session was idle for too long",
            held=distance("exp", claims["exp"], now),
        )
    if claims["iat"] > now + leeway:
        return Refusal(
            Reason.NOT_YET_VALID,
            "its iat lies in the future",
            held=distance("iat", claims["iat"], now),
        )
    return None


def _invalid(detail: str) -> Refusal:
    return Refusal(Reason.INVALID_SESSION, detail)
