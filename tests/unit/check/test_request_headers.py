"""The one value of a header that a condition reads."""

import pytest

from sidecar.check.refusal import Refusal
from sidecar.check.request_headers import read_headers
from sidecar.check.routes import Routed
from sidecar.model import Reason
from tests.support.checks import request, route

NAMES = ("x-scope-orgid", "x-region")
MORE_THAN_ONCE = "x-scope-orgid is there more than once"
NOT_PLAIN = "x-scope-orgid is not printable ASCII, or has a space at an end"


def test_the_declared_headers_are_read_and_no_others() -> None:
    view = request(headers=(("x-scope-orgid", b"acme"), ("accept", b"*/*")))

    assert read_headers(view, NAMES) == {"x-scope-orgid": "acme"}


@pytest.mark.parametrize("value", ["", "a", "a b", 'a;b="c"', "~!", "*", "a%2Cb"])
def test_a_value_is_read_as_it_stands(value: str) -> None:
    view = request(headers=(("x-scope-orgid", value.encode()),))

    assert read_headers(view, NAMES) == {"x-scope-orgid": value}


@pytest.mark.parametrize(
    ("lines", "detail"),
    [
        ([b"a", b"a"], MORE_THAN_ONCE),
        ([b"a", b""], MORE_THAN_ONCE),
        ([b"", b""], MORE_THAN_ONCE),
        ([b"a,b"], MORE_THAN_ONCE),
        ([b","], MORE_THAN_ONCE),
        ([b"\xc3\xbc"], NOT_PLAIN),
        ([b"\xfc"], NOT_PLAIN),
        ([b"a\tb"], NOT_PLAIN),
        ([b"a\0"], NOT_PLAIN),
        ([b"\x7f"], NOT_PLAIN),
        ([b" a"], NOT_PLAIN),
        ([b"a "], NOT_PLAIN),
        ([b" "], NOT_PLAIN),
    ],
)
def test_what_could_be_read_as_two_values_is_ambiguous(lines: list[bytes], detail: str) -> None:
    view = request(headers=tuple(("x-scope-orgid", line) for line in lines))

    refusal = Refusal(Reason.AMBIGUOUS_REQUEST, detail)
    assert read_headers(view, NAMES) == refusal
    routed = Routed(view, route("a", "/a", headers=NAMES), "/a")
    assert routed.ambiguity() == refusal
    assert "headers" not in routed.facts()


def test_a_header_that_is_not_declared_may_be_there_twice() -> None:
    view = request(headers=(("x-scope-orgid", b"a"), ("x-scope-orgid", b"b,c")))

    assert Routed(view, route("a", "/a"), "/a").ambiguity() is None
    assert Routed(view, route("a", "/a", headers=("x-region",)), "/a").ambiguity() is None
