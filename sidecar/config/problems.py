"""Problems in a file: where they are, and how they are written in messages."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sidecar.errors import ConfigurationFault

Location = tuple[str | int, ...]
"""The path to a value from the top of a document: keys and, in lists, indices from 0."""


class Finding(NamedTuple):
    """A rule's message about the value at a location."""

    location: Location
    text: str


class Position(NamedTuple):
    """A place in a file; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class FileProblem:
    """One problem: what is wrong, and after a semicolon how to fix it."""

    position: Position
    text: str

    def format(self, path: Path) -> str:
        """The line a person reads, in the form that editors turn into a link."""
        return f"{path}:{self.position.line}:{self.position.column}: {self.text}"


def fault(path: Path, problems: Iterable[FileProblem]) -> ConfigurationFault:
    """All problems of a file as one fault, without duplicates, in the order of their lines."""
    lines = [problem.format(path) for problem in sorted(set(problems))]
    return ConfigurationFault("\n".join(lines))


def format_names(names: Iterable[str]) -> str:
    """Names in a message."""
    return ", ".join(names)
