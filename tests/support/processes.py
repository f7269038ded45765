"""Child processes of a test: started, waited for, stopped by pid, gone when the tests are gone."""

import asyncio
import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from tests.support.leaks import LEAKS

T = TypeVar("T")

POLL_INTERVAL = 0.02


def eventually(probe: Callable[[], T], *, within: float = 10.0) -> T:
    """Return the first truthy value of ``probe``; fail without one for ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {within} s: {probe}")
        time.sleep(POLL_INTERVAL)
    return value


async def until(probe: Callable[[], Awaitable[T]], *, within: float = 10.0) -> T:
    """``eventually``, while the event loop goes on with everything else."""
    deadline = time.monotonic() + within
    while not (value := await probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {within} s: {probe}")
        await asyncio.sleep(POLL_INTERVAL)
    return value


def as_user(name: str) -> Sequence[str]:
    """The options of setpriv for a user (``Child``); none where only root could choose one."""
    if os.geteuid():
        return ()
    return f"--reuid={name}", f"--regid={pwd.getpwnam(name).pw_gid}", "--clear-groups"


class Child:
    """A program that runs for the length of a ``with`` block, its output kept in files."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
        *,
        as_user: Sequence[str] = (),
    ) -> None:
        """Start ``command``; ``stdout`` and ``stderr`` are written to ``directory``.

        ``as_user`` are setpriv's options for another user. A program that changed its user itself
        would outlive us: the kernel then no longer kills it with us (prctl(2), PR_SET_PDEATHSIG).
        """
        self.command = command
        self._stdout = directory / "stdout"
        self._stderr = directory / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                # The kernel kills it with us, however we end.
                ["setpriv", *as_user, "--pdeathsig=KILL", *command],  # noqa: S607 - of util-linux
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
                # Ctrl-C is for us alone: we stop it in our own order.
                process_group=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stdout(self) -> list[str]:
        """The complete lines written so far."""
        return _lines(self._stdout)

    def stderr(self) -> list[str]:
        """The complete lines written so far."""
        return _lines(self._stderr)

    def wait_until(self, ready: Callable[[], bool], *, within: float = 20.0) -> None:
        """Poll until ``ready``. If the program ends or the time is over, stop it and fail."""
        try:
            eventually(lambda: ready() or not self.running, within=within)
            assert self.running, f"ended with {self._process.returncode}"
        except BaseException as error:
            self.stop()
            error.add_note(self._report())
            raise

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, *, within: float = 10.0) -> int:
        """Wait for the program to end by itself and return its exit code."""
        return self._process.wait(within)

    def stop(self, *, within: float = 10.0) -> int:
        """SIGTERM, then SIGKILL when that did not help. Return the exit code.

        What the program started and left is killed as well.
        """
        if self.running:
            self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(within=within)
        code = self.kill()
        for line in (*self.stdout(), *self.stderr()):
            LEAKS.look(" ".join(self.command), line)
        return code

    def kill(self) -> int:
        """SIGKILL for the program and all that it started and left. Return the exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait()

    def _report(self) -> str:
        return "\n".join([" ".join(self.command), *self.stdout()[-20:], *self.stderr()[-40:]])


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").split("\n")[:-1]
