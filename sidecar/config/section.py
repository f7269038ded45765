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

    It is frozen, and unknown keys are refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    def findings(self) -> Iterator[Finding]:
        """The findings of the section's own rules. Locations are relative to the section."""
        yield from ()

    def warnings(self) -> Iterator[Finding]:
        """What is allowed and likely a mistake. Called only if no rule found anything."""
        yield from ()

    def refuse_all_but_one(self, names: Iterable[str]) -> str:
        """The one of these keys that has a value. Raises ValueError if none or several have one."""
        names = tuple(names)
        written = [name for name in names if getattr(self, name) not in (None, ())]
        if not written:
            raise ValueError(f"one of these is needed here: {', '.join(names)}")
        if len(written) > 1:
            raise ValueError(f"only one of these can stand here: {', '.join(written)}")
        return written[0]


# Any: the type of a field is that of its annotation; pydantic reads the default.
def written(default: object, description: str, **bounds: Any) -> Any:
    """An optional key: its default, written as in a file, and its description.

    ``bounds`` are constraints of pydantic's ``Field``. A default that is empty is not validated.
    """
    bounds["validate_default"] = bool(default)
    return Field(default=default, description=description, **bounds)


class OneOf(Section):
    """A section of which exactly one key is written."""

    @property
    def chosen(self) -> str:
        """The key that is written."""
        return self.refuse_all_but_one(type(self).model_fields)

    @model_validator(mode="after")
    def _one(self) -> Self:
        self.refuse_all_but_one(type(self).model_fields)
        return self


def sections_in(value: object, here: Location) -> Iterator[tuple[Location, Section]]:
    """Every section in a value of the file, with its location; the value itself first."""
    if isinstance(value, Section):
        yield here, value
        for name, field in type(value).model_fields.items():
            yield from sections_in(getattr(value, name), (*here, field.alias or name))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from sections_in(item, (*here, index))


@cache
def annotations(kind: type[Section]) -> Mapping[str, Any]:
    """The types of a section's keys, as they are written there."""
    return get_type_hints(kind, include_extras=True)


def copied(kind: type[T], *sections: Section, **others: object) -> T:
    """Creates settings of a kind from ``others`` and the sections' keys of the same names.

    A list becomes a set, and a mapping a tuple of its items, where the setting has that type.

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
    """The conversions from a section's keys to the settings of the same names, but ``others``."""
    keys = get_type_hints(section)
    shared = {each.name: each.type for each in fields(kind) if each.name in keys.keys() - others}
    return {name: _conversion(keys[name], type_) for name, type_ in shared.items()}


def _conversion(key: Any, setting: Any) -> Callable[[Any], object]:
    """The conversion from a value of a key's type to one of a setting's type."""
    origins = (get_origin(key), get_origin(setting))
    of_key, of_setting = get_args(key), get_args(setting)
    if key == setting:
        return lambda value: value
    if origins == (tuple, frozenset) and of_key == (*of_setting, ...):
        return frozenset
    if origins == (dict, tuple) and of_key == get_args(of_setting[0]):
        return lambda value: tuple(value.items())
    raise TypeError(f"a setting is {setting}, and the key of its name is {key}")
