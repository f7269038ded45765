"""Authenticators: verify the credentials of clients, one for each entry of ``credentials``.

An authenticator is given the text that was found at its source. It answers at once if it can;
an answer that has to be fetched is ``Pending``.
"""

from typing import ClassVar, Protocol

from sidecar.check.claims import invalid
from sidecar.check.extract import TokenSource
from sidecar.check.trace import Trace
from sidecar.check.verifier import Verified, Verifier
from sidecar.gateway.places import Placed
from sidecar.gateway.session_cookies import SessionCookies
from sidecar.gateway.settings import Form
from sidecar.model import Pending, Reason, Step, VerifiedToken
from sidecar.session.introspection import Introspector
from sidecar.session.tokens import SessionTokens
from sidecar.snapshots.keys import KeySnapshot

Identified = Verified


class Authenticator(Placed, Protocol):
    """Verifies one kind of credential, and returns its identity."""

    def identify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Identified | Pending[Identified]:
        """The identity of the credential, or why it is refused.

        Args:
            text: what the client sent; any text.
            digest: the SHA-256 of its bytes.
            keys: the public keys known at this moment.
            now: Unix seconds.
            trace: told what is found at each step.
        """
        ...

    def cookie(self, identified: Identified, now: float) -> str:
        """The ``Set-Cookie`` value for the response to the client; empty for none."""
        ...


class JwtAuthenticator:
    """JWTs of trusted issuers, verified as a sidecar does."""

    form: ClassVar = Form.JWT

    def __init__(self, name: str, source: TokenSource, verifier: Verifier) -> None:
        self.name = name
        self.source = source
        self._verifier = verifier

    def identify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Identified | Pending[Identified]:
        """The verified token (``Authenticator.identify``)."""
        verified = self._verifier.verify(text, digest, keys, now, trace)
        return (
            verified.then(_with_subject)
            if isinstance(verified, Pending)
            else _with_subject(verified, now)
        )

    def cookie(self, identified: Identified, now: float) -> str:
        """Empty: the issuer manages this credential (``Authenticator.cookie``)."""
        del identified, now
        return ""


def _with_subject(verified: Verified, now: float) -> Identified:
    """The result of the verification; a token without a subject is refused."""
    del now
    if isinstance(verified, VerifiedToken) and not verified.subject:
        # A request token must have one (RFC 9068 §2.2), and a prefix alone identifies nobody.
        return invalid("sub", "is missing")
    return verified


class IntrospectionAuthenticator:
    """Opaque sessions, verified by introspection (RFC 7662)."""

    form: ClassVar = Form.OPAQUE

    def __init__(self, name: str, source: TokenSource, introspector: Introspector) -> None:
        self.name = name
        self.source = source
        self._introspector = introspector

    def identify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Identified | Pending[Identified]:
        """The session as its issuer describes it (``Authenticator.identify``)."""
        del keys  # the issuer's answer comes over TLS and is not signed
        if trace:
            trace.note(Step.SESSION, self.name, text)
        return self._introspector.look_up(text, digest, now)

    def cookie(self, identified: Identified, now: float) -> str:
        """Empty: the issuer manages this credential (``Authenticator.cookie``)."""
        del identified, now
        return ""


class SessionAuthenticator:
    """Session tokens of the gateway's own, in ``cookies``."""

    form: ClassVar = Form.SESSION

    def __init__(
        self, name: str, source: TokenSource, tokens: SessionTokens, cookies: SessionCookies
    ) -> None:
        self.name = name
        self.source = source
        self._tokens = tokens
        self.cookies = cookies

    def identify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Identified:
        """The session as it was sealed (``Authenticator.identify``)."""
        del keys  # session tokens are sealed with keys that are not published
        if trace:
            trace.note(Step.SESSION, self.name, text)
        return self._tokens.open(text, digest, now)

    def cookie(self, identified: Identified, now: float) -> str:
        """Renew the cookie of a session in use, and delete that of an expired one.

        A browser that keeps an expired cookie would be refused even on optional routes. A cookie
        that cannot be opened is kept: another replica may have a key that this one has not read.
        """
        if isinstance(identified, VerifiedToken):
            return self.cookies.renewed(identified, now)
        return self.cookies.cleared() if identified.reason is Reason.EXPIRED else ""
