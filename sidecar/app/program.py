"""The program from its start to its end: start, serve, reload, drain, stop.

``serve`` runs it until it is told to stop. ``_Program`` holds what lives as long as the process; a
reload replaces the role and what belongs to it.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from sidecar.app.roles import Instruments, Role, SidecarRole
from sidecar.app.status import Life, status_page
from sidecar.clients import files
from sidecar.config import MAXIMUM_BYTES, Configuration, load
from sidecar.errors import ConfigurationFault, Fault
from sidecar.pages.admin import admin_pages
from sidecar.pages.listener import HttpListener
from sidecar.pages.metrics import metrics_pages
from sidecar.shell.check import Checks
from sidecar.telemetry.decisions import DecisionLog
from sidecar.telemetry.logs import Logs
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.refreshes import RefreshLog
from sidecar.wire.grpc.authorization import METHOD, Authorization
from sidecar.wire.grpc.calls import Limits, outcomes
from sidecar.wire.grpc.health import HEALTH_METHOD, health
from sidecar.wire.grpc.server import GrpcServer, new_server
from sidecar.wire.grpc.sockets import parse_address

_log = logging.getLogger("sidecar")

_WATCH_INTERVAL: Final = 1.0
_SWITCH_INTERVAL: Final = 0.0005
_PROXY_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def serve(path: Path) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    Raises:
        Fault: the program cannot start; nothing is left running.
    """
    # Checks have a thread of their own. With Python's default switch interval, the thread would
    # wait up to 5 ms for the interpreter lock while /metrics is rendered.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    return asyncio.run(_run(load(path)))


async def _run(configuration: Configuration) -> int:
    return await _Program(configuration).run()


