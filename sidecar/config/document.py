"""A YAML file as plain values, each with its line and column.

Only what a configuration needs is read: one document, text keys, the scalars of the YAML 1.2 core
schema (https://yaml.org/spec/1.2.2/#103-core-schema). Anchors, aliases and tags are refused, so a
small file cannot grow into a large one and every value has one place.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from sidecar.config.problems import FileProblem, Location, Position, fault
from sidecar.errors import ConfigurationFault

MAXIMUM_BYTES: Final = 1024 * 1024
MAXIMUM_DEPTH: Final = 20

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN: Final = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_OTHER_BASE: Final = re.compile(r"0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _TooDeepError(Exception):
    """Ends the reading: the parser's time grows with the square of the depth."""


class _Place(NamedTuple):
    key: Position
    value: Position


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The values of a file and their places.

    ``unreadable`` holds the locations of values that could not be read and are None;
    ``problems`` says why. ``digest`` is the SHA-256 of the file in hexadecimal digits.
    """

    path: Path
    digest: str
    value: object
    problems: tuple[FileProblem, ...]
    unreadable: frozenset[Location]
    _places: Mapping[Location, _Place]

    def at_value(self, location: Location) -> Position:
        """Where a value begins; for a value that is not in the file, where its parent begins."""
        return self._nearest(location).value

    def at_key(self, location: Location) -> Position:
        """Where the key of a value stands; for an item of a list, where the item begins."""
        return self._nearest(location).key

    def _nearest(self, location: Location) -> _Place:
        while location not in self._places:
            location = location[:-1]
        return self._places[location]


def read(path: Path, environment: Mapping[str, str] = os.environ) -> YamlDocument:
    """Read a YAML file.

    Args:
        path: the file, at most 1 MiB of UTF-8.
        environment: what ``${NAME}`` stands for, where it is a whole value.

    Raises:
        ConfigurationFault: it cannot be opened, is too large or too deep, or is not YAML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise ConfigurationFault(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAXIMUM_BYTES:
        raise ConfigurationFault(f"{path}: is larger than 1 MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationFault(f"{path}:{line}:1: is not UTF-8 text") from error
    reader = _Reader(environment)
    try:
        value = reader.read(text)
    except YAMLError as error:
        raise fault(path, [*reader.problems, _syntax_problem(error)]) from error
    except _TooDeepError as error:
        raise fault(path, reader.problems) from error
    return YamlDocument(
        path=path,
        digest=hashlib.sha256(data).hexdigest(),
        value=value,
        problems=tuple(reader.problems),
        unreadable=frozenset(reader.unreadable),
        _places=reader.places,
    )


class _Reader:
    """Builds values from the events of one YAML stream, and records places and problems."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.problems: list[FileProblem] = []
        self.unreadable: list[Location] = []
        self.places: dict[Location, _Place] = {(): _Place(Position(1, 1), Position(1, 1))}
        self._environment = environment

    def read(self, text: str) -> object:
        # Any: ruamel.yaml's events are untyped.
        events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
        value: object = None
        for index, event in enumerate(e for e in events if isinstance(e, DocumentStartEvent)):
            if index:
                self._note(_position(event), "a second document begins; write one document")
                break
            value = self._value(next(events), events, ())
        return value

    def _value(self, event: Any, events: Iterator[Any], location: Location) -> object:
        position = _position(event)
        key = self.places[location].key if location in self.places else position
        # For a key without a value, the parser reports the position of the next line.
        nothing = isinstance(event, ScalarEvent) and not event.value and event.style is None
        self.places[location] = _Place(key, key if nothing else position)
        if len(location) > MAXIMUM_DEPTH:
            self._note(position, f"this is nested more than {MAXIMUM_DEPTH} levels deep")
            raise _TooDeepError
        refused = _refusal(event)
        if refused:
            self._note(position, refused, location)
            _skip(event, events)
            return None
        if isinstance(event, MappingStartEvent):
            return self._mapping(events, location)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(events, location)
        return self._scalar(event, location)

    def _mapping(self, events: Iterator[Any], location: Location) -> dict[str, object]:
        found: dict[str, object] = {}
        while isinstance(event := next(events), ScalarEvent | AliasEvent | _COLLECTION):
            position = _position(event)
            if not isinstance(event, ScalarEvent):
                self._note(position, "a key is not plain text")
                _skip(event, events)
                _skip(next(events), events)
                continue
            name: str = event.value
            if name in found:
                first = self.places[(*location, name)].key.line
                self._note(position, f'the key "{name}" stands twice; it is on line {first} too')
                _skip(next(events), events)
                continue
            self.places[(*location, name)] = _Place(position, position)
            found[name] = self._value(next(events), events, (*location, name))
        return found

    def _sequence(self, events: Iterator[Any], location: Location) -> list[object]:
        found: list[object] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            found.append(self._value(event, events, (*location, len(found))))
        return found

    def _scalar(self, event: Any, location: Location) -> object:
        text: str = event.value
        variable = _VARIABLE.search(text)
        if variable is not None:
            name = variable[1]
            if variable[0] != text:
                wrong = f"{variable[0]} is only a part of the value; a variable is a whole value"
                self._note(_position(event), wrong, location)
                return None
            if name not in self._environment:
                wrong = f"the environment variable {name} is not set"
                self._note(_position(event), wrong, location)
                return None
            text = self._environment[name]
        return _core(text) if event.style is None else text

    def _note(self, position: Position, text: str, unreadable: Location | None = None) -> None:
        self.problems.append(FileProblem(position, text))
        if unreadable is not None:
            self.unreadable.append(unreadable)


_COLLECTION: Final = MappingStartEvent | SequenceStartEvent


def _refusal(event: Any) -> str | None:
    if isinstance(event, AliasEvent):
        return "aliases are not read; write the value out"
    if event.anchor is not None:
        return "anchors are not read; write the value out where it is needed"
    if event.ctag is not None:
        return f"the tag {event.ctag} is not read; leave it out"
    return None


def _skip(event: Any, events: Iterator[Any]) -> None:
    """Skip the value that begins with ``event``, with everything nested in it."""
    depth = 0
    while True:
        if isinstance(event, _COLLECTION):
            depth += 1
        elif not isinstance(event, ScalarEvent | AliasEvent):
            depth -= 1
        if depth == 0 or isinstance(event, StreamEndEvent):
            return
        event = next(events)


def _core(text: str) -> object:
    """A plain scalar under the YAML 1.2 core schema. Infinities and NaN are read as text."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and isfinite(number := float(text)):
        return number
    return text


def _position(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax_problem(error: YAMLError) -> FileProblem:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        position = Position(mark.line + 1, mark.column + 1)
        parts = [part for part in (error.context, error.problem) if part]
        return FileProblem(position, f"this is not YAML: {', '.join(parts)}")
    return FileProblem(
        Position(1, 1), "this is not YAML: it holds a character that YAML does not allow"
    )
