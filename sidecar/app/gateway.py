"""``role: gateway``: connects credentials, signing keys, sessions and the published documents."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from sidecar.app.handover import Handover
from sidecar.app.roles import Instruments, Role, new_context, new_keys
from sidecar.check.verifier import Verifier
from sidecar.config import Configuration
from sidecar.gateway.authenticators import (
    Authenticator,
    IntrospectionAuthenticator,
    JwtAuthenticator,
    SessionAuthenticator,
)
from sidecar.gateway.exchange import Exchanged, ExchangeSettings, SessionExchange
from sidecar.gateway.identities import Identities
from sidecar.gateway.pipeline import GatewayPipeline
from sidecar.gateway.places import Places
from sidecar.gateway.publishing import Document, jwks_document, metadata_document
from sidecar.gateway.session_cookies import SESSION, SessionCookies
from sidecar.gateway.settings import (
    CredentialSettings,
    GatewaySettings,
    IntrospectedCredential,
    JwtCredential,
    SessionCredential,
)
from sidecar.mint.minter import REQUEST, Minter
from sidecar.model import GATEWAY_REASONS, Deny, Reason, RequestView
from sidecar.pages.internal import LARGEST_HEADER, internal_pages
from sidecar.pages.listener import HttpListener
from sidecar.pages.tls import ServerTls
from sidecar.rings import Ring
from sidecar.rings.factory import open_ring, open_sealing_ring
from sidecar.rings.lifecycle import State
from sidecar.rings.ring import next_publication
from sidecar.rings.settings import InDirectory, InMemory, InTransit, RingSettings
from sidecar.session.introspection import Introspector
from sidecar.session.tokens import SessionTokens
from sidecar.shell.waiting import Waiting
from sidecar.telemetry.decisions import DecisionLog
from sidecar.telemetry.gateway_metrics import GatewayMetrics
from sidecar.telemetry.internal import InternalLog

R = TypeVar("R", bound=Ring)

_log = logging.getLogger("sidecar")

# How often rings are polled for their keys and for an active key, in seconds.
_POLL_INTERVAL: Final = 0.2
# How long metadata may be cached, in seconds: it changes only with the configuration.
_METADATA_MAX_AGE: Final = 300


class GatewayRole:
    """At the edge: exchanges the credential of a client for a request token (``Role``).

    ``before`` is the role it replaces: its public keys, rings and cached sessions stay in use where
    their settings are unchanged.
    """

    def __init__(
        self,
        instruments: Instruments,
        metrics: GatewayMetrics,
        configuration: Configuration,
        before: Role | None,
    ) -> None:
        self._configuration = configuration
        self._settings = settings = _settings(configuration)
        self._instruments = instruments
        self._metrics = metrics
        self._handover = before.hand_over() if isinstance(before, GatewayRole) else Handover()
        self._rings: dict[str, Ring] = {}
        # The sets whose next rotation has a known date; Vault does not report one.
        self._rotated: list[str] = []
        self._unstarted: list[tuple[RingSettings, Ring]] = []
        self._starting: list[asyncio.Task[None]] = []
        self._verifiers: dict[frozenset[str], Verifier] = {}

        self._request_ring = self._ring(settings.request_ring, open_ring)
        self._keys = new_keys(configuration, instruments, before)
        authenticators = {each.name: self._authenticator(each) for each in settings.credentials}
        self._exchange = self._new_exchange(authenticators)
        minter = Minter(settings.request_tokens, self._request_ring, metrics)
        pipeline = GatewayPipeline(
            configuration.check, settings, tuple(authenticators.values()), minter
        )
        self.context = new_context(configuration, pipeline, self._keys)
        self._expect()

    async def start(self) -> None:
        """Start to fetch public keys, and to read or create those of the rings (``Role.start``)."""
        self._keys.start()
        for settings, ring in self._unstarted:
            if isinstance(settings.place, InDirectory):
                await ring.start()
            else:  # in the background: a Vault that is down must not delay the start
                name = f"{settings.set} keys"
                self._starting.append(asyncio.create_task(ring.start(), name=name))

    async def first_keys(self, timeout: float) -> None:
        """Wait for the first verification keys and signing keys (``Role.first_keys``).

        If the only signing key is published and not active yet, this waits until it is active.
        Until then the other replicas sign, and this one would refuse.
        """
        await asyncio.gather(
            self._keys.first_keys(timeout), self._started(timeout), self._ring_keys(timeout)
        )
        if self._signs_later():
            _log.info(
                "not ready until its signing key is active", extra={"ring": str(self._request_ring)}
            )
        while self._signs_later():  # noqa: ASYNC110 - a date that is reached sets no event
            await asyncio.sleep(_POLL_INTERVAL)
        # The metrics show the role in use, which is this one from here on.
        self._metrics.watch(
            {name: partial(_states, ring) for name, ring in self._rings.items()},
            {name: partial(_rotation_due, self._rings[name]) for name in self._rotated},
        )

    async def _started(self, timeout: float) -> None:
        """Return when the rings have started, or after ``timeout`` seconds.

        An exception that ended a start is raised: it is a bug.
        """
        if self._starting:
            done, _ = await asyncio.wait(self._starting, timeout=timeout)
            for task in done:
                task.result()

    async def _ring_keys(self, timeout: float) -> None:
        """Return when every ring has keys, or after ``timeout`` seconds.

        A ring that could not be read or created at its start retries in the background.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not all(ring.keys.keys for ring in self._rings.values()):  # noqa: ASYNC110 - rings set no event
                    await asyncio.sleep(_POLL_INTERVAL)

    def _signs_later(self) -> bool:
        states = self._request_ring.keys.states(time.time())
        return State.PUBLISHED in states and State.ACTIVE not in states

    async def stop(self) -> None:
        """Stop everything that the next role does not take over (``Role.stop``)."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await self._keys.stop()
        await self._handover.release()

    def fixed_but_changed(self, configuration: Configuration) -> list[str]:
        """The issuer, the internal TLS files, and a ring in memory (``Role.fixed_but_changed``).

        New keys in memory would sign before the verifiers have fetched them.
        """
        old, new = self._settings, configuration.gateway
        if new is None:
            return ["role"]
        rings = old.request_ring, new.request_ring
        fixed = {
            "issuer": old.issuer == new.issuer,
            "listen.internal_tls": old.internal_tls == new.internal_tls,
            "request_tokens of an ephemeral ring": rings[0] == rings[1]
            or not isinstance(new.request_ring.place, InMemory),
        }
        return [name for name, same in fixed.items() if not same]

    def hand_over(self) -> Handover:
        """What the role of the next configuration takes over."""
        return Handover(self._handover)

    def status(self) -> dict[str, object]:
        """The credentials and the rings (``Role.status``)."""
        return {
            "credentials": [each.name for each in self._settings.credentials],
            "remembered_tokens": sum(each.remembered_tokens for each in self._verifiers.values()),
            "signing_keys": {name: _ring_status(ring) for name, ring in self._rings.items()},
        }

    @property
    def challenge(self) -> tuple[tuple[str, str], ...]:
        """The parameters of every challenge."""
        return self.context.challenge

    def jwks(self) -> Document | None:
        """The public keys of request tokens; None as long as there are none."""
        ring = self._request_ring
        document = ring.jwks(time.time())
        return jwks_document(document, ring.max_age()) if document["keys"] else None

    def metadata(self) -> Document:
        """The gateway as an authorization server (RFC 8414)."""
        return metadata_document(self._settings.issuer, _METADATA_MAX_AGE)

    async def begin_session(self, request: RequestView) -> Exchanged:
        """A session in exchange for the request's credential, where there are sessions."""
        if self._exchange is None:
            detail = "no credential is a session of this gateway's"
            return Exchanged("", Deny(Reason.NO_ROUTE, detail=detail))
        return await self._exchange.begin(request)

    def internal_log(self, decisions: DecisionLog) -> InternalLog:
        """The observer of the internal listener; its metrics live as long as the process."""
        return InternalLog(self._metrics, decisions)

    def _ring(self, settings: RingSettings, open_it: Callable[[RingSettings], R]) -> R:
        name = f"ring {settings.set}"
        ring, new = self._handover.take(name, settings, partial(open_it, settings), _stop)
        if new:
            self._unstarted.append((settings, ring))
        self._rings[settings.set] = ring
        if not isinstance(settings.place, InTransit):
            self._rotated.append(settings.set)
        return ring

    def _authenticator(self, credential: CredentialSettings) -> Authenticator:
        match credential:
            case JwtCredential(name, source, trusts):
                return JwtAuthenticator(name, source, self._verifier(trusts))
            case IntrospectedCredential(name, source, asked):
                introspector, _ = self._handover.take(
                    f"sessions {name}",
                    asked,
                    partial(Introspector, asked, self._metrics),
                    Introspector.close,
                )
                return IntrospectionAuthenticator(name, source, introspector)
            case SessionCredential():
                return self._sessions(credential)

    def _verifier(self, trusts: tuple[str, ...]) -> Verifier:
        """The verifier of these trust entries: one for all places, which remembers a token once."""
        names = frozenset(trusts)
        if (before := self._verifiers.get(names)) is not None:
            return before
        check = self._configuration.check
        verifier = Verifier(
            [entry for entry in check.trust if entry.name in names],
            self._instruments.metrics,
            token_bytes=check.token_bytes,
            token_values=check.token_values,
            remembered_tokens=check.remembered_tokens,
        )
        self._verifiers[names] = verifier
        return verifier

    def _sessions(self, credential: SessionCredential) -> SessionAuthenticator:
        ring = self._ring(credential.ring, open_sealing_ring)
        tokens = SessionTokens(credential.tokens, ring)
        cookies = SessionCookies(credential.tokens, tokens, self._metrics)
        return SessionAuthenticator(credential.name, credential.source, tokens, cookies)

    def _new_exchange(self, authenticators: Mapping[str, Authenticator]) -> SessionExchange | None:
        """The session exchange; a configuration has at most one credential with own sessions."""
        for credential in self._settings.credentials:
            authenticator = authenticators[credential.name]
            if isinstance(credential, SessionCredential) and isinstance(
                authenticator, SessionAuthenticator
            ):
                settings = ExchangeSettings(
                    Identities(self._settings.subject_prefixes, self._settings.attributes),
                    credential.outlives_credential,
                    self._configuration.check.cookies,
                )
                places = Places(authenticators.values(), credential.issued_for)
                waiting = Waiting(self._keys, self._configuration.key_wait)
                return SessionExchange(settings, places, authenticator.cookies, waiting)
        return None

    def _expect(self) -> None:
        """Create every metric series that can occur, so that it is exported as zero."""
        check = self._configuration.check
        self._instruments.metrics.expect(
            [entry.name for entry in check.trust],
            check.routes,
            shadow=False,
            further=GATEWAY_REASONS,
        )
        introspected = [
            each.name
            for each in self._settings.credentials
            if isinstance(each, IntrospectedCredential)
        ]
        kinds = [REQUEST, SESSION] if self._exchange else [REQUEST]
        exchanged = [
            name
            for each in self._settings.credentials
            if isinstance(each, SessionCredential)
            for name in each.issued_for
        ]
        self._metrics.expect(kinds, introspected, exchanged)


