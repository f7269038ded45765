"""The credentials a client may bring: where each stands, and whose it is.

Each authenticator is one entry of ``credentials``. It is given the text that was found in its
place, and answers at once where it can; an answer that has to be fetched is ``Pending``.
"""

from typing import Protocol

from sidecar.check.claims import invalid
from sidecar.check.extract import TokenSource
from sidecar.check.trace import Trace
from sidecar.check.verifier import Verified, Verifier
from sidecar.gateway.session_cookies import SessionCookies
from sidecar.model import Pending, Reason, Step, VerifiedToken
from sidecar.session.introspection import Introspector
from sidecar.session.tokens import SessionTokens
from sidecar.snapshots.keys import KeySnapshot

Identified = Verified


class Authenticator(Protocol):
    """Tells whose a credential is."""

    @property
    def name(self) -> str:
        """What the configuration calls the credential."""
        ...

    @property
    def source(self) -> TokenSource:
        """Where in a request it stands."""
        ...

    def identify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Identified | Pending[Identified]:
        """Whose credential it is, or why it is no good.

        Args:
            text: what the client sent; any text.
            digest: the SHA-256 of its bytes.
            keys: the public keys known at this moment.
            now: Unix seconds.
            trace: told what is found at each step.
        """
        ...

    def cookie(self, identified: Identified, now: float) -> str:
        """The ``Set-Cookie`` that goes with the answer about it; empty for none."""
        ...


class JwtAuthenticator:
    """JWTs of trusted issuers, verified as a sidecar does."""

    def __init__(self, name: str, source: TokenSource, verifier: Verifier) -> None:
        self.name = name
        self.source = source
        self._verifier = verifier

    def identify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Identified | Pending[Identified]:
        """The verified token (``Authenticator.identify``)."""
        verified = self._verifier.verify(text, digest, keys, now, trace)
        return verified.then(_named) if isinstance(verified, Pending) else _named(verified, now)

    def cookie(self, identified: Identified, now: float) -> str:
        """None: it is not ours to change (``Authenticator.cookie``)."""
        del identified, now
        return ""


def _named(verified: Verified, now: float) -> Identified:
    """What was verified, if it says who it is about."""
    del now
    if isinstance(verified, VerifiedToken) and not verified.subject:
        # A request token must have one (RFC 9068 §2.2), and a prefix alone would be everybody.
        return invalid("sub", "is missing")
    return verified


class IntrospectionAuthenticator:
    """Opaque sessions, which their issuer is asked about."""

    def __init__(self, name: str, source: TokenSource, introspector: Introspector) -> None:
        self.name = name
        self.source = source
        self._introspector = introspector

    def identify(
        self, text: str, digest: bytes, keys: KeySnapshot, now: float, trace: Trace | None = None
    ) -> Identified | Pending[Identified]:
        """The session as its issuer describes it (``Authenticator.identify``)."""
        del keys  # what its issuer says over TLS needs no signature
        if trace:
            trace.note(Step.SESSION, self.name, text)
        return self._introspector.look_up(text, digest, now)

    def cookie(self, identified: Identified, now: float) -> str:
        """None: it is not ours to change (``Authenticator.cookie``)."""
        del identified, now
        return ""


class SessionAuthenticator:
    """Session tokens of the gateway's own, in ``cookies``."""

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
        del keys  # those of session tokens are published nowhere
        if trace:
            trace.note(Step.SESSION, self.name, text)
        return self._tokens.open(text, digest, now)

    def cookie(self, identified: Identified, now: float) -> str:
        """A session is prolonged while it is used, and taken away when it has come to its end.

        A browser that went on sending it would be refused even where no session is needed. One that
        cannot be opened stays: another replica may have a key that this one does not have yet.
        """
        if isinstance(identified, VerifiedToken):
            return self.cookies.renewed(identified, now)
        return self.cookies.cleared() if identified.reason is Reason.EXPIRED else ""
