import pytest

from sidecar.check.cookies import NO_TOKEN_COOKIES, CookieFinder, TokenCookies
from sidecar.check.refusal import Refusal
from sidecar.model import Reason
from tests.support.checks import request


def found(*lines: bytes, names: tuple[str, ...] = ("token",)) -> TokenCookies:
    """The token cookies of a request with these Cookie lines."""
    view = request(headers=tuple(("cookie", line) for line in lines))
    result = CookieFinder(names, 1000).find(view)
    assert isinstance(result, TokenCookies)
    return result


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"token=abc", b"abc"),
        (b"a=1; token=abc; b=2", b"abc"),
        (b"a=1;token=abc;b=2", b"abc"),
        (b"  token=abc  ", b"abc"),
        (b"a;\t token \t= abc\t;", b" abc"),
        (b'token="a b"', b'"a b"'),
        (b"token==", b"="),
        (b"token=", b""),
        (b"token=\xff", b"\xff"),
    ],
)
def test_a_cookie_is_found_by_its_trimmed_name(line: bytes, value: bytes) -> None:
    assert found(line).values("token") == [value]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"token",
        b"=token",
        b"=token=abc",
        b"Token=abc",
        b"tokens=abc",
        b"xtoken=abc",
        b"to ken=abc",
        b"x=token=abc",
        b'x="token=abc"',
        b"x=a token b",
        b"x=a,tokens=1",
        b"x=/?token=abc&token=d",
    ],
)
def test_no_other_cookie_is_taken_for_it(line: bytes) -> None:
    assert found(line) == NO_TOKEN_COOKIES


# Where Python's http.cookies, Django, or readers of RFC 2109 see a cookie begin.
MISPLACED = [
    *(b"a=1 token=abc", b"a=1\ttoken=abc", b"a=1,token=abc", b"$Version=1, token \t=abc"),
    *(b"\x0ctoken=abc", b"\xa0token=abc", b"\xe2\x80\x80token=abc", b"token\xc2\xa0 =abc"),
]


@pytest.mark.parametrize("cookie", MISPLACED)
def test_a_token_that_only_some_servers_find_is_known_and_goes_no_further(cookie: bytes) -> None:
    alone, behind = found(b"x=1; %s; y=2" % cookie), found(b"token=1;" + cookie, b"y=2")

    assert alone.misplaced == behind.misplaced == frozenset({"token"})
    assert (alone.values("token"), behind.values("token")) == ([], [b"1"])
    assert (alone.others(), behind.others()) == ("", "")


def test_a_token_may_stand_in_no_more_places_than_there_may_be_cookies() -> None:
    view = request(headers=(("cookie", b",token" * 5),))

    assert isinstance(CookieFinder(["token"], 5).find(view), TokenCookies)
    assert isinstance(CookieFinder(["token"], 4).find(view), Refusal)


def test_names_are_literal_and_each_has_its_own_values() -> None:
    cookies = found(b"a.b=1; axb=2; a+=3", b"a.b=4", names=("a.b", "a+"))

    assert cookies.values("a.b") == [b"1", b"4"]
    assert cookies.values("a+") == [b"3"]
    assert cookies.values("axb") == []


@pytest.mark.parametrize(
    ("line", "others"),
    [
        (b"token=abc", ""),
        (b"token=abc; a=1", "a=1"),
        (b"a=1; token=abc", "a=1"),
        (b"a=1;token=abc;b=2", "a=1;b=2"),
        (b"a=1 ;;  token=abc;\tb=2;", "a=1 ;;\tb=2"),
        (b"token=1; a=1; token=2", "a=1"),
    ],
)
def test_a_token_is_cut_out_and_the_rest_stays_as_it_stood(line: bytes, others: str) -> None:
    assert found(line).others() == others


def test_a_header_never_grows_by_taking_a_token_out() -> None:
    line = b"token=;" + b"a;" * 900

    assert len(found(line).others()) <= len(line)


def test_lines_become_one() -> None:
    assert found(b"a=1;token=abc", b"b=2").others() == "a=1; b=2"


@pytest.mark.parametrize("cookie", [b"a=\xff", b"\xc0=1", b"a=\x01", b"a=\x7f", b"a=\xc2\x85"])
def test_a_cookie_that_cannot_be_told_to_envoy_is_left_out(cookie: bytes) -> None:
    assert found(b"x=\xc3\xa9; %s; token=abc;y=2" % cookie).others() == "x=é;y=2"


def test_as_many_cookies_are_looked_at_as_the_limit_says() -> None:
    finder = CookieFinder(["token"], 4)

    within = request(headers=(("cookie", b"a;b"), ("cookie", b"c;token=abc")))
    above = request(headers=(("cookie", b"a;b"), ("cookie", b"c;;token=abc")))
    assert isinstance(finder.find(within), TokenCookies)
    assert finder.find(above) == Refusal(Reason.REQUEST_TOO_LARGE, "it has more than 4 cookies")


def test_cookies_that_carry_no_token_are_not_counted() -> None:
    view = request(headers=(("cookie", b"a;" * 5000),))

    assert CookieFinder([], 4).find(view) == NO_TOKEN_COOKIES
