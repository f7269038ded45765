"""Logs: one line each, in JSON or text, without secrets, and never in a check's way."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time

import pytest

from sidecar.telemetry import logs
from sidecar.telemetry.logs import (
    LONGEST_FIELD,
    LONGEST_TRACE,
    JsonLines,
    LineLimit,
    Logs,
    TextLines,
    redact,
)
from tests.support.tokens import claims, key_for, sign

TOKEN = sign(claims(issuer="i", audience="a", subject="s"), key_for("ES256"))


@contextmanager
def logging_to(stream: io.StringIO, style: str = "json", level: str = "info") -> Iterator[None]:
    root = logging.getLogger()
    handlers, previous = root.handlers[:], root.level
    running = Logs(style, level, stream)
    try:
        yield
    finally:
        running.close()
        root.handlers[:] = handlers
        root.setLevel(previous)


def lines(style: str = "json", level: str = "info") -> list[str]:
    stream = io.StringIO()
    with logging_to(stream, style, level):
        log = logging.getLogger("sidecar.test")
        log.debug("quiet")
        log.info("hello", extra={"route": "orders", "duration_ms": 0.2})
        try:
            int(f"odd header: Bearer {TOKEN}")
        except ValueError:
            log.exception("it failed with %s", TOKEN)
    return stream.getvalue().splitlines()


def test_a_line_is_one_json_object_with_what_was_given() -> None:
    first, _ = lines()
    document = json.loads(first)
    assert document.pop("time").endswith("+00:00")
    assert document == {
        "level": "info",
        "logger": "sidecar.test",
        "event": "hello",
        "route": "orders",
        "duration_ms": 0.2,
    }


def test_a_fault_comes_with_its_stack_trace() -> None:
    document = json.loads(lines()[1])
    assert "Traceback" in document["exception"]
    assert document["level"] == "error"


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_token_is_written_down_wherever_it_stands(style: str) -> None:
    text = "\n".join(lines(style))
    header, payload, signature = TOKEN.split(".")
    assert "[redacted]" in text
    assert not any(part in text for part in (header, payload, signature))


def test_text_for_a_terminal_has_the_same_facts() -> None:
    line = lines("console")[0]
    assert line.endswith("info    hello  route=orders duration_ms=0.2")


def test_the_level_decides_what_is_written() -> None:
    assert len(lines(level="debug")) == len(lines(level="info")) + 1


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        f"Bearer {TOKEN}",
        "authorization: bearer abcdefghijk",
        "Basic dXNlcjpwYXNzd29yZA==",
        "eyJhbGciOiJkaXIifQ..iv.ciphertext.tag",
    ],
)
def test_what_looks_like_a_credential_is_redacted(secret: str) -> None:
    text = redact(f"before {secret} after")
    assert secret.rsplit(maxsplit=1)[-1] not in text
    assert text.startswith("before ")
    assert text.endswith(" after")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("x" + TOKEN, "x[redacted]"),
        ("eyJhbGciOiJFUzI1NiJ9", "[redacted]"),
        ("eyJ" * 1000, "[redacted]"),
        (f"{'eyJ' * 1000} {TOKEN}", "[redacted] [redacted]"),
    ],
    ids=["behind a letter", "a header alone", "beginnings", "beginnings and a token"],
)
def test_what_looks_like_the_beginning_of_a_token_is_redacted(text: str, redacted: str) -> None:
    assert redact(text) == redacted


def line_of(text: str, style: str) -> str:
    stream = io.StringIO()
    with logging_to(stream, style):
        logging.getLogger("sidecar.test").info("event", extra={"sub": text})
    return stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("odd", ["\n", "\r", "\x1b[2J", "\x85", "\u2028", "\u202e"])
def test_what_a_claim_holds_is_no_line_of_its_own_and_no_command_to_a_terminal(
    odd: str, style: str
) -> None:
    written = line_of(f"eve{odd}2026-11-25 info check decision=allow", style)

    assert odd not in written.removesuffix("\n")
    assert len(written.splitlines()) == 1
    assert "eve\\" in written


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_long_field_is_shortened(style: str) -> None:
    line = line_of("a" * 60_000, style)

    assert len(line) < LONGEST_FIELD + 200
    assert "a...shortened" in line


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()], ids=["json", "console"])
@pytest.mark.parametrize("piece", ["eyJ", "bearer ", "eyJabcde.", "é", '"', "\n"])
def test_a_line_costs_little_whatever_a_claim_holds(
    formatter: logging.Formatter, piece: str
) -> None:
    record = logging.makeLogRecord({"msg": "check", "sub": piece * (60_000 // len(piece))})
    began = thread_time()

    for _ in range(100):
        formatter.format(record)

    # CPU seconds of this thread for ten seconds of denials at the default rate; it takes 0.01.
    assert thread_time() - began < 0.5


def test_a_field_as_long_as_it_may_be_is_whole() -> None:
    assert json.loads(line_of("a" * LONGEST_FIELD, "json"))["sub"] == "a" * LONGEST_FIELD


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("left", range(1, 40, 3))
@pytest.mark.parametrize("secret", [TOKEN, "Bearer opaque-secret-123456"], ids=["JWT", "opaque"])
def test_a_credential_that_is_cut_in_two_is_redacted(style: str, left: int, secret: str) -> None:
    line = line_of("x" * (LONGEST_FIELD - left - 1) + " " + secret, style)

    assert secret[:8] not in line, "what is shown of a credential says nothing"


def test_a_long_event_and_a_long_stack_trace_are_shortened() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        try:
            {"b": 1}["a" * 100_000]
        except KeyError:
            logging.getLogger("sidecar.test").exception("b" * 100_000)
    document = json.loads(stream.getvalue())

    assert document["event"] == "b" * LONGEST_FIELD + "...shortened"
    assert document["exception"].startswith("Traceback")
    assert len(document["exception"]) < LONGEST_TRACE + 20


def test_a_credential_on_a_line_of_its_own_is_redacted_in_json_too() -> None:
    assert "opaque" not in redact(json.dumps("first line\nBearer opaque-secret-123456"))


def test_ordinary_words_are_left_alone() -> None:
    text = "the bearer of this, a basic need, eyJ"
    assert redact(text) == text


class Stalled(io.StringIO):
    """A reader that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def write(self, text: str) -> int:
        self.let_go.wait(10)
        return super().write(text)


