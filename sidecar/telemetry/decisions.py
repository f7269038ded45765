"""Logs decisions: at most one line each, rate-limited, so that an attack does not fill a disk."""

import logging
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.model import Decision, Deny, Reason, RequestView
from sidecar.telemetry.excerpts import excerpt, path_excerpt
from sidecar.telemetry.logs import LineLimit
from sidecar.telemetry.metrics import Metrics, outcome_of

_log = logging.getLogger("sidecar.check")

RECENT: Final = 50


@dataclass(frozen=True, slots=True)
class RecentDenial:
    """A denial as the status page shows it.

    ``at`` is in Unix seconds. ``held`` has the values that were refused, by name (``Deny.held``).
    """

    at: float
    route: str
    reason: str
    detail: str
    held: dict[str, str]
    request_id: str


class DecisionLog:
    """Tells metrics, log and status page about every decision (``DecisionObserver``).

    ``allows`` is the share of allowed requests that is logged, from 0 to 1; at log level debug all
    of them are. ``per_second`` bounds the lines.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        allows: float,
        per_second: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self.configure(allows=allows, per_second=per_second)
        self._denials: Counter[str] = Counter()
        self._recent: deque[RecentDenial] = deque(maxlen=RECENT)

    def configure(self, *, allows: float, per_second: float) -> None:
        """Change what is logged, from the next decision on."""
        self._allows = allows
        self._limit = LineLimit(per_second, time.monotonic)
        # A separate limit, so that a flood of checks does not suppress lines about sessions.
        self._internal_limit = LineLimit(per_second, time.monotonic)

    def decided(
        self, request: RequestView, request_id: str, decision: Decision, duration: float
    ) -> None:
        """Count the decision, and log it if it is a denial or sampled."""
        self._metrics.decided(decision, duration)
        denial = decision if isinstance(decision, Deny) else decision.would_deny
        held: dict[str, str] | None = None
        if denial is not None:
            self._denials[denial.reason.label] += 1
            held = _held(request, denial)
            self._remember(request_id, denial, held)
            level = logging.INFO
        elif self._allows and random.random() < self._allows:  # noqa: S311 - a sample, not a secret
            level = logging.INFO
        else:
            level = logging.DEBUG
        if not _log.isEnabledFor(level):
            return
        if self._limit.admits():
            line = _line(request_id, decision, denial, duration) | (held or {})
            _log.log(level, "check", extra=line)
        else:
            self._metrics.suppressed()

    def internal(
        self,
        event: str,
        request: RequestView,
        request_id: str,
        denial: Deny | None,
        line: Mapping[str, object],
    ) -> None:
        """Log a response of the gateway's internal listener; ``denial`` is None if it succeeded."""
        held: dict[str, str] = {}
        if denial is not None:
            self._denials[denial.reason.label] += 1
            held = _held(request, denial)
            self._remember(request_id, denial, held)
        if self._internal_limit.admits():
            _log.info(event, extra={"request_id": request_id, **line, **held})
        else:
            self._metrics.suppressed()

    def denials(self) -> dict[str, int]:
        """How often each reason has denied a request since the start."""
        return dict(self._denials.most_common())

    def recent(self) -> tuple[RecentDenial, ...]:
        """The latest denials, newest first."""
        return tuple(reversed(self._recent))

    def _remember(self, request_id: str, denial: Deny, held: dict[str, str]) -> None:
        self._recent.append(
            RecentDenial(
                self._clock(),
                denial.route or "",
                denial.reason.label,
                denial.detail,
                held,
                request_id,
            )
        )


def _held(request: RequestView, denial: Deny) -> dict[str, str]:
    """The values that were refused: those of the denial, and those its reason is about."""
    token = denial.token
    held = {name: excerpt(value) for name, value in denial.held}
    if denial.route is None:
        held |= {"method": excerpt(request.method), "path": path_excerpt(request.path)}
    if denial.reason is Reason.CALLER_NOT_ALLOWED:
        held["caller"] = excerpt(request.principal)
    elif denial.reason is Reason.MISSING_ROLE and token is not None:
        held["roles"] = excerpt(", ".join(sorted(token.roles)))
    elif denial.reason is Reason.MISSING_GROUP and token is not None:
        held["groups"] = excerpt(", ".join(sorted(token.groups)))
    return held


def _line(
    request_id: str, decision: Decision, denial: Deny | None, duration: float
) -> dict[str, object]:
    token = decision.token
    line: dict[str, object] = {
        "request_id": request_id,
        "route": decision.route,
        "decision": outcome_of(decision),
        "reason": decision.reason.label,
        "duration_ms": round(duration * 1000, 3),
    }
    if denial is not None:
        line |= {"status": denial.reason.status, "detail": denial.detail or denial.reason.sentence}
        line |= {"token": denial.fingerprint} if denial.fingerprint else {}
    if token is not None:
        line |= {
            "issuer": token.trust,
            "iss": token.issuer,
            "sub": token.subject,
            "token": token.fingerprint,
        }
        line |= {"credential": token.credential} if token.credential else {}
    return line
