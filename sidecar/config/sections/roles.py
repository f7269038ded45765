"""What the loader has to know of a role."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sidecar.config.build import Configuration, Loaded
from sidecar.config.key_files import Found, KeyFiles
from sidecar.config.rules import Draft, Finding, Rule
from sidecar.config.sections.root import Configured

R = TypeVar("R", bound=Configured)


@dataclass(frozen=True, slots=True)
class Role(Generic[R]):
    """How the configuration of one role is read.

    ``lists`` names the sections whose items are checked one by one where others cannot be read;
    ``stand_ins`` has a value for each key that must be there, for when it cannot be read.
    """

    model: type[R]
    rules: tuple[Rule[R], ...]
    doubts: Callable[[R], Iterator[Finding]]
    examine: Callable[[Draft[R], KeyFiles], Found]
    build: Callable[[R, Loaded], Configuration]
    lists: tuple[str, ...]
    stand_ins: Mapping[str, object]
