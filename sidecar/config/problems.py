"""What is wrong in a file, where, and how it is written for people."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sidecar.errors import ConfigurationFault

Location = tuple[str | int, ...]
"""The way to a value from the top of a document: keys and, in lists, indices from 0."""


class Finding(NamedTuple):
    """What a rule has against the value at a location."""

    location: Location
    text: str


class Position(NamedTuple):
    """A place in a file; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class FileProblem:
    """One thing that is wrong: what it is, and after a semicolon what would be right."""

    position: Position
    text: str

    def format(self, path: Path) -> str:
        """The line a person reads, in the form that editors turn into a link."""
        return f"{path}:{self.position.line}:{self.position.column}: {self.text}"


def fault(path: Path, problems: Iterable[FileProblem]) -> ConfigurationFault:
    """All problems of a file as one fault, each once, in the order of their lines."""
    lines = [problem.format(path) for problem in sorted(set(problems))]
    return ConfigurationFault("\n".join(lines))


def format_names(names: Iterable[str]) -> str:
    """Names in a message."""
    return ", ".join(names)
