import pytest

from sidecar.check.extract import CookieSource, Credential, extract
from sidecar.check.refusal import Refusal
from sidecar.model import Reason
from sidecar.session.cookies import clear_cookie, set_cookie
from sidecar.session.tokens import SessionToken
from tests.support.checks import NOW, request, token_cookies
from tests.support.sessions import IDLE, SETTINGS, Sessions, identity

TOKEN = SessionToken("a.b", int(NOW) + 90)


def test_a_cookie_is_for_this_host_and_for_no_script() -> None:
    assert set_cookie(SETTINGS, TOKEN, NOW) == (
        "__Host-session=a.b; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=90"
    )


@pytest.mark.parametrize(("now", "age"), [(NOW + 0.5, 89), (NOW + 90, 0), (NOW + 1000, 0)])
def test_a_cookie_lives_no_longer_than_its_token(now: float, age: int) -> None:
    cookie = set_cookie(SETTINGS, TOKEN, now)

    assert isinstance(cookie, str)
    assert cookie.endswith(f"; Max-Age={age}")


def test_a_new_sessions_cookie_lives_until_the_session_was_idle_for_too_long() -> None:
    cookie = set_cookie(SETTINGS, Sessions().tokens.begin(identity(), NOW, ends=None), NOW)

    assert isinstance(cookie, str)
    assert cookie.endswith(f"; Max-Age={IDLE:.0f}")


def test_a_cookie_is_taken_away_with_the_attributes_it_was_set_with() -> None:
    assert clear_cookie(SETTINGS) == (
        "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    )


def test_a_cookie_that_browsers_would_drop_is_not_made() -> None:
    room = SETTINGS.max_bytes - len(SETTINGS.cookie)

    assert isinstance(set_cookie(SETTINGS, SessionToken("a" * room, int(NOW)), NOW), str)
    refusal = set_cookie(SETTINGS, SessionToken("a" * (room + 1), int(NOW)), NOW)
    assert refusal == Refusal(
        Reason.IDENTITY_TOO_LARGE,
        "the session's cookie would have 4097 bytes, more than 4096; session.groups and "
        "session.roles may limit what it keeps",
    )


def test_an_identity_of_many_groups_gets_no_cookie() -> None:
    sessions = Sessions()
    groups = frozenset(f"group-{number}" for number in range(500))
    token = sessions.tokens.begin(identity(groups=groups), NOW, ends=None)

    refusal = set_cookie(sessions.settings, token, NOW)

    assert isinstance(refusal, Refusal)
    assert refusal.reason.status == 403
    assert sessions.refused(token.text).reason is Reason.TOKEN_TOO_LARGE


def test_what_was_set_comes_back_as_the_credential() -> None:
    cookie = set_cookie(SETTINGS, TOKEN, NOW)
    assert isinstance(cookie, str)
    source = CookieSource(SETTINGS.cookie)

    view = request(headers=(("cookie", cookie.partition(";")[0].encode()),))

    assert extract(view, (source,), token_cookies(view, source)) == Credential(source, TOKEN.text)
