"""The cookie that carries a session token (RFC 6265bis §4.1): set, and taken away."""

from typing import Final

from sidecar.check.refusal import Refusal
from sidecar.model import Reason
from sidecar.session.settings import SessionTokenSettings
from sidecar.session.tokens import SessionToken

# For this host alone, over TLS alone, out of reach of scripts, and not sent along when a page of
# another site makes the browser send a form or load an image. __Host- needs the first two.
_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"


def set_cookie(settings: SessionTokenSettings, token: SessionToken, now: float) -> str | Refusal:
    """The ``Set-Cookie`` that hands a token to a browser, which forgets it when it expires.

    Args:
        settings: the configuration's.
        token: a token that was made under the same settings.
        now: Unix seconds.

    Returns:
        The header's value, or a refusal (403) where browsers would drop the cookie without a word.
    """
    size = len(settings.cookie) + len(token.text)
    if size > settings.max_bytes:
        return Refusal(
            Reason.IDENTITY_TOO_LARGE,
            f"the session's cookie would have {size} bytes, more than {settings.max_bytes}",
        )
    age = max(0, int(token.expires - now))
    return f"{settings.cookie}={token.text}; {_ATTRIBUTES}; Max-Age={age}"


def clear_cookie(settings: SessionTokenSettings) -> str:
    """The ``Set-Cookie`` that makes a browser forget its token."""
    return f"{settings.cookie}=; {_ATTRIBUTES}; Max-Age=0"
