"""What is written down about decisions: one line at most, no flood, no secret."""

import logging

import pytest

from sidecar.model import (
    Allow,
    Decision,
    Deny,
    HeaderChanges,
    Reason,
    RequestView,
    TokenKind,
    VerifiedToken,
)
from sidecar.telemetry.decisions import RECENT, DecisionLog
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.refreshes import RefreshLog

REQUEST = RequestView("GET", "/path?secret", "host", ())
TOKEN = VerifiedToken(
    trust="gateway",
    kind=TokenKind.REQUEST,
    issuer="https://gateway.shop.internal",
    subject="alice",
    claims={"email": "secret"},
    scopes=frozenset(),
    roles=frozenset(),
    groups=frozenset(),
    fingerprint="0123456789abcdef",
)
ALLOW = Allow(Reason.AUTHORIZED, "read", HeaderChanges((("x-user", "secret"),)), TOKEN)
DENY = Deny(Reason.INSUFFICIENT_SCOPE, "read", "missing: orders:write", TOKEN.fingerprint, TOKEN)


def decision_log(allows: float = 0.0, per_second: float = 20) -> DecisionLog:
    return DecisionLog(Metrics(), allows=allows, per_second=per_second, clock=lambda: 1000.0)


def written(
    caplog: pytest.LogCaptureFixture,
    log: DecisionLog,
    decision: Decision,
    *,
    times: int = 1,
    level: int = logging.INFO,
) -> list[dict[str, object]]:
    standard = vars(logging.makeLogRecord({})).keys() | {"message"}
    with caplog.at_level(level, logger="sidecar.check"):
        for _ in range(times):
            log.decided(REQUEST, "request-7", decision, 0.0002)
    return [
        {key: value for key, value in vars(record).items() if key not in standard}
        for record in caplog.records
    ]


def test_a_denial_is_one_line_with_what_on_call_asks_for(caplog: pytest.LogCaptureFixture) -> None:
    assert written(caplog, decision_log(), DENY) == [
        {
            "request_id": "request-7",
            "route": "read",
            "decision": "deny",
            "reason": "insufficient_scope",
            "duration_ms": 0.2,
            "status": 403,
            "detail": "missing: orders:write",
            "token": "0123456789abcdef",
            "issuer": "gateway",
            "iss": "https://gateway.shop.internal",
            "sub": "alice",
        }
    ]


def test_a_token_at_a_gateway_is_written_with_its_credential(
    caplog: pytest.LogCaptureFixture,
) -> None:
    denial = DENY._replace(token=TOKEN._replace(credential="cookie"))

    (line,) = written(caplog, decision_log(), denial)
    assert (line["issuer"], line["credential"]) == ("gateway", "cookie")


def test_a_denial_of_an_unverified_token_names_it_by_its_fingerprint_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (line,) = written(caplog, decision_log(), Deny(Reason.EXPIRED, "read", "", "feed"))
    assert line["token"] == "feed"
    assert "sub" not in line
    assert line["detail"] == Reason.EXPIRED.sentence


def test_a_denial_in_shadow_mode_is_written_as_one_that_was_not_carried_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shadowed = Allow(DENY.reason, DENY.route, HeaderChanges(), TOKEN, would_deny=DENY)
    (line,) = written(caplog, decision_log(), shadowed)
    assert (line["decision"], line["status"]) == ("would_deny", 403)


def test_a_denial_without_a_route_has_the_method_and_the_path_without_its_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = decision_log()
    (line,) = written(caplog, log, Deny(Reason.NO_ROUTE))

    assert (line["method"], line["path"]) == ("GET", "/path")
    assert log.recent()[0].held == {"method": "GET", "path": "/path"}


def test_a_denial_of_a_route_has_what_was_held(caplog: pytest.LogCaptureFixture) -> None:
    log = decision_log()
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    held = (("aud", "stock"), ("issuer", "gateway"), ("sub", "alice"), ("origin", token))
    (line,) = written(caplog, log, Deny(Reason.WRONG_AUDIENCE, "read", held=held))

    shown = {"aud": "stock", "issuer": "gateway", "sub": "alice", "origin": "[redacted]"}
    assert {name: line[name] for name in shown} == shown
    assert "path" not in line
    assert log.recent()[0].held == shown


@pytest.mark.parametrize(
    ("reason", "held"),
    [
        (Reason.CALLER_NOT_ALLOWED, {"caller": "spiffe://shop/a"}),
        (Reason.MISSING_ROLE, {"roles": "clerk, guest"}),
        (Reason.MISSING_GROUP, {"groups": "berlin"}),
    ],
)
def test_a_rule_that_does_not_hold_has_what_it_was_held_against(
    reason: Reason, held: dict[str, str]
) -> None:
    log = decision_log()
    view = REQUEST._replace(principal="spiffe://shop/a")
    token = TOKEN._replace(roles=frozenset({"guest", "clerk"}), groups=frozenset({"berlin"}))
    log.decided(view, "request-7", Deny(reason, "read", token=token), 0.1)

    assert log.recent()[0].held == held


def test_allows_are_written_at_debug_alone(caplog: pytest.LogCaptureFixture) -> None:
    log = decision_log()
    assert written(caplog, log, ALLOW) == []
    (line,) = written(caplog, log, ALLOW, level=logging.DEBUG)
    assert (line["decision"], line["sub"]) == ("allow", "alice")


def test_allows_can_be_sampled(caplog: pytest.LogCaptureFixture) -> None:
    assert len(written(caplog, decision_log(allows=1.0), ALLOW, times=3)) == 3


def test_a_flood_of_denials_does_not_become_a_flood_of_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = decision_log(per_second=5)
    assert len(written(caplog, log, DENY, times=1000)) <= 7
    assert log.denials() == {"insufficient_scope": 1000}
    assert len(log.recent()) == RECENT


def test_the_status_page_has_the_latest_denials_first() -> None:
    log = decision_log()
    log.decided(REQUEST, "request-7", ALLOW, 0.1)
    log.decided(REQUEST, "request-7", DENY, 0.1)
    log.decided(REQUEST, "request-7", Deny(Reason.NO_ROUTE), 0.1)
    assert [denial.reason for denial in log.recent()] == ["no_route", "insufficient_scope"]
    assert log.recent()[0].route == ""


def test_a_failing_source_is_written_down_once_and_when_it_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = RefreshLog(Metrics())
    with caplog.at_level(logging.INFO, logger="sidecar.keys"):
        for problem in ("away", "away", "not JSON"):
            log.refresh_failed("gateway", problem, serving=True)
        log.refreshed("gateway", 2, 0.0)
        log.refreshed("gateway", 2, 0.0)
        log.looked_up("gateway", "found")
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "INFO"]


def test_a_failing_source_is_said_to_cost_tokens_only_where_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = RefreshLog(Metrics())
    for serving in (False, False, True, False):
        log.refresh_failed("gateway", "away", serving=serving)
    none = "keys cannot be fetched, and there are none: tokens of this issuer get a 503"
    some = "keys cannot be fetched; the last good ones serve until they are too old"
    assert [record.message for record in caplog.records] == [none, some, none]
