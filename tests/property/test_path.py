"""A path has one form, or none at all."""

import re
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from sidecar.check.path import canonical
from sidecar.check.refusal import Refusal

UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]")
# What Envoy, a rule and a service might read differently.
AMBIGUOUS = re.compile(r"//|\\|%2[fF]|%5[cC]|%[01]|%7[fF]|/\.\.?(?=/|$)|[?#\s]|[^!-~]")

characters = st.sampled_from(
    [*"/.;%?#\\ aZ09-_~@:é\0[]|^{", "%2e", "%25", "%2F", "%5c", "%61", "%C3%A9", "%ff"]
)
paths = st.lists(characters, max_size=12).map("".join).map("/".__add__) | st.text()


@given(paths, st.booleans())
def test_the_form_of_a_form_is_itself(path: str, literal: bool) -> None:
    form = canonical(path, literal_semicolons=literal)

    if isinstance(form, str):
        assert canonical(form, literal_semicolons=literal) == form


@given(paths, st.booleans())
def test_a_form_holds_nothing_that_can_be_read_in_two_ways(path: str, literal: bool) -> None:
    form = canonical(path, literal_semicolons=literal)

    if isinstance(form, str):
        assert form.startswith("/")
        assert not AMBIGUOUS.search(form)
        assert literal or not re.search(";|%3[bB]", form)
        assert not any(UNRESERVED.match(chr(int(code, 16))) for code in re.findall("%(..)", form))
        unquote_to_bytes(form).decode()


@given(paths)
def test_an_encoded_slash_stays_only_between_names(path: str) -> None:
    form = canonical(path, encoded_slashes=True)

    if isinstance(form, str):
        assert canonical(form, encoded_slashes=True) == form
        kept = [segment.split("%2F") for segment in form.split("/") if "%2F" in segment]
        # No part is empty or a dot segment, even if it is decoded a second time.
        assert all(part.strip(".") and "%25" not in part for parts in kept for part in parts)
        if not kept:
            assert canonical(path) == form


@given(paths)
def test_a_form_stands_for_what_was_sent(path: str) -> None:
    form = canonical(path)

    if isinstance(form, str):
        sent, _, _ = path.partition("?")
        assert unquote_to_bytes(form) == unquote_to_bytes(sent)


@given(paths, st.text("aZ9-._~"), st.data())
def test_encoding_what_needs_no_encoding_changes_nothing(
    path: str, text: str, data: st.DataObject
) -> None:
    plain = f"{path.partition('?')[0]}/{text}"
    encoded = "".join(
        f"%{ord(character):02x}"
        if UNRESERVED.match(character) and not escaped and data.draw(st.booleans())
        else character
        for character, escaped in with_escapes(plain)
    )

    one, other = canonical(plain), canonical(encoded)
    assert one == other or (isinstance(one, Refusal) and isinstance(other, Refusal))


def with_escapes(path: str) -> list[tuple[str, bool]]:
    """Each character, and whether it stands where an encoding would have its digits."""
    return [
        (character, "%" in path[max(0, index - 2) : index]) for index, character in enumerate(path)
    ]
