"""The client for introspection requests (RFC 7662 §2.1), with a time-out."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sidecar.clients.http import HttpClient, HttpSettings, OversizedAnswer, Response
from sidecar.errors import SourceFault
from sidecar.session.answers import UnusableAnswer
from sidecar.session.client_authentication import ClientAuthenticator
from sidecar.session.settings import IntrospectionSettings, KeyAuthentication

# How long a connection is kept unused, in seconds.
_IDLE: Final = 15.0
_ACCEPT: Final = ("Accept", "application/json")
# Statuses, besides 401, that do not depend on the session: the issuer as a whole is the cause.
_REFUSALS: Final = {
    429: "wants to be asked less often (429)",
    **{status: f"is not in service ({status})" for status in (502, 503, 504)},
}


class IntrospectionClient:
    """Sends introspection requests to one issuer. Belongs to the event loop of its first one."""

    def __init__(self, settings: IntrospectionSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._authenticator = ClientAuthenticator(settings.authentication)
        self._refusals = {401: self._authenticator.refused, **_REFUSALS}
        self._http = HttpClient(_http_settings(settings))
        self._where = self._http.named(settings.url)

    async def ask(self, session: str) -> Response:
        """The issuer's complete answer about a session, within ``timeout`` seconds.

        Raises:
            UnusableAnswer: it is larger than ``answer_bytes``.
            SourceFault: there is none, or the issuer refuses every request, because the client's
                secret is wrong or the issuer is overloaded. The text says which.
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
                f"{self._where} gave no answer within {settings.timeout:g} s"
            ) from fault
        except OversizedAnswer as fault:
            raise UnusableAnswer(str(fault)) from fault
        if response.status in self._refusals:
            raise SourceFault(f"{self._where} {self._refusals[response.status]}")
        return response

    async def close(self) -> None:
        """Close connections."""
        await self._http.close()


def _http_settings(settings: IntrospectionSettings) -> HttpSettings:
    """As many connections as look-ups, reused if a request may be repeated.

    A request with an assertion may not: an issuer accepts each only once (RFC 7523 §3, ``jti``).
    """
    repeatable = not isinstance(settings.authentication, KeyAuthentication)
    return replace(
        settings.http,
        idle=_IDLE if repeatable else 0.0,
        connections=settings.max_lookups,
    )
