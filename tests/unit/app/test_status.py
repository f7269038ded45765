"""The status page stays small, whatever key servers publish."""

from dataclasses import replace

from sidecar.app.status import issuer_status
from sidecar.keys.reports import RefresherStatus

STATUS = RefresherStatus(
    trust="partner",
    source="jwks https://partner.example/keys",
    kids=("a", "b"),
    recalled=False,
    last_success=None,
    last_error=None,
    next_refresh=None,
)


def test_a_few_kids_are_shown_as_they_are() -> None:
    page = issuer_status(STATUS)

    assert page["keys"] == 2
    assert page["kids"] == ["a", "b"]
    assert page["last_error"] is None


def test_of_many_kids_the_first_are_shown() -> None:
    page = issuer_status(replace(STATUS, kids=tuple(f"kid-{number:03}" for number in range(1000))))

    assert page["keys"] == 1000
    assert page["kids"] == [*(f"kid-{number:03}" for number in range(50)), "and 950 more"]


def test_a_long_kid_and_a_long_error_are_shortened() -> None:
    page = issuer_status(replace(STATUS, kids=("k" * 200_000,), last_error="e" * 200_000))

    assert page["kids"] == ["k" * 100]
    assert page["last_error"] == "e" * 1000