def internal_listener(
    configuration: Configuration, current: Callable[[], Role], decisions: DecisionLog
) -> HttpListener:
    """The internal listener: serves the JWKS and the metadata, and begins sessions.

    Args:
        configuration: a gateway's.
        current: returns the role in use when a page is requested.
        decisions: records the sessions that begin and the refusals.

    Raises:
        ListenFault: the certificate cannot be used.
    """

    def gateway() -> GatewayRole:
        role = current()
        assert isinstance(role, GatewayRole)  # noqa: S101 - a reload does not change the role
        return role

    settings = _settings(configuration)
    observer = gateway().internal_log(decisions)
    pages = internal_pages(settings.issuer, gateway, observer)
    files = settings.internal_tls
    tls = ServerTls(files.certificate, files.private_key) if files else None
    assert configuration.listen.internal is not None  # noqa: S101 - its model has a default
    return HttpListener(
        *configuration.listen.internal, pages, tls=tls, largest_header=LARGEST_HEADER
    )


def _settings(configuration: Configuration) -> GatewaySettings:
    assert configuration.gateway is not None  # noqa: S101 - the role says so
    return configuration.gateway


async def _stop(ring: Ring) -> None:
    await ring.stop()


def _states(ring: Ring) -> tuple[State, ...]:
    return ring.keys.states(time.time())


def _rotation_due(ring: Ring) -> float:
    keys = ring.keys
    return next_publication(keys) if keys.keys else 0.0


def _ring_status(ring: Ring) -> dict[str, object]:
    keys, now = ring.keys, time.time()
    return {
        "source": str(ring),
        "last_error": ring.problem,
        "keys": {
            key.key.kid: state.value for key, state in zip(keys.keys, keys.states(now), strict=True)
        },
    }
