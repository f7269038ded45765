"""Whatever a client offers, no token among the protocols reaches the service."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.check.refusal import Refusal
from sidecar.check.websocket_protocols import HEADER, offered, without_token
from tests.support.checks import request

PREFIX = b"bearer."
# Pieces of lists, and anything else.
LINES = st.lists(
    st.lists(st.sampled_from([b"bearer.", b"Bearer.", b"a", b",", b" ", b"\t", b'"', b"\xff"]))
    .map(b"".join)
    .filter(lambda line: len(line) < 80)
    | st.binary(max_size=40),
    max_size=4,
)


@given(LINES)
@example([b"bearer.bearer.a"])
@example([b"bearer.", b"a"])
def test_what_goes_on_is_a_list_of_protocols_without_tokens(lines: list[bytes]) -> None:
    view = request(headers=tuple((HEADER, line) for line in lines))

    rest = without_token(view, PREFIX)
    for member in rest.split(", ") if rest else []:
        assert re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", member)
        assert not member.startswith("bearer.")


@given(LINES)
def test_every_token_that_a_server_could_find_is_found_or_told(lines: list[bytes]) -> None:
    view = request(headers=tuple((HEADER, line) for line in lines))

    found = offered(view, PREFIX)
    if isinstance(found, Refusal) or found.tokens or found.misplaced:
        return
    # What is left of the prefix is inside the name of another protocol.
    assert b",".join(lines).count(PREFIX) == b", ".join(found.others).count(PREFIX)
