"""Logs and counts requests to the gateway's internal listener: for sessions, and refused ones."""

from typing import Final

from sidecar.gateway.exchange import Exchanged
from sidecar.model import Deny, RequestView
from sidecar.telemetry.decisions import DecisionLog
from sidecar.telemetry.gateway_metrics import GatewayMetrics

# What the status page shows as the route of a session that was refused.
_SESSION: Final = "POST /session"


class InternalLog:
    """Tells metrics, log and status page about the internal listener (``InternalObserver``)."""

    def __init__(self, metrics: GatewayMetrics, decisions: DecisionLog) -> None:
        self._metrics = metrics
        self._decisions = decisions

    def exchanged(
        self, request: RequestView, request_id: str, exchanged: Exchanged, duration: float
    ) -> None:
        """A session was requested. The subject is logged, and never the session."""
        credential, outcome = exchanged
        denial = outcome._replace(route=_SESSION) if isinstance(outcome, Deny) else None
        self._metrics.exchanged(credential, denial)
        token = outcome.token
        line: dict[str, object] = {
            "credential": credential,
            "decision": "issued" if denial is None else "deny",
            "duration_ms": round(duration * 1000, 3),
        }
        if denial is not None:
            line |= _about(denial, denial.reason.status)
            line |= {"token": denial.fingerprint} if denial.fingerprint else {}
        if token is not None:
            line |= {"issuer": token.trust, "sub": token.subject, "token": token.fingerprint}
        if not isinstance(outcome, Deny) and outcome.ends_within is not None:
            line["ends_within_s"] = round(outcome.ends_within)
        self._decisions.internal("session", request, request_id, denial, line)

    def refused(self, request: RequestView, request_id: str, denial: Deny, status: int) -> None:
        """Another request was refused."""
        self._metrics.refused_inside(denial)
        line: dict[str, object] = {
            "decision": "deny",
            **_about(denial, status),
        }
        self._decisions.internal("internal", request, request_id, denial, line)


def _about(denial: Deny, status: int) -> dict[str, object]:
    return {
        "reason": denial.reason.label,
        "status": status,
        "detail": denial.detail or denial.reason.sentence,
    }
