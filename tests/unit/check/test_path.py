import pytest

from sidecar.check.path import canonical, decoded
from sidecar.check.refusal import Refusal
from sidecar.model import Reason


@pytest.mark.parametrize(
    ("spelling", "form"),
    [
        ("/", "/"),
        ("/orders/7", "/orders/7"),
        ("/orders/", "/orders/"),
        ("/orders/7?next=/../admin", "/orders/7"),
        ("/orders?a?b", "/orders"),
        ("/?", "/"),
        ("/%6F%72ders", "/orders"),
        ("/%7euser/a%2Db%5f", "/~user/a-b_"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/a%2520b", "/a%2520b"),
        ("/a%252fb", "/a%252fb"),
        ("/users/%40me", "/users/@me"),
        ("/a%21%24%26%27%28%29%2a%2B%2C%3D%3ab", "/a!$&'()*+,=:b"),
        ("/a%3Fb%23c%5Bd%5D", "/a%3Fb%23c%5Bd%5D"),
        ("/a@b:c!$&'()*+,=d", "/a@b:c!$&'()*+,=d"),
        ("/a[1]", "/a%5B1%5D"),
        ("/a|b^c", "/a%7Cb%5Ec"),
        ('/{a}/`b`/<c>/"d"', "/%7Ba%7D/%60b%60/%3Cc%3E/%22d%22"),
        ("/%41[", "/A%5B"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a../..b/...", "/a../..b/..."),
    ],
)
def test_a_safe_path_has_one_form(spelling: str, form: str) -> None:
    assert canonical(spelling) == form


def test_a_path_of_the_greatest_length_is_safe() -> None:
    longest = "/" + "a" * 8191

    assert canonical(longest) == longest


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "it is missing"),
        ("?a=b", "it is missing"),
        ("/" + "a" * 8192, "longer than 8192 characters"),
        ("*", "it holds a character"),
        ("orders", "it holds a character"),
        ("http://orders.shop.test/orders", "it holds a character"),
        ("/orders#fragment", "it holds a character"),
        ("/a b", "it holds a character"),
        ("/a\\b", "it holds a character"),
        ("/a\x00", "it holds a character"),
        ("/a\n", "it holds a character"),
        ("/café", "it holds a character"),
        ("/a%", "or a bare %"),
        ("/a%2", "or a bare %"),
        ("/a%zz", "or a bare %"),
        ("/a%u002fb", "or a bare %"),
        ("/a%2fb", "an encoded slash or backslash"),
        ("/a%2Fb", "an encoded slash or backslash"),
        ("/a%5cb", "an encoded slash or backslash"),
        ("/a%00", "an encoded control character"),
        ("/a%0d%0a", "an encoded control character"),
        ("/a%1F", "an encoded control character"),
        ("/a%7f", "an encoded control character"),
        ("//a", "an empty segment"),
        ("/a//b", "an empty segment"),
        ("/a//", "an empty segment"),
        ("/.", "a dot segment"),
        ("/a/../b", "a dot segment"),
        ("/a/.", "a dot segment"),
        ("/a/%2e%2E/b", "a dot segment"),
        ("/a/.%2e", "a dot segment"),
        ("/a;v=1", "a semicolon"),
        ("/a%3bv=1", "a semicolon"),
        ("/a/..;/b", "a semicolon"),
        ("/a%ff", "not UTF-8"),
        ("/a%c0%af", "not UTF-8"),
        ("/a%ed%a0%80", "not UTF-8"),
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(path: str, problem: str) -> None:
    refusal = canonical(path)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNSAFE_PATH
    assert problem in refusal.detail


def test_semicolons_are_ordinary_where_the_configuration_says_so() -> None:
    assert canonical("/a;v=1/b%3b", literal_semicolons=True) == "/a;v=1/b;"


def test_a_segment_stands_for_its_decoded_text() -> None:
    assert decoded("a") == "a"
    assert decoded("caf%C3%A9%20%25") == "café %"


@pytest.mark.parametrize(
    ("spelling", "form"),
    [
        ("/a%2Fb", "/a%2Fb"),
        ("/a%2fb%2Fc/d", "/a%2Fb%2Fc/d"),
        ("/%61%2f%62[%20", "/a%2Fb%5B%20"),
        ("/a%2Fb/c.d", "/a%2Fb/c.d"),
        ("/@babel%2fcore", "/@babel%2Fcore"),
        ("/caf%c3%a9%2fa", "/caf%C3%A9%2Fa"),
        ("/a%252Fb", "/a%252Fb"),
        ("/a%25b", "/a%25b"),
    ],
)
def test_an_encoded_slash_inside_a_segment_stays_where_the_caller_decides(
    spelling: str, form: str
) -> None:
    assert canonical(spelling, encoded_slashes=True) == form


MISPLACED = "at the start or end of a segment, beside another, or beside a dot or semicolon"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/%2Fa", MISPLACED),
        ("/a%2F", MISPLACED),
        ("/a%2F/b", MISPLACED),
        ("/a/%2fb", MISPLACED),
        ("/a%2F%2Fb", MISPLACED),
        ("/a%2f%2fb", MISPLACED),
        ("/a%2F.", MISPLACED),
        ("/a%2F..", MISPLACED),
        ("/a%2F..%2Fb", MISPLACED),
        ("/a/..%2Fb", MISPLACED),
        ("/.%2Fb", MISPLACED),
        ("/a%2F%2E%2e%2Fb", MISPLACED),
        ("/a%2F.git", MISPLACED),
        ("/a.%2Fb", MISPLACED),
        ("/a%2F;b", MISPLACED),
        ("/a;%2Fb", MISPLACED),
        ("/a%2F%3bb", MISPLACED),
        ("/a%2Fb%252Fc", "an encoded slash and an encoded percent sign"),
        ("/a%2F%252e%252e%2Fb", "an encoded slash and an encoded percent sign"),
        ("/%25/a%2Fb", "an encoded slash and an encoded percent sign"),
        ("/a%2Fb%5cc", "an encoded slash or backslash"),
        ("/a%5Cb", "an encoded slash or backslash"),
        ("/a%2F%5c", "an encoded slash or backslash"),
        ("/a%%2Fb", "a bare %"),
        ("/a%2%2Fb", "a bare %"),
        ("/a%2Fb%00", "an encoded control character"),
        ("/a%2Fb%ff", "not UTF-8"),
        ("/%C3%2F%A9", "not UTF-8"),
        ("/a%2Fb//c", "an empty segment"),
        ("/a%2Fb/../c", "a dot segment"),
    ],
)
def test_an_encoded_slash_that_another_parser_may_resolve_is_refused(
    path: str, problem: str
) -> None:
    refusal = canonical(path, encoded_slashes=True, literal_semicolons=True)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNSAFE_PATH
    assert problem in refusal.detail
