"""The composition root: the only place that wires things. Read it as a list.

``serve`` runs the sidecar until it is told to stop; ``_Sidecar`` holds what lives that long, and
replaces what a reload replaces.
"""

import asyncio
import gc
import logging
import signal
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from sidecar.check.pipeline import Pipeline
from sidecar.clients import files
from sidecar.config import MAXIMUM_BYTES, Configuration, load
from sidecar.errors import ConfigurationFault, Fault
from sidecar.keys.keeper import KeyKeeper
from sidecar.telemetry.decisions import DecisionLog
from sidecar.telemetry.logs import Logs
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.refreshes import RefreshLog
from sidecar.wire import authorization
from sidecar.wire.authorization import Authorization, Policy
from sidecar.wire.grpc_server import GrpcServer, Limits
from sidecar.wire.health import HEALTH_METHOD, health
from sidecar.wire.http import HttpListener, admin_pages, metrics_pages
from sidecar.wire.sockets import parse_address

_log = logging.getLogger("sidecar")

_WATCH_INTERVAL: Final = 1.0
_SWITCH_INTERVAL: Final = 0.0005


def serve(path: Path) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    Raises:
        Fault: it cannot be started; nothing is left running.
    """
    # Checks have a thread of their own. While a scrape of /metrics computes, each of its turns
    # would otherwise begin with Python's default wait of 5 ms.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    return asyncio.run(_Sidecar(load(path)).run())


class _Sidecar:
    """One running sidecar."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._file_version = files.version(configuration.path)
        self._loaded_at = time.time()
        self._reload_error: str | None = None
        self._ready = False
        self._server: GrpcServer | None = None

        log = configuration.log
        self._logs = Logs(log.format, log.level)
        self._metrics = Metrics()
        self._decisions = DecisionLog(
            self._metrics, allows=log.allows, per_second=log.denials_per_second
        )
        self._refreshes = RefreshLog(self._metrics)

    async def run(self) -> int:
        """Start everything, serve, reload when asked, drain, stop."""
        stop, reload = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, reload.set)

        async with AsyncExitStack() as stack:
            stack.callback(self._logs.close)
            checks = Authorization(self._policy(self._configuration), self._decisions)
            stack.push_async_callback(_stop_fetching, checks)
            for listener in self._listeners(checks):
                await listener.start()
                stack.push_async_callback(listener.stop)
            server = GrpcServer(
                parse_address(self._configuration.listen.authz),
                {authorization.METHOD: checks.check, HEALTH_METHOD: health(self._is_ready)},
                handled=self._metrics.handled,
                limits=Limits(max_pending=self._configuration.pending_checks),
            )
            server.start()
            self._server = server
            await checks.policy.keys.tried(self._configuration.start_timeout)
            self._settle()
            watcher = asyncio.create_task(self._reload_on_change(checks, reload))
            await stop.wait()
            watcher.cancel()
            self._ready = False
            _log.info("draining", extra={"connections": server.connections()})
            await asyncio.to_thread(server.stop, self._configuration.drain)
        return 0

    def _listeners(self, checks: Authorization) -> list[HttpListener]:
        listen = self._configuration.listen
        pages = metrics_pages(self._metrics.registry, self._is_ready)
        listeners = [HttpListener(*listen.metrics, pages)]
        if listen.admin is not None:
            status = partial(self._status, checks)
            listeners.append(HttpListener(*listen.admin, admin_pages(status, self._is_ready)))
        return listeners

    def _policy(self, configuration: Configuration, before: Policy | None = None) -> Policy:
        """What checks are made with. Its keys begin to be fetched; those of ``before`` serve on."""
        check = configuration.check
        self._metrics.expect(
            [entry.name for entry in check.trust], check.routes, shadow=check.shadow
        )
        for doubt in configuration.warnings:
            _log.warning("configuration", extra={"doubt": doubt.told(configuration.path)})
        keys = KeyKeeper(
            configuration.keys,
            self._refreshes,
            cache=configuration.key_cache,
            before=before.keys if before else None,
        )
        keys.start()
        return Policy(
            pipeline=Pipeline(check, self._metrics),
            keys=keys,
            realm=configuration.realm,
            key_wait=configuration.key_wait,
        )

    def _settle(self) -> None:
        """Say that checks are answered. What was made so far lives long: the collector skips it."""
        gc.collect()
        gc.freeze()
        self._ready = True
        check = self._configuration.check
        _log.info(
            "ready",
            extra={
                "listen": str(self._configuration.listen.authz),
                "mode": "shadow" if check.shadow else "enforce",
                "issuers": len(check.trust),
                "routes": len(check.routes),
                "version": version("authz-sidecar"),
            },
        )

    async def _reload_on_change(self, checks: Authorization, asked: asyncio.Event) -> None:
        """Reload on SIGHUP and whenever the file has changed, for as long as the process lives."""
        path = self._configuration.path
        while True:
            waits = [
                asyncio.create_task(asked.wait()),
                asyncio.create_task(files.changed(path, self._file_version, _WATCH_INTERVAL)),
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            asked.clear()
            try:
                await self._reload(checks)
            except Exception:
                # A bug in loading must not be the end of reloading.
                _log.exception("reloading failed unexpectedly")
                self._not_reloaded("internal error; the log has its stack trace")

    async def _reload(self, checks: Authorization) -> None:
        """Replace what checks are made with; a bad configuration leaves everything as it is."""
        path = self._configuration.path
        # Also of one that cannot be read: it is looked at again when it has changed once more.
        self._file_version = files.version(path)
        try:
            _, self._file_version = await files.read_settled(path, MAXIMUM_BYTES)
            configuration = await asyncio.to_thread(load, path)
            _refuse_what_needs_a_restart(self._configuration, configuration)
        except Fault as fault:
            self._not_reloaded(str(fault))
            return
        before = checks.policy
        policy = self._policy(configuration, before)
        await policy.keys.tried(configuration.start_timeout)
        checks.policy = policy
        await before.keys.stop()
        self._logs.set_level(configuration.log.level)
        self._decisions.configure(
            allows=configuration.log.allows, per_second=configuration.log.denials_per_second
        )
        self._configuration, self._loaded_at = configuration, time.time()
        self._reload_error = None
        self._metrics.reloaded(success=True)
        _log.info("the new configuration is in use", extra={"digest": configuration.digest})

    def _not_reloaded(self, problem: str) -> None:
        self._reload_error = problem
        self._metrics.reloaded(success=False)
        _log.error("the new configuration is not used", extra={"problem": problem})

    def _is_ready(self) -> bool:
        return self._ready and self._server is not None and self._server.serving

    def _status(self, checks: Authorization) -> dict[str, object]:
        """What the status page shows."""
        configuration, policy = self._configuration, checks.policy
        return {
            "version": version("authz-sidecar"),
            "ready": self._is_ready(),
            "role": "sidecar",
            "mode": "shadow" if configuration.check.shadow else "enforce",
            "configuration": {
                "file": str(configuration.path),
                "digest": configuration.digest,
                "loaded": _date(self._loaded_at),
                "last_error": self._reload_error,
            },
            "issuers": {
                status.trust: {
                    "source": f"saved copy of {status.source}"
                    if status.recalled
                    else status.source,
                    "keys": len(status.kids),
                    "kids": list(status.kids),
                    "last_success": _date(status.last_success),
                    "age": _age(status.last_success),
                    "last_error": status.last_error,
                    "next_refresh": _date(status.next_refresh),
                }
                for status in policy.keys.statuses()
            },
            "routes": len(configuration.check.routes),
            "remembered_tokens": policy.pipeline.remembered_tokens,
            "denials": self._decisions.denials(),
            "recent_denials": [
                {**asdict(denial), "at": _date(denial.at)} for denial in self._decisions.recent()
            ],
        }


def _date(seconds: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _age(since: float | None) -> str | None:
    return None if since is None else f"{max(0.0, time.time() - since):.0f} s"


async def _stop_fetching(checks: Authorization) -> None:
    """Stop the keys that are in use by now; a reload may have replaced the first."""
    await checks.policy.keys.stop()


def _refuse_what_needs_a_restart(old: Configuration, new: Configuration) -> None:
    fixed = {
        "listen": old.listen == new.listen,
        "limits.pending_checks": old.pending_checks == new.pending_checks,
        "log.format": old.log.format == new.log.format,
    }
    changed = [name for name, same in fixed.items() if not same]
    if changed:
        raise ConfigurationFault(
            f"{new.path}: {' and '.join(changed)} cannot change while the sidecar runs; restart it"
        )
