from pathlib import Path

import pytest

from sidecar.model import (
    INSUFFICIENT_SCOPE,
    INSUFFICIENT_USER_AUTHENTICATION,
    INVALID_REQUEST,
    INVALID_TOKEN,
    LATE,
    KeyQuestion,
    Pending,
    Reason,
    RequestView,
    ask,
)

# RFC 6750 §3: what error_description may hold.
CHALLENGE_TEXT = {
    chr(code) for code in (*range(0x20, 0x22), *range(0x23, 0x5C), *range(0x5D, 0x7F))
}
LET_THROUGH = {Reason.PUBLIC, Reason.ANONYMOUS, Reason.AUTHORIZED}
REFUSALS = [reason for reason in Reason if reason not in LET_THROUGH]
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


def test_no_two_reasons_are_one() -> None:
    # Members of equal value would silently become aliases of each other.
    assert len(Reason.__members__) == len(Reason)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.label)
def test_the_sentence_of_a_reason_fits_into_a_challenge(reason: Reason) -> None:
    assert set(reason.sentence) <= CHALLENGE_TEXT
    assert reason.sentence.endswith(".")


@pytest.mark.parametrize("reason", REFUSALS, ids=lambda reason: reason.label)
def test_a_refusal_is_never_a_success(reason: Reason) -> None:
    assert reason.status >= 400


@pytest.mark.parametrize("reason", REFUSALS, ids=lambda reason: reason.label)
def test_an_oauth_error_has_the_status_that_rfc_6750_gives_it(reason: Reason) -> None:
    expected = {
        INVALID_REQUEST: 400,
        INVALID_TOKEN: 401,
        INSUFFICIENT_SCOPE: 403,
        INSUFFICIENT_USER_AUTHENTICATION: 401,
    }
    assert reason.error is None or reason.status == expected[reason.error]


def test_a_challenge_without_a_credential_carries_no_error_code() -> None:
    assert Reason.NO_CREDENTIAL.status == 401
    assert Reason.NO_CREDENTIAL.error is None


def test_the_label_is_the_name_in_lower_case() -> None:
    assert Reason.NO_ROUTE.label == "no_route"


def test_the_step_of_a_reason_says_what_did_not_hold() -> None:
    assert Reason.EXPIRED.step.value == "the claims are valid here and now"


def test_a_request_gives_one_value_for_each_line_of_a_header() -> None:
    request = RequestView("GET", "/", "", (("a", b"1"), ("b", b"2"), ("a", b"3")))

    assert request.values("a") == [b"1", b"3"]
    assert request.values("c") == []


@pytest.mark.parametrize("reason", REFUSALS, ids=lambda reason: reason.label)
def test_the_runbook_says_where_to_look_first(reason: Reason) -> None:
    rows = [line for line in RUNBOOK.read_text().splitlines() if line.startswith("| `")]
    assert len([row for row in rows if f"`{reason.label}`" in row.split(" | ")[0]]) == 1


# What cannot be answered at once.


def length(text: str) -> Pending[int]:
    """How many characters a text has, and those of the answer."""
    question = KeyQuestion("gateway", text)
    return Pending(question, lambda answer, _now: -1 if answer is LATE else len(text + answer))


def test_what_is_made_of_a_result_is_made_when_the_answer_is_there() -> None:
    doubled: Pending[float] = length("abc").then(lambda found, now: 2 * found + now)

    assert doubled.question == KeyQuestion("gateway", "abc")
    assert doubled.resume("de", 0.5) == 10.5
    assert doubled.resume(LATE, 0.5) == -1.5


def test_a_result_may_lead_to_the_next_question() -> None:
    def longer(found: int, _now: float) -> int | Pending[int]:
        return found if found < 0 else length("x" * found)

    both: Pending[int] = length("abc").then(longer)

    second = both.resume("d", 0.0)
    assert isinstance(second, Pending)
    assert second.question == KeyQuestion("gateway", "xxxx")
    assert second.resume("yz", 0.0) == 6
    assert both.resume(LATE, 0.0) == -1


def test_what_is_made_of_a_result_waits_for_its_last_question() -> None:
    both: Pending[int] = length("abc").then(lambda found, _now: length("x" * found))
    text: Pending[str] = both.then(lambda found, _now: f"{found} characters")

    second = text.resume("", 0.0)
    assert isinstance(second, Pending)
    assert second.resume("", 0.0) == "3 characters"


def test_an_answer_is_taken_as_it_is_unless_it_is_late() -> None:
    async def question() -> str:
        return "yes"

    asked = ask(question, late="no")

    assert asked.question is question
    assert asked.resume("yes", 0.0) == "yes"
    assert asked.resume(LATE, 0.0) == "no"
