"""What looks for leaks has to find one."""

import pytest

from tests.support.leaks import Leaks
from tests.support.tokens import claims, key_for, sign

TOKEN = sign(claims(issuer="a", audience="b", subject="c"), key_for("ES256"))
SESSION = "s" * 12 + "0123456789abcdef"


@pytest.mark.parametrize(
    "line",
    [
        f"the cookie was {SESSION}, and it is gone",
        f'{{"cookie": "sso_session={SESSION}"}}',
        f"authorization: Bearer {TOKEN}",
        f"a signature: {TOKEN.rpartition('.')[2]}",
        TOKEN,
    ],
    ids=["in a sentence", "in JSON", "in a header", "a signature", "alone"],
)
def test_a_credential_that_was_sent_is_found_in_what_is_written(line: str) -> None:
    leaks = Leaks()
    leaks.sent(f"Bearer {TOKEN}")
    leaks.sent(f"theme=dark; sso_session={SESSION}")

    leaks.look("the log", line)

    assert leaks.found


def test_a_jwt_is_found_that_nobody_sent() -> None:
    leaks = Leaks()

    leaks.look("the log", f"minted {TOKEN}")

    assert leaks.found


def test_what_is_no_credential_may_be_written() -> None:
    leaks = Leaks()
    leaks.sent(f"Bearer {TOKEN}")

    leaks.look("the log", '{"token": "0123456789abcdef", "route": "orders", "sub": "alice"}')

    assert leaks.found == []
    assert leaks.written
