"""The content of the status page: version, configuration, keys and recent denials."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, NamedTuple

from sidecar.app.roles import Role
from sidecar.config import Configuration
from sidecar.keys.reports import RefresherStatus
from sidecar.telemetry.decisions import DecisionLog

_MOST_KIDS: Final = 50
_LONGEST_KID: Final = 100
_LONGEST_ERROR: Final = 1000


class Life(NamedTuple):
    """The state of the process. ``loaded_at`` is when its configuration was loaded (Unix seconds).

    ``reload_error`` is why a later configuration is not in use.
    """

    ready: bool
    loaded_at: float
    reload_error: str | None


def status_page(
    configuration: Configuration, life: Life, role: Role, decisions: DecisionLog
) -> dict[str, object]:
    """The page as nested values."""
    return {
        "version": version("authz-sidecar"),
        "ready": life.ready,
        "role": "sidecar" if configuration.gateway is None else "gateway",
        "mode": "shadow" if configuration.check.shadow else "enforce",
        "configuration": {
            "file": str(configuration.path),
            "digest": configuration.digest,
            "loaded": _date(life.loaded_at),
            "last_error": life.reload_error,
        },
        "issuers": {each.trust: issuer_status(each) for each in role.context.keys.statuses()},
        "routes": len(configuration.check.routes),
        **role.status(),
        "denials": decisions.denials(),
        "recent_denials": [
            {**asdict(denial), "at": _date(denial.at)} for denial in decisions.recent()
        ],
    }


def issuer_status(status: RefresherStatus) -> dict[str, object]:
    """The state of an issuer's keys, as the status page shows it."""
    return {
        "source": f"saved copy of {status.source}" if status.recalled else status.source,
        "keys": len(status.kids),
        "kids": _kids(status.kids),
        "last_success": _date(status.last_success),
        "age": _age(status.last_success),
        "last_error": status.last_error and status.last_error[:_LONGEST_ERROR],
        "next_refresh": _date(status.next_refresh),
    }


def _kids(kids: tuple[str, ...]) -> list[str]:
    """The first kids, shortened: a key server chooses their number and their length."""
    shown = [kid[:_LONGEST_KID] for kid in kids[:_MOST_KIDS]]
    more = len(kids) - len(shown)
    return [*shown, f"and {more} more"] if more else shown


def _date(seconds: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _age(since: float | None) -> str | None:
    return None if since is None else f"{max(0.0, time.time() - since):.0f} s"
