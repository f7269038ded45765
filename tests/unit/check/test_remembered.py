from sidecar.check.remembered import Remembered, RememberedTokens
from tests.support.checks import GATEWAY, verification_keys
from tests.support.tokens import key_for

(KEY,) = verification_keys(key_for("ES256"))
A, B, C = (Remembered(GATEWAY, KEY, payload) for payload in (b"a", b"b", b"c"))


def test_what_was_added_is_remembered_until_it_is_forgotten() -> None:
    tokens = RememberedTokens(2)
    tokens.add(b"1", A)

    assert tokens.get(b"1") is A
    assert tokens.get(b"2") is None
    tokens.forget(b"1")
    tokens.forget(b"1")
    assert tokens.get(b"1") is None


def test_the_token_not_used_for_longest_makes_room() -> None:
    tokens = RememberedTokens(2)
    tokens.add(b"1", A)
    tokens.add(b"2", B)
    tokens.get(b"1")
    tokens.add(b"3", C)

    assert len(tokens) == 2
    assert tokens.get(b"2") is None
    assert tokens.get(b"1") is A
    assert tokens.get(b"3") is C


def test_adding_a_token_again_takes_no_more_room() -> None:
    tokens = RememberedTokens(2)
    for _ in range(3):
        tokens.add(b"1", A)

    assert len(tokens) == 1


def test_a_limit_of_none_remembers_nothing() -> None:
    tokens = RememberedTokens(0)
    tokens.add(b"1", A)

    assert tokens.get(b"1") is None