class _Program:
    """One running sidecar or gateway. Belongs to the event loop it is created on."""

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
        self._metrics.configured(shadow=configuration.check.shadow, now=self._loaded_at)
        self._decisions = DecisionLog(
            self._metrics, allows=log.allows, per_second=log.denials_per_second
        )
        instruments = Instruments(self._metrics, RefreshLog(self._metrics))
        self._new_role = _maker(configuration, instruments)
        self._role = self._new_role(configuration, None)
        self._next_role: Role | None = None

    async def run(self) -> int:
        """Start everything, serve, reload when asked, drain, stop."""
        stop, reload = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_sighup, reload)

        async with AsyncExitStack() as stack:
            stack.callback(self._logs.close)
            self._warn(self._configuration)
            _warn_of_proxy_variables()
            stack.push_async_callback(self._stop_role)
            await self._role.start()
            checks = Checks(self._role.context, self._decisions, loop)
            for listener in self._listeners():
                await listener.start()
                stack.push_async_callback(listener.stop)
            methods = {
                METHOD: Authorization(checks).check,
                HEALTH_METHOD: health(self._is_ready),
            }
            self._metrics.expect_calls(outcomes(methods))
            server = new_server(
                parse_address(self._configuration.listen.authz),
                methods,
                handled=self._metrics.handled,
                limits=Limits(max_pending=self._configuration.pending_checks),
            )
            server.start()
            self._metrics.served_by(server.implementation)
            self._server = server
            tending = asyncio.create_task(self._tend(checks, reload))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((tending, stopping), return_when=asyncio.FIRST_COMPLETED)
            if tending.done():
                tending.result()  # it ends only by an exception
            tending.cancel()
            self._ready = False
            _log.info("draining", extra={"connections": server.connections()})
            await asyncio.to_thread(server.stop, self._configuration.drain)
        return 0

    def _on_sighup(self, reload: asyncio.Event) -> None:
        """Reload, and fetch the keys in use at once: the reload may fail, or wait for new keys.

        The keys of a configuration that is being loaded are fetched too.
        """
        for role in (self._role, self._next_role):
            if role is not None:
                role.context.keys.fetch_now()
        reload.set()

    async def _tend(self, checks: Checks, reload: asyncio.Event) -> None:
        """Become ready when there are keys or the timeout has passed; then reload when asked."""
        await self._role.first_keys(self._configuration.start_timeout)
        self._settle()
        await self._reload_on_change(checks, reload)

    def _listeners(self) -> list[HttpListener]:
        listen = self._configuration.listen
        pages = metrics_pages(self._metrics.registry, self._is_ready)
        listeners = [HttpListener(*listen.metrics, pages)]
        if listen.admin is not None:
            listeners.append(HttpListener(*listen.admin, admin_pages(self._status, self._is_ready)))
        if self._configuration.gateway is not None:
            from sidecar.app.gateway import internal_listener  # noqa: PLC0415 - as in _maker

            listeners.append(
                internal_listener(self._configuration, lambda: self._role, self._decisions)
            )
        return listeners

    async def _stop_role(self) -> None:
        """Stop the role in use, which a reload may have replaced since the start."""
        await self._role.stop()

    def _settle(self) -> None:
        """Become ready. The garbage collector skips what exists now, which is long-lived."""
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

    async def _reload_on_change(self, checks: Checks, asked: asyncio.Event) -> None:
        """Reload on SIGHUP and whenever the file has changed."""
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
                # After an unexpected exception the next change is still reloaded.
                _log.exception("reloading failed unexpectedly")
                self._not_reloaded("internal error; the log has its stack trace")

    async def _reload(self, checks: Checks) -> None:
        """Replace the context of checks; a configuration that cannot be used changes nothing."""
        path = self._configuration.path
        # Set before the file is read: one that cannot be read is retried at its next change.
        self._file_version = files.version(path)
        try:
            _, self._file_version = await files.read_settled(path, MAXIMUM_BYTES)
            configuration = await asyncio.to_thread(load, path)
            _refuse_what_needs_a_restart(self._configuration, configuration, self._role)
            role = await self._started(configuration)
        except Fault as fault:
            self._not_reloaded(str(fault))
            return
        before, self._role = self._role, role
        gone = {each.trust for each in self._configuration.keys}
        gone -= {each.trust for each in configuration.keys}
        checks.context = role.context
        self._logs.set_level(configuration.log.level)
        self._decisions.configure(
            allows=configuration.log.allows, per_second=configuration.log.denials_per_second
        )
        self._configuration, self._loaded_at = configuration, time.time()
        self._reload_error = None
        self._metrics.reloaded(shadow=configuration.check.shadow, now=self._loaded_at)
        _log.info("the new configuration is in use", extra={"digest": configuration.digest})
        try:
            await checks.ended()
        finally:
            await before.stop()
            self._metrics.forget(gone)

    async def _started(self, configuration: Configuration) -> Role:
        """The role of a new configuration, ready to take over."""
        self._warn(configuration)
        role = self._next_role = self._new_role(configuration, self._role)
        try:
            await role.start()
            await role.first_keys(configuration.start_timeout)
        except BaseException:
            await role.stop()
            raise
        finally:
            self._next_role = None
        return role

    def _warn(self, configuration: Configuration) -> None:
        for warning in configuration.warnings:
            _log.warning("configuration", extra={"warning": warning.format(configuration.path)})

    def _not_reloaded(self, problem: str) -> None:
        self._reload_error = problem
        self._metrics.not_reloaded()
        _log.error("the new configuration is not used", extra={"problem": problem})

    def _is_ready(self) -> bool:
        return self._ready and self._server is not None and self._server.serving

    def _status(self) -> dict[str, object]:
        life = Life(self._is_ready(), self._loaded_at, self._reload_error)
        return status_page(self._configuration, life, self._role, self._decisions)


def _warn_of_proxy_variables() -> None:
    """Name the variables that other programs take a proxy from. Their values may hold passwords."""
    names = [name for each in _PROXY_VARIABLES for name in (each, each.lower())]
    found = [name for name in names if os.environ.get(name)]
    if found:
        _log.warning(
            "proxy variables are set and not used; a proxy is used where the configuration has "
            "the key proxy",
            extra={"variables": ", ".join(found)},
        )


def _maker(
    configuration: Configuration, instruments: Instruments
) -> Callable[[Configuration, Role | None], Role]:
    """The factory for the role of this configuration and of those that replace it."""
    if configuration.gateway is None:
        return partial(SidecarRole, instruments)
    # Imported here, because a sidecar does not need these modules.
    from sidecar.app.gateway import GatewayRole  # noqa: PLC0415 - see above
    from sidecar.telemetry.gateway_metrics import GatewayMetrics  # noqa: PLC0415 - see above

    return partial(GatewayRole, instruments, GatewayMetrics(instruments.metrics))


def _refuse_what_needs_a_restart(old: Configuration, new: Configuration, role: Role) -> None:
    fixed = {
        "listen": old.listen == new.listen,
        "limits.pending_checks": old.pending_checks == new.pending_checks,
        "log.format": old.log.format == new.log.format,
    }
    changed = [name for name, same in fixed.items() if not same]
    changed += role.fixed_but_changed(new)
    if changed:
        raise ConfigurationFault(
            f"{new.path}: {' and '.join(changed)} cannot change while the program runs; restart it"
        )
