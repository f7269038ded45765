"""What of a request is shown to operators."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry.excerpts import LONGEST, excerpt, path_excerpt

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://www.shop.example", "https://www.shop.example"),
        ("", ""),
        ("a\nb\x1b[2J\u202e", r"a\nb\x1b[2J\u202e"),
        (f"for {JWT}", "for [redacted]"),
        ("Bearer 0123456789", "[redacted]"),
        ("a" * LONGEST, "a" * LONGEST),
        ("a" * (LONGEST + 1), "a" * LONGEST + "..."),
        ("\x00" * LONGEST, r"\x00" * (LONGEST // 4) + "..."),
    ],
)
def test_a_text_is_shown_on_one_line_and_without_tokens(text: str, shown: str) -> None:
    assert excerpt(text) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/orders/17", "/orders/17"),
        (
            "/orders/9b2d7c1e-4a5f-4c3b-8f6e-2d1c0b9a8f7e",
            "/orders/9b2d7c1e-4a5f-4c3b-8f6e-2d1c0b9a8f7e",
        ),
        ("/a?code=secret", "/a"),
        ("/a#code=secret", "/a"),
        ("/a;jsessionid=secret/b", "/a"),
        ("/a%3fcode=secret", "/a"),
        ("/a%3Bjsessionid=secret", "/a"),
        ("/a%23secret", "/a"),
        (f"/login/{JWT}/x", "/login/[redacted]/x"),
        (f"/reset/{'s' * 43}", "/reset/[redacted]"),
        ("/a\n/b", r"/a\n/b"),
        ("", ""),
    ],
)
def test_a_path_is_shown_without_query_and_secrets(path: str, shown: str) -> None:
    assert path_excerpt(path) == shown


@pytest.mark.parametrize("secret", [JWT, "z" * 43])
@pytest.mark.parametrize("before", ["", f"/{'s' * 90}" * 5, f"/{'s' * 40}" * 3])
@pytest.mark.parametrize("after", ["", "/x", "z" * LONGEST, "?code=zzz"])
def test_no_piece_of_a_secret_is_shown_because_it_was_cut(
    secret: str, before: str, after: str
) -> None:
    for length in range(3 * LONGEST):
        path = f"{before}{'/a' * (length // 2)}/{'s' * (length % 2)}{secret}{after}"
        shown = path_excerpt(path)
        assert "eyJ" not in shown
        assert "zzz" not in shown


def test_a_path_that_goes_on_for_long_is_cut_between_two_segments() -> None:
    assert path_excerpt("/a" * 1000) == "/a" * (LONGEST // 2) + "..."
    assert path_excerpt(f"/{'s' * 500}" + "/abc" * 10) == "/[redacted]/abc/abc/..."


@given(st.text())
def test_whatever_comes_is_short_and_printable(text: str) -> None:
    for shown in (excerpt(text), path_excerpt(text)):
        assert shown.isascii()
        assert shown.isprintable()
        assert len(shown) <= LONGEST + len("...")
