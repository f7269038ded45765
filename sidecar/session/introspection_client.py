"""The question to a session's issuer (RFC 7662 §2.1), and the answer in time or not at all."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sidecar.clients.http import HttpClient, HttpSettings, OversizedAnswer, Response, redacted_url
from sidecar.errors import SourceFault
from sidecar.session.answers import UnusableAnswer
from sidecar.session.client_authentication import ClientAuthenticator
from sidecar.session.settings import IntrospectionSettings, SecretAuthentication

# How long a connection is kept unused, in seconds.
_IDLE: Final = 15.0
_ACCEPT: Final = ("Accept", "application/json")
# What is wrong with us, or with the issuer as a whole: of any other session it says the same.
_REFUSALS: Final = {
    401: "does not accept us as the client {client}: it knows another secret or key",
    429: "wants to be asked less often (429)",
    **{status: f"is not in service ({status})" for status in (502, 503, 504)},
}


class IntrospectionClient:
    """Asks one issuer. Belongs to the event loop of its first question."""

    def __init__(self, settings: IntrospectionSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._authenticator = ClientAuthenticator(settings.authentication)
        self._http = HttpClient(_http_settings(settings))

    async def ask(self, session: str) -> Response:
        """The issuer's whole answer about a session, within ``timeout`` seconds.

        Raises:
            UnusableAnswer: it says too much about this session.
            SourceFault: it gives none, or would not to any such question: ours is the wrong
                secret, or it is overloaded. The text says which.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(settings.timeout):
                proof = await self._authenticator.prove(self._clock())
                response = await self._http.send(
                    "POST",
                    settings.url,
                    headers=(_ACCEPT, *proof.headers),
                    form={"token": session, "token_type_hint": "access_token", **proof.form},
                )
        except TimeoutError as fault:
            raise SourceFault(
                f"{redacted_url(settings.url)} gave no answer within {settings.timeout:g} s"
            ) from fault
        except OversizedAnswer as fault:
            raise UnusableAnswer(str(fault)) from fault
        if response.status in _REFUSALS:
            why = _REFUSALS[response.status].format(client=settings.authentication.client_id)
            raise SourceFault(f"{redacted_url(settings.url)} {why}")
        return response

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()


def _http_settings(settings: IntrospectionSettings) -> HttpSettings:
    """As many connections as there may be questions, and kept where one may be asked twice.

    An assertion may not: an issuer takes each for one question alone (RFC 7523 §3, ``jti``).
    """
    repeatable = isinstance(settings.authentication, SecretAuthentication)
    return replace(
        settings.http,
        idle=_IDLE if repeatable else 0.0,
        connections=settings.max_lookups,
    )
