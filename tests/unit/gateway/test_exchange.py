import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.check.extract import BEARER, TokenSource
from sidecar.gateway.exchange import Exchanged, ExchangeSettings, IssuedSession, SessionExchange
from sidecar.gateway.identities import Identities
from sidecar.gateway.places import Places
from sidecar.gateway.settings import Attributes
from sidecar.keys.lookups import Done, Outcome
from sidecar.model import Deny, KeyQuestion, Reason, RequestView
from sidecar.rings.ring import KeyRing
from sidecar.rings.sealing_key import TIMINGS
from sidecar.shell.waiting import Waiting
from sidecar.snapshots.keys import KeySnapshot
from tests.support.checks import NOW, key_set
from tests.support.gateways import ATTRIBUTES, USUAL_SOURCES, Gateway, partner_token, request
from tests.support.minting import claims_of, credential
from tests.support.tokens import key_for, new_key

SSO = "alice-at-sso"


class Keeper:
    """The public keys, and what a look-up of an unknown one comes to (``VerificationKeys``)."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.outcome = Outcome.ABSENT
        self.brings: KeySnapshot | None = None

    @property
    def snapshot(self) -> KeySnapshot:
        return self._gateway.keys

    def lookup(self, question: KeyQuestion, timeout: float, done: Done) -> None:
        assert (question, timeout) == (KeyQuestion("partner", "stranger"), 0.1)
        if self.brings is not None:
            self._gateway.keys = self.brings
        done(self.outcome)


class Login:
    """A login page's side of the exchange."""

    def __init__(
        self,
        *,
        outlives_credential: bool = False,
        accepted: tuple[str, ...] = ("sso", "mobile"),
        sources: Mapping[str, TokenSource] = USUAL_SOURCES,
    ) -> None:
        self.gateway = Gateway(sources=sources)
        self.keeper = Keeper(self.gateway)
        identities = Identities({"mobile": "partner:"}, ATTRIBUTES)
        settings = ExchangeSettings(identities, outlives_credential=outlives_credential)
        self._exchange = SessionExchange(
            settings,
            Places(self.gateway.authenticators, accepted),
            self.gateway.cookies,
            Waiting(self.keeper, 0.1, lambda: NOW),  # type: ignore[arg-type]  # what is used of it
            clock=lambda: NOW,
        )

    def begin(self, view: RequestView) -> IssuedSession | Deny:
        return self.exchanged(view).outcome

    def exchanged(self, view: RequestView) -> Exchanged:
        return asyncio.run(self._exchange.begin(view))

    def session(self, view: RequestView) -> str:
        issued = self.begin(view)
        assert isinstance(issued, IssuedSession), issued
        name, _, value = issued.cookie.partition(";")[0].partition("=")
        assert name == "__Host-session"
        return value

    def reason(self, view: RequestView) -> Reason:
        denied = self.begin(view)
        assert isinstance(denied, Deny)
        return denied.reason


@pytest.mark.parametrize(
    ("carried", "subject"),
    [({"sso": SSO}, "alice"), ({"bearer": partner_token()}, "partner:bob")],
)
def test_a_credential_buys_a_session_that_buys_request_tokens(
    carried: dict[str, Any], subject: str
) -> None:
    login = Login()

    session = login.session(request(**carried))

    document = claims_of(login.gateway.token(request(f"/customers/{subject}", session=session)))
    assert document["sub"] == subject
    assert document["scope"] == "orders:read"
    assert document["client_id"]


def test_the_issuer_may_take_its_time() -> None:
    login = Login()
    login.gateway.sso.slow = True

    assert login.session(request(sso=SSO))


@pytest.mark.parametrize(
    ("view", "name", "subject"),
    [
        (request(sso=SSO), "sso", "alice"),
        (request(bearer=partner_token()), "mobile", "partner:bob"),
        (request(sso="nobody"), "sso", None),
        (request(sso=""), "", None),
        (request(sso="", bearer=partner_token()), "mobile", "partner:bob"),
        (request(bearer="nonsense"), "mobile", None),
        (request(), "", None),
        (request(sso=SSO, bearer=partner_token()), "", None),
    ],
)
def test_it_is_told_which_credential_was_brought_and_whose_it_is(
    view: RequestView, name: str, subject: str | None
) -> None:
    exchanged = Login().exchanged(view)

    assert exchanged.credential == name
    token = exchanged.outcome.token
    assert (token.subject if token else None) == subject


@pytest.mark.parametrize(("outlives_credential", "expected"), [(False, 100.0), (True, None)])
def test_it_is_told_when_a_session_ends_with_its_credential(
    outlives_credential: bool, expected: float | None
) -> None:
    login = Login(outlives_credential=outlives_credential)
    login.gateway.sso.sessions[SSO] = credential({"exp": NOW + 100})

    issued = login.begin(request(sso=SSO))

    assert isinstance(issued, IssuedSession)
    assert issued.ends_within == expected


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (request(), Reason.NO_CREDENTIAL),
        (request(sso="nobody"), Reason.INACTIVE_SESSION),
        (request(sso=SSO, bearer=partner_token()), Reason.AMBIGUOUS_REQUEST),
        (request(sso=SSO, headers=(("cookie", b"sso_session="),)), Reason.AMBIGUOUS_REQUEST),
        (request(headers=(("cookie", b"a;" * 1024),)), Reason.REQUEST_TOO_LARGE),
        (request(bearer=partner_token(lifetime=-60)), Reason.EXPIRED),
        (request(bearer="nonsense"), Reason.MALFORMED_TOKEN),
    ],
)
def test_a_bad_credential_buys_nothing(view: RequestView, expected: Reason) -> None:
    assert Login().reason(view) is expected


