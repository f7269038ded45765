"""Logs: one JSON object a line (or text for a terminal), without secrets, and without blocking.

Lines go through a bounded queue to a thread that writes them. If the reader of the log stalls,
lines are dropped and requests are not delayed.
"""

import contextlib
import json
import logging
import queue
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

QUEUED_LINES: Final = 10_000
# Characters. A claim or a server's message may be as long as a token or an answer.
LONGEST_FIELD: Final = 4096
LONGEST_TRACE: Final = 32 * 1024
# Replaces the rest. A credential that is cut in this way still matches `_SECRET`.
_CUT: Final = "...shortened"

# The attributes of every record; the others were given as `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Matches a compact JWS or JWE, or the beginning of one, and what follows an authentication scheme.
# Beginnings match too, because otherwise a text of `eyJeyJ…` would take quadratic time.
_SECRET: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4}"
    r"|(?i:(?:bearer|basic) )[A-Za-z0-9._~+/=-]{8,}"
)


class Logs:
    """The set-up of logging while the program runs; ``close`` writes what is queued."""

    def __init__(self, style: str, level: str, stream: TextIO = sys.stderr) -> None:
        output = logging.StreamHandler(stream)
        output.setFormatter(TextLines() if style == "console" else JsonLines())
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(QUEUED_LINES)
        self._handler = _DroppingHandler(self._lines)
        self._writer = threading.Thread(target=self._write, args=(output,), daemon=True)
        logging.getLogger().handlers[:] = [self._handler]
        self.set_level(level)
        self._writer.start()

    def set_level(self, level: str) -> None:
        """Write records of this level (``debug``, ``info`` and so on) and above."""
        logging.getLogger().setLevel(level.upper())

    def close(self, timeout: float = 1.0) -> None:
        """Write what is queued, for at most ``timeout`` seconds, and stop."""
        logging.getLogger().removeHandler(self._handler)
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=timeout)
        self._writer.join(timeout)

    def _write(self, output: logging.Handler) -> None:
        while (record := self._lines.get()) is not None:
            output.handle(record)


class _DroppingHandler(logging.Handler):
    """Puts records into the queue, and drops them when it is full."""

    def __init__(self, lines: "queue.Queue[logging.LogRecord | None]") -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        # A dropped line cannot be reported, because the log itself is full.
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(record)


class LineLimit:
    """At most so many lines a second, with a burst of as many (a token bucket).

    ``clock`` gives seconds and is monotonic.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._rate = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._level = self._burst
        self._at = clock()

    def admits(self) -> bool:
        """Whether one more line may be written now."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


def redact(text: str) -> str:
    """Replace whatever looks like a token or a credential. Every line passes through here."""
    return _SECRET.sub("[redacted]", text)


def escaped(text: str) -> str:
    """The text with everything but printable ASCII as escape sequences."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, logger, event, and what was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _shortened(record.getMessage()),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = _shortened(self.formatException(record.exc_info), LONGEST_TRACE)
        return redact(json.dumps(line, default=str))


class TextLines(logging.Formatter):
    """A record as text for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a stack trace below it where there is one."""
        # Escaped, because a claim may contain line breaks and control characters.
        extra = escaped(" ".join(f"{name}={value}" for name, value in _extra(record).items()))
        event = escaped(_shortened(record.getMessage()))
        line = f"{_time(record)} {record.levelname.lower():7} {event}  {extra}"
        if record.exc_info:
            line = f"{line}\n{_shortened(self.formatException(record.exc_info), LONGEST_TRACE)}"
        return redact(line.rstrip())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {
        name: value if isinstance(value, int | float | None) else _shortened(str(value))
        for name, value in vars(record).items()
        if name not in _STANDARD
    }


def _shortened(text: str, longest: int = LONGEST_FIELD) -> str:
    # The end is cut, because a credential is recognised by its beginning.
    return text if len(text) <= longest else text[:longest] + _CUT
