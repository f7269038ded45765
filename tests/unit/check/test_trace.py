"""What a check tells a trace: every step it takes, and nothing of those it does not reach."""

import pytest

from sidecar.model import Allow, Deny, Pending, Reason, RequestView, Step
from sidecar.snapshots.keys import KeySnapshot
from tests.support.checks import NOW, Service, request, snapshot, token
from tests.support.tokens import key_for, new_key, resigned

REQUEST = (Step.PATH, Step.ROUTE)
PARSED = (*REQUEST, Step.CREDENTIAL, Step.PARSE)
VERIFIED = (*PARSED, Step.TRUST, Step.KEY, Step.SIGNATURE, Step.CLAIMS)
OTHER_KEY = new_key("ES256", "other")


class Steps:
    """The steps that were noted, in their order."""

    def __init__(self) -> None:
        self.taken: list[Step] = []

    def note(self, step: Step, *found: object) -> None:
        assert found
        self.taken.append(step)


@pytest.mark.parametrize(
    ("view", "reason", "taken"),
    [
        (request(path="//"), Reason.UNSAFE_PATH, (Step.PATH,)),
        (request(method="get"), Reason.INVALID_METHOD, REQUEST),
        (request(path="/nowhere"), Reason.NO_ROUTE, REQUEST),
        (request(path="/healthz"), Reason.PUBLIC, REQUEST),
        (request("a, b"), Reason.AMBIGUOUS_REQUEST, REQUEST),
        (request(), Reason.NO_CREDENTIAL, (*REQUEST, Step.CREDENTIAL)),
        (
            request(path="/catalogue/toys"),
            Reason.ANONYMOUS,
            (*REQUEST, Step.CREDENTIAL, Step.POLICY),
        ),
        (request("nonsense"), Reason.MALFORMED_TOKEN, PARSED),
        (request(token(issuer="else")), Reason.UNTRUSTED_ISSUER, (*PARSED, Step.TRUST)),
        (request(resigned(token(), bytes(64))), Reason.BAD_SIGNATURE, VERIFIED[:-1]),
        (request(token(lifetime=-60)), Reason.EXPIRED, VERIFIED),
        (
            request(token(), path="/staff"),
            Reason.MISSING_ROLE,
            (*VERIFIED, Step.POLICY),
        ),
        (request(token()), Reason.AUTHORIZED, (*VERIFIED, Step.POLICY, Step.IDENTITY)),
    ],
    ids=lambda value: value.label if isinstance(value, Reason) else "",
)
def test_each_step_that_is_taken_is_noted(
    view: RequestView, reason: Reason, taken: tuple[Step, ...]
) -> None:
    service, steps = Service(), Steps()

    decision = service.pipeline.check(view, service.keys, NOW, steps)

    assert isinstance(decision, Allow | Deny)
    assert decision.reason is reason
    assert tuple(steps.taken) == taken
    assert decision == Service().check(view)


def test_a_key_that_is_looked_for_is_noted_again_with_what_was_found() -> None:
    steps = Steps()
    pipeline = Service().pipeline
    pending = pipeline.check(request(token(OTHER_KEY)), KeySnapshot(), NOW, steps)
    assert isinstance(pending, Pending)
    assert tuple(steps.taken) == (*PARSED, Step.TRUST, Step.KEY)

    steps.taken.clear()
    pending.resume(snapshot(OTHER_KEY), NOW)
    assert steps.taken[:4] == [Step.PARSE, Step.TRUST, Step.KEY, Step.SIGNATURE]


def test_of_a_token_seen_before_only_the_signature_is_known_already() -> None:
    service, steps = Service(), Steps()
    view = request(token(key_for("ES256")))
    service.allow(view)

    service.pipeline.check(view, service.keys, NOW, steps)

    assert steps.taken[3:] == [Step.SIGNATURE, Step.CLAIMS, Step.POLICY, Step.IDENTITY]