def test_a_session_does_not_buy_another_one() -> None:
    login = Login()

    assert login.reason(request(session=login.session(request(sso=SSO)))) is Reason.NO_CREDENTIAL


def test_one_place_buys_sessions_with_both_kinds() -> None:
    login = Login(sources={**USUAL_SOURCES, "sso": BEARER})

    for text, name in ((SSO, "sso"), (partner_token(), "mobile")):
        assert login.exchanged(request(bearer=text)).credential == name


@pytest.mark.parametrize("text", [partner_token(), partner_token(lifetime=-60), "a.b.c"])
def test_a_jwt_is_not_introspected_where_sessions_are_issued_for_the_other_kind(text: str) -> None:
    login = Login(accepted=("sso",), sources={**USUAL_SOURCES, "sso": BEARER})

    assert login.exchanged(request(bearer=text)).credential == ""
    assert login.reason(request(bearer=text)) is Reason.MALFORMED_TOKEN
    assert login.gateway.sso.asked == 0


def test_a_credential_that_is_not_listed_buys_nothing() -> None:
    assert Login(accepted=("sso",)).reason(request(bearer=partner_token())) is Reason.NO_CREDENTIAL


@pytest.mark.parametrize(
    ("outlives_credential", "expected"), [(False, Reason.EXPIRED), (True, None)]
)
def test_a_session_ends_with_its_credential_unless_it_may_outlive_it(
    outlives_credential: bool, expected: Reason | None
) -> None:
    login = Login(outlives_credential=outlives_credential)
    login.gateway.sso.sessions[SSO] = credential({"exp": NOW + 100})

    session = login.session(request(sso=SSO))

    assert login.gateway.reason(request(session=session), now=NOW + 99) is Reason.AUTHORIZED
    assert login.gateway.reason(request(session=session), now=NOW + 101) is (
        expected or Reason.AUTHORIZED
    )


@pytest.mark.parametrize("lifetime", [-9, 0, 0.5])
def test_a_credential_at_its_end_buys_no_session_that_is_dead_on_arrival(lifetime: float) -> None:
    view = request(bearer=partner_token(lifetime=lifetime))

    assert Login().reason(view) is Reason.EXPIRED
    assert Login(outlives_credential=True).session(view)


def test_a_credential_without_an_end_buys_a_session_of_the_usual_length() -> None:
    login = Login()
    login.gateway.sso.sessions[SSO] = credential()._replace(claims={"sub": "alice"})

    assert login.session(request(sso=SSO))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.ABSENT, Reason.UNKNOWN_KEY),
        (Outcome.UNAVAILABLE, Reason.KEYS_UNAVAILABLE),
        (Outcome.FOUND, Reason.UNKNOWN_KEY),
    ],
)
def test_a_key_nobody_publishes_buys_nothing(outcome: Outcome, expected: Reason) -> None:
    login = Login()
    login.keeper.outcome = outcome

    token = partner_token(new_key("ES256", "stranger"))

    assert login.reason(request(bearer=token)) is expected


def test_a_new_key_is_waited_for() -> None:
    login, stranger = Login(), new_key("ES256", "stranger")
    login.keeper.outcome = Outcome.FOUND
    login.keeper.brings = KeySnapshot({"partner": key_set(key_for("ES256"), stranger)})

    assert login.session(request(bearer=partner_token(stranger)))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(Outcome.UNAVAILABLE, Reason.KEYS_UNAVAILABLE), (Outcome.ABSENT, Reason.UNKNOWN_KEY)],
)
def test_where_there_are_no_keys_they_are_asked_for(outcome: Outcome, expected: Reason) -> None:
    login, stranger = Login(), new_key("ES256", "stranger")
    login.gateway.keys = KeySnapshot()
    login.keeper.outcome = outcome
    assert login.reason(request(bearer=partner_token(stranger))) is expected

    login.keeper.outcome = Outcome.FOUND
    login.keeper.brings = KeySnapshot({"partner": key_set(stranger)})
    assert login.session(request(bearer=partner_token(stranger)))


def test_without_a_key_to_seal_with_there_are_no_new_sessions() -> None:
    login = Login()
    login.gateway.sealing = KeyRing(TIMINGS, ())

    assert login.reason(request(sso=SSO)) is Reason.SIGNING_UNAVAILABLE


def test_a_session_brings_what_its_credential_may_bring_and_keeps_it() -> None:
    login = Login()
    brought = partner_token(roles=["support", "customer"], groups=["staff"], acr="gold")

    session = login.session(request(bearer=brought))

    reloaded = Gateway(attributes={**ATTRIBUTES, "mobile": Attributes()})
    reloaded.sealing = login.gateway.sealing
    document = claims_of(reloaded.token(request(session=session)))
    assert document["roles"] == ["customer"]
    assert document.keys().isdisjoint({"groups", "acr"})


def test_a_session_too_large_for_a_cookie_is_not_begun() -> None:
    login = Login()
    many = frozenset(f"group-{number}" for number in range(1000))
    login.gateway.sso.sessions[SSO] = credential(groups=many)

    assert login.reason(request(sso=SSO)) is Reason.IDENTITY_TOO_LARGE


def test_an_issued_session_is_not_in_its_repr() -> None:
    assert "secret" not in repr(IssuedSession("__Host-session=secret", credential()))
