"""The ``Set-Cookie`` values of session tokens (RFC 6265bis §4.1): to set and to delete one."""

from typing import Final

from sidecar.check.refusal import Refusal
from sidecar.model import Reason
from sidecar.session.settings import SessionTokenSettings
from sidecar.session.tokens import SessionToken

# For this host and TLS only (as the prefix __Host- requires), hidden from scripts, and not sent
# when a page of another site submits a form or loads an image.
_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"


def set_cookie(settings: SessionTokenSettings, token: SessionToken, now: float) -> str | Refusal:
    """The ``Set-Cookie`` value with a token; browsers delete the cookie when the token expires.

    Args:
        settings: the configuration's.
        token: a token that was made under the same settings.
        now: Unix seconds.

    Returns:
        The header's value, or a refusal (403) if the cookie is larger than browsers accept.
    """
    size = len(settings.cookie) + len(token.text)
    if size > settings.max_bytes:
        return Refusal(
            Reason.IDENTITY_TOO_LARGE,
            f"the session's cookie would have {size} bytes, more than {settings.max_bytes}; "
            "session.groups and session.roles may limit what it keeps",
        )
    age = max(0, int(token.expires - now))
    return f"{settings.cookie}={token.text}; {_ATTRIBUTES}; Max-Age={age}"


def clear_cookie(settings: SessionTokenSettings) -> str:
    """The ``Set-Cookie`` value that makes a browser delete its token."""
    return f"{settings.cookie}=; {_ATTRIBUTES}; Max-Age=0"
