"""Rules that concern several sections of a configuration.

The rules within one section are in its ``findings``. A rule is given a draft, in which parts that
could not be read are missing, so that everything that can be checked is checked in one run. A rule
names the sections that it needs, and is skipped if one of them is missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sidecar.config.document import YamlDocument
from sidecar.config.problems import Finding, Location
from sidecar.config.section import Section, sections_in

T = TypeVar("T")
Items = Sequence[tuple[Location, T]]


@dataclass(frozen=True, slots=True)
class Draft:
    """A configuration of which some parts may be unreadable.

    ``places`` has the locations of the readable items of a list, by the list's name. ``bad`` names
    the sections in which something could not be read: a list among them has only its readable items
    in ``root``, any other section is None.
    """

    document: YamlDocument
    root: Section
    places: Mapping[str, tuple[Location, ...]]
    bad: frozenset[str]

    def section(self, name: str, kind: type[T]) -> T:
        """The section of this name.

        Raises:
            TypeError: it is of another kind, or unreadable because the rule does not name it in
                its needs.
        """
        value = getattr(self.root, name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} is no {kind.__name__}: does the rule need it?")
        return value

    def items(self, name: str, kind: type[T]) -> Items[T]:
        """The readable items of the list of this name, with their places.

        Raises:
            TypeError: one is of another kind.
        """
        items = self.section(name, tuple)
        wrong = [item for item in items if not isinstance(item, kind)]
        if wrong:
            raise TypeError(f"{name} holds {wrong[0]!r}, which is no {kind.__name__}")
        places = self.places.get(name) or [(name, index) for index in range(len(items))]
        return list(zip(places, items, strict=True))

    def sections(self) -> Iterator[tuple[Location, Section]]:
        """Every readable section with its location, except the root."""
        for name in type(self.root).model_fields:
            if name in self.places:
                for here, item in self.items(name, Section):
                    yield from sections_in(item, here)
            elif name not in self.bad:
                yield from sections_in(getattr(self.root, name), (name,))

    def line(self, location: Location) -> int:
        """The line a value begins on."""
        return self.document.at_value(location).line


@dataclass(frozen=True, slots=True)
class SectionRule:
    """A rule between sections. ``needs`` names those that must be readable as a whole."""

    find: Callable[[Draft], Iterator[Finding]]
    needs: frozenset[str]


def rule(*needs: str) -> Callable[[Callable[[Draft], Iterator[Finding]]], SectionRule]:
    """A decorator that makes a rule of a function; ``needs`` are the sections it reads."""
    return lambda find: SectionRule(find, frozenset(needs))


def check(draft: Draft, rules: Iterable[SectionRule]) -> Iterator[Finding]:
    """The findings of the sections' own rules and of the rules between sections."""
    for here, section in draft.sections():
        yield from _below(here, section.findings())
    for each in rules:
        if not each.needs & draft.bad:
            yield from each.find(draft)


def warnings(draft: Draft, rules: Iterable[SectionRule]) -> Iterator[Finding]:
    """Everything in a valid configuration that is likely a mistake."""
    for here, section in draft.sections():
        yield from _below(here, section.warnings())
    for each in rules:
        yield from each.find(draft)


def _below(here: Location, findings: Iterable[Finding]) -> Iterator[Finding]:
    for location, text in findings:
        yield Finding((*here, *location), text)


class Named(Protocol):
    """An item of a list that has a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


def duplicate_names(draft: Draft, items: Items[Named], what: str) -> Iterator[Finding]:
    """Items of a list that have the name of an earlier one. ``what`` they are, in the plural."""
    first: dict[str, Location] = {}
    for location, item in items:
        here = (*location, "name")
        other = first.setdefault(item.name, here)
        if other is not here:
            text = f'"{item.name}" is the name on line {draft.line(other)} too'
            yield Finding(here, f"{text}; {what} need names of their own")
