"""Values the files in ``broken`` do not cover."""

import pytest

from sidecar.config import addresses, values


@pytest.mark.parametrize(
    ("text", "expected"), [("200ms", 0.2), ("1.5s", 1.5), ("5m", 300.0), ("24h", 86400.0)]
)
def test_durations_are_seconds(text: str, expected: float) -> None:
    assert values.seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5d", "+5s", "1e3s", 5.0, None, [5]])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        values.seconds(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "true"),
        ([1], "a list"),
        ({}, "a mapping"),
        (1.5, "1.5"),
        ("a\x1bb\n", '"a\\x1bb\\n"'),
        ("x" * 100, f'"{"x" * 57}..."'),
        ("http://us:pa/ss@word@proxy.example:3128", '"...@proxy.example:3128"'),
        ("us:pass@proxy.example", '"...@proxy.example"'),
        ("alice@shop.example", '"alice@shop.example"'),
    ],
)
def test_what_was_found_is_shown_short_and_on_one_line(value: object, shown: str) -> None:
    assert values.format_value(value) == shown


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "[::1]:9464", "unix:/run/a.sock"])
def test_checks_are_answered_on_loopback_or_a_socket(address: str) -> None:
    assert addresses.authz_address(address) == address


@pytest.mark.parametrize("name", ["orders", "Orders.example", "*.example", "127.0.0.1", "[::1]"])
def test_hosts_are_in_lower_case(name: str) -> None:
    assert values.host(name) == name.lower()


@pytest.mark.parametrize("name", ["application/at+JWT", "AT+jwt"])
def test_types_have_one_form(name: str) -> None:
    assert values.token_type(name) == "at+jwt"
