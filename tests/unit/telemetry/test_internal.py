"""What is written down about sessions that are asked for, and what else is refused inside."""

import logging

import pytest

from sidecar.gateway.exchange import Exchanged, IssuedSession
from sidecar.model import Deny, Reason, RequestView
from sidecar.telemetry.decisions import DecisionLog
from sidecar.telemetry.gateway_metrics import GatewayMetrics
from sidecar.telemetry.internal import InternalLog
from sidecar.telemetry.metrics import Metrics
from tests.support.minting import credential

VIEW = RequestView("POST", "/session", "gateway", (("cookie", b"sso=secret"),))
ALICE = credential()
ISSUED = Exchanged("sso", IssuedSession("__Host-session=secret", ALICE, 300.0))


class Written:
    """An internal log with all that it tells."""

    def __init__(self, caplog: pytest.LogCaptureFixture, per_second: float = 20) -> None:
        self._caplog = caplog
        caplog.set_level(logging.INFO, logger="sidecar.check")
        self._metrics = Metrics()
        gateway = GatewayMetrics(self._metrics)
        gateway.expect(["request"], [], ["sso"])
        self.decisions = DecisionLog(
            self._metrics, allows=0.0, per_second=per_second, clock=lambda: 1000.0
        )
        self.log = InternalLog(gateway, self.decisions)

    @property
    def lines(self) -> list[dict[str, object]]:
        standard = vars(logging.makeLogRecord({})).keys() | {"message"}
        return [
            {"event": record.getMessage()}
            | {name: value for name, value in vars(record).items() if name not in standard}
            for record in self._caplog.records
        ]

    def sample(self, metric: str, **labels: str) -> float | None:
        return self._metrics.registry.get_sample_value(metric, labels)


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> Written:
    return Written(caplog)


def test_a_session_that_is_issued_is_a_line_that_says_to_whom(written: Written) -> None:
    written.log.exchanged(VIEW, "request-7", ISSUED, 0.0123)

    assert written.lines == [
        {
            "event": "session",
            "request_id": "request-7",
            "credential": "sso",
            "decision": "issued",
            "duration_ms": 12.3,
            "issuer": "sso",
            "sub": "alice",
            "token": "0123456789abcdef",
            "ends_within_s": 300,
        }
    ]
    assert "secret" not in str(written.lines)
    assert written.sample("sidecar_session_requests_total", credential="sso", result="issued") == 1
    assert written.decisions.recent() == ()


def test_a_session_that_does_not_end_with_its_credential_says_nothing_of_it(
    written: Written,
) -> None:
    written.log.exchanged(VIEW, "request-7", Exchanged("sso", IssuedSession("", ALICE)), 0.1)

    (line,) = written.lines
    assert "ends_within_s" not in line


def test_a_session_that_is_refused_is_told_with_its_reason_everywhere(written: Written) -> None:
    deny = Deny(Reason.INACTIVE_SESSION, fingerprint="feed")

    written.log.exchanged(VIEW, "request-7", Exchanged("sso", deny), 0.1)

    (line,) = written.lines
    assert line == {
        "event": "session",
        "request_id": "request-7",
        "credential": "sso",
        "decision": "deny",
        "duration_ms": 100.0,
        "reason": "inactive_session",
        "status": 401,
        "detail": Reason.INACTIVE_SESSION.sentence,
        "token": "feed",
    }
    counted = {"credential": "sso", "result": "inactive_session"}
    assert written.sample("sidecar_session_requests_total", **counted) == 1
    (recent,) = written.decisions.recent()
    assert (recent.route, recent.reason, recent.request_id) == (
        "POST /session",
        "inactive_session",
        "request-7",
    )
    assert written.decisions.denials() == {"inactive_session": 1}


def test_of_a_credential_that_was_verified_it_says_whose_it_was(written: Written) -> None:
    deny = Deny(Reason.EXPIRED, None, "too late", ALICE.fingerprint, ALICE)

    written.log.exchanged(VIEW, "request-7", Exchanged("sso", deny), 0.1)

    (line,) = written.lines
    assert (line["sub"], line["detail"]) == ("alice", "too late")


def test_whatever_else_is_refused_has_its_reason_everywhere(written: Written) -> None:
    view = VIEW._replace(method="GET", path="/nowhere?token=secret")

    written.log.refused(view, "request-7", Deny(Reason.NO_ROUTE, detail="none"), 404)

    assert written.lines == [
        {
            "event": "internal",
            "request_id": "request-7",
            "method": "GET",
            "path": "/nowhere",
            "decision": "deny",
            "reason": "no_route",
            "status": 404,
            "detail": "none",
        }
    ]
    assert written.sample("sidecar_internal_refusals_total", reason="no_route") == 1
    assert [denial.reason for denial in written.decisions.recent()] == ["no_route"]


def test_nothing_a_client_sends_makes_a_line_long(written: Written) -> None:
    view = VIEW._replace(method="A" * 9000, path="/" + "a" * 9000)

    written.log.refused(view, "request-7", Deny(Reason.NO_ROUTE), 404)

    assert len(str(written.lines)) < 700


@pytest.mark.parametrize("credential_name", ["", "sso"])
def test_every_result_that_there_can_be_is_there_from_the_start(
    written: Written, credential_name: str
) -> None:
    results = {
        "": ("no_credential", "ambiguous_request", "no_route", "internal_error"),
        "sso": ("issued", "inactive_session", "expired", "wrong_audience", "keys_unavailable"),
    }[credential_name]

    for result in results:
        labels = {"credential": credential_name, "result": result}
        assert written.sample("sidecar_session_requests_total", **labels) == 0
    for reason in ("malformed_request", "unexpected_body", "no_route", "keys_unavailable"):
        assert written.sample("sidecar_internal_refusals_total", reason=reason) == 0


def test_a_flood_inside_becomes_no_flood_of_lines_and_hides_no_check(
    caplog: pytest.LogCaptureFixture,
) -> None:
    written = Written(caplog, per_second=5)

    for _ in range(1000):
        written.log.refused(VIEW, "request-7", Deny(Reason.UNEXPECTED_BODY), 413)
    flood = len(written.lines)
    written.decisions.decided(VIEW, "request-7", Deny(Reason.NO_ROUTE), 0.1)

    assert flood <= 7
    assert len(written.lines) == flood + 1
    assert written.sample("sidecar_internal_refusals_total", reason="unexpected_body") == 1000
    assert written.sample("sidecar_log_lines_suppressed_total") == 1000 - flood
