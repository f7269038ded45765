"""The base of every section of a configuration, and how its keys are copied into settings."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sidecar.config.problems import Finding, Location

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class Section(BaseModel):
    """A mapping of the file: its keys, the rules between their values, and its settings.

    Nothing unknown, nothing changes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    def findings(self) -> Iterator[Finding]:
        """What the section's own rules find. Locations begin at the section."""
        yield from ()

    def warnings(self) -> Iterator[Finding]:
        """What is allowed here and seldom meant. Asked only where no rule found anything."""
        yield from ()

    def refuse_all_but_one(self, names: Iterable[str]) -> str:
        """The one of these keys after which something is written. Raises ValueError for 0 or 2."""
        names = tuple(names)
        written = [name for name in names if getattr(self, name) is not None]
        if not written:
            raise ValueError(f"one of these is needed here: {', '.join(names)}")
        if len(written) > 1:
            raise ValueError(f"only one of these can stand here: {', '.join(written)}")
        return written[0]


# Any: a field is of its own type, whatever stands for it until it is read.
def written(default: object, description: str, **bounds: Any) -> Any:
    """A key that may be left out: what is then read in its place, and what the key means.

    ``bounds`` are pydantic's, for what is written. A default that is nothing is not read.
    """
    bounds["validate_default"] = bool(default)
    return Field(default=default, description=description, **bounds)


class OneOf(Section):
    """A section of which one key is written, and only one."""

    @property
    def chosen(self) -> str:
        """The key that is written."""
        return self.refuse_all_but_one(type(self).model_fields)

    @model_validator(mode="after")
    def _one(self) -> Self:
        self.refuse_all_but_one(type(self).model_fields)
        return self


def sections_in(value: object, here: Location) -> Iterator[tuple[Location, Section]]:
    """Every section in a value of the file, with its place; the value itself first."""
    if isinstance(value, Section):
        yield here, value
        for name, field in type(value).model_fields.items():
            yield from sections_in(getattr(value, name), (*here, field.alias or name))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from sections_in(item, (*here, index))


def copied(kind: type[T], *sections: Section, **others: object) -> T:
    """Settings of a kind: ``others``, and the sections' keys that have the names of settings.

    A list becomes a set and a mapping a tuple of its items, where the settings have these.

    Raises:
        TypeError: a key is of another type than the setting of its name, or a setting is missing.
    """
    values = dict(others)
    for section in sections:
        for name, convert in _shared(kind, type(section), frozenset(values)).items():
            values[name] = convert(getattr(section, name))
    return kind(**values)


@cache
def _shared(
    kind: type[T], section: type[Section], others: frozenset[str]
) -> Mapping[str, Callable[[Any], object]]:
    """What turns a section's keys into the settings of their names, but for ``others``."""
    keys = get_type_hints(section)
    shared = {each.name: each.type for each in fields(kind) if each.name in keys.keys() - others}
    return {name: _conversion(keys[name], type_) for name, type_ in shared.items()}


def _conversion(key: Any, setting: Any) -> Callable[[Any], object]:
    """What turns a value of a key's type into one of a setting's."""
    origins = (get_origin(key), get_origin(setting))
    of_key, of_setting = get_args(key), get_args(setting)
    if key == setting:
        return lambda value: value
    if origins == (tuple, frozenset) and of_key == (*of_setting, ...):
        return frozenset
    if origins == (dict, tuple) and of_key == get_args(of_setting[0]):
        return lambda value: tuple(value.items())
    raise TypeError(f"a setting is {setting}, and the key of its name is {key}")
