"""Which credential a text is, where credentials of several kinds share a place."""

from typing import NamedTuple

import pytest

from sidecar.check.extract import BEARER, CookieSource, Credential, HeaderSource, TokenSource
from sidecar.check.refusal import Refusal
from sidecar.gateway.places import Places
from sidecar.gateway.settings import Form
from sidecar.model import Reason

COOKIE = CookieSource("__Host-session")


class Placed(NamedTuple):
    name: str
    source: TokenSource
    form: Form


JWT = Placed("jwt", BEARER, Form.JWT)
OPAQUE = Placed("opaque", HeaderSource("authorization", "BEARER"), Form.OPAQUE)
SESSION = Placed("session", COOKIE, Form.SESSION)
SSO = Placed("sso", COOKIE, Form.OPAQUE)


def found(text: str, *credentials: Placed, accepted: frozenset[str] | None = None) -> str | Refusal:
    """The name of the credential that a text is, sent where the first one stands."""
    names = frozenset(each.name for each in credentials) if accepted is None else accepted
    places = Places(credentials, names)
    result = places.find(Credential(credentials[0].source, text))
    return result if isinstance(result, Refusal) else result.name


@pytest.mark.parametrize("text", ["a.b.c", "..", "a.b.", ".b.c", "a.{.\xff", "Ab==.c/d.+"])
def test_three_segments_are_a_jwt_whatever_is_in_them(text: str) -> None:
    assert found(text, JWT, OPAQUE) == "jwt"


@pytest.mark.parametrize("text", ["", "a", "a.b", ".", "...", "a.b.c.d", "a..b.c.d", "a.b.c.d.e.f"])
def test_any_other_text_is_opaque(text: str) -> None:
    assert found(text, JWT, OPAQUE) == "opaque"


def test_five_segments_are_a_session_where_there_are_sessions() -> None:
    assert found("a..b.c.d", SESSION, SSO) == "session"
    assert found("a", SESSION, SSO) == "sso"


@pytest.mark.parametrize("credential", [JWT, OPAQUE, SESSION])
@pytest.mark.parametrize("text", ["a", "a.b.c", "a..b.c.d"])
def test_a_credential_alone_in_its_place_gets_every_text(text: str, credential: Placed) -> None:
    assert found(text, credential) == credential.name


def test_a_text_in_a_form_that_none_has_there_is_refused_and_not_tried_elsewhere() -> None:
    assert found("a.b.c", SESSION, SSO) == Refusal(
        Reason.MALFORMED_TOKEN,
        "it is a JWT, three segments joined by dots; accepted in this place: a session token, "
        "five segments; opaque",
    )


def test_one_that_is_not_accepted_keeps_its_form() -> None:
    assert found("a.b.c", JWT, OPAQUE, accepted=frozenset({"opaque"})) == Refusal(
        Reason.MALFORMED_TOKEN,
        "it is a JWT, three segments joined by dots; accepted in this place: opaque",
    )
    assert found("a", JWT, OPAQUE, accepted=frozenset({"opaque"})) == "opaque"


def test_a_place_without_an_accepted_credential_is_not_looked_at() -> None:
    places = Places((JWT, SESSION, SSO), {"jwt"})

    assert places.sources == (BEARER,)


def test_a_shared_place_is_looked_at_once_in_the_order_of_the_configuration() -> None:
    places = Places((SSO, JWT, OPAQUE, SESSION), {"sso", "jwt", "opaque", "session"})

    assert places.sources == (COOKIE, BEARER)