def test_a_reader_that_stalls_costs_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "QUEUED_LINES", 5)
    stream = Stalled()
    with logging_to(stream):
        for number in range(50):
            logging.getLogger().info("line %d", number)
        stream.let_go.set()
    written = stream.getvalue().splitlines()
    assert 5 <= len(written) <= 6
    assert '"line 0"' in written[0]


def test_a_reader_that_stalls_for_ever_does_not_hold_up_the_end() -> None:
    stream = Stalled()
    handlers = logging.getLogger().handlers[:]
    running = Logs("json", "info", stream)
    logging.getLogger().info("line")
    running.close(timeout=0.01)
    assert not stream.getvalue()
    stream.let_go.set()
    logging.getLogger().handlers[:] = handlers


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_are_limited_to_so_many_a_second_after_a_burst() -> None:
    clock = Clock()
    limit = LineLimit(20, clock)
    assert sum(limit.admits() for _ in range(1000)) == 20
    clock.now = 0.5
    assert sum(limit.admits() for _ in range(1000)) == 10
    clock.now = 1000.0
    assert sum(limit.admits() for _ in range(1000)) == 20


def test_a_limit_of_zero_writes_nothing_more_than_its_burst() -> None:
    clock = Clock()
    limit = LineLimit(0, clock)
    assert [limit.admits(), limit.admits()] == [True, False]
