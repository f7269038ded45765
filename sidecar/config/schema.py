"""Validates a document against its models, and writes the messages of what does not fit."""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sidecar.config.document import YamlDocument
from sidecar.config.problems import FileProblem, Location
from sidecar.config.values import DIRECTORY, format_value

M = TypeVar("M", bound=BaseModel)

_QUOTED: Final = re.compile("'([^']*)'")
_EXPECTED: Final = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


@dataclass(frozen=True, slots=True)
class Checked(Generic[M]):
    """The result of validating a document. ``bad`` holds the locations of what does not fit.

    ``model`` is None if anything is bad.
    """

    model: M | None
    problems: tuple[FileProblem, ...]
    bad: tuple[Location, ...]


def read(document: YamlDocument, model: type[M], value: object) -> M:
    """A value of a document as its model. Raises ValidationError where it does not fit."""
    return model.model_validate(value, context={DIRECTORY: document.path.parent})


def check(
    document: YamlDocument, model: type[M], owner: Callable[[Location], str | None] = lambda _: None
) -> Checked[M]:
    """Read the model from the document, and find everything in it that does not fit.

    Args:
        document: the document.
        model: what it is to be.
        owner: returns, for a key that is unknown at its place, what has such a key there.
    """
    try:
        return Checked(read(document, model, document.value), (), ())
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = [
            _problem(document, model, detail, owner)
            for detail in details
            if not _is_known_already(document, detail)
        ]
        return Checked(None, tuple(problems), tuple(detail["loc"] for detail in details))


def _is_known_already(document: YamlDocument, detail: ErrorDetails) -> bool:
    """Whether a detail only follows from another problem.

    A value that could not be read is None; a list whose items are all bad is reported as empty.
    """
    emptied = detail["type"] == "too_short" and bool(detail["input"])
    return emptied or detail["loc"] in document.unreadable


def has_key(model: type[BaseModel], location: Location) -> bool:
    """Whether the model has the key at a location, and every key on the path to it."""
    return all(
        name in _keys(_model_at(model, location[:index]))
        for index, name in enumerate(location)
        if isinstance(name, str)
    )


def _problem(
    document: YamlDocument,
    model: type[BaseModel],
    detail: ErrorDetails,
    owner: Callable[[Location], str | None],
) -> FileProblem:
    location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        if (other := owner(location)) is not None:
            text = f'the key "{location[-1]}" is for {other}; leave it out'
            return FileProblem(document.at_key(location), text)
        keys = _keys(_model_at(model, location[:-1]))
        suggestion = _suggestion(str(location[-1]), keys)
        text = f"the key {format_value(location[-1])} is unknown here; {suggestion}"
        return FileProblem(document.at_key(location), text)
    if detail["type"] == "missing":
        return FileProblem(document.at_key(location[:-1]), f'the key "{location[-1]}" is missing')
    if location and location[-1] == "[key]":  # pydantic's name for the key itself
        return FileProblem(document.at_key(location[:-1]), _text(detail))
    text = _text(detail)
    if detail["type"] == "model_type":
        text += f"; its keys are: {', '.join(_keys(_model_at(model, location)))}"
    return FileProblem(document.at_value(location), text)


def _text(detail: ErrorDetails) -> str:
    """What is wrong with one value; what would be right."""
    found = format_value(detail["input"])
    context: dict[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error" | "enum":
            accepted = _QUOTED.findall(context["expected"])
            return f"{found} is not accepted here; {_suggestion(str(detail['input']), accepted)}"
        case "too_short":
            return "the list is empty; write at least one item"
        case "greater_than_equal":
            return f"{found} is too small; write at least {context['ge']:.10g}"
        case "less_than_equal":
            return f"{found} is too large; write at most {context['le']:.10g}"
        case "tuple_type" if not isinstance(detail["input"], dict | None):
            return f"expected a list, and found {found}; write [{found}]"
        case kind if kind in _EXPECTED:
            return f"expected {_EXPECTED[kind]}, and found {found}"
        case _:
            return f"{detail['msg']}, and found {found}"


def _suggestion(found: str, accepted: Iterable[str]) -> str:
    names = list(accepted)
    close = difflib.get_close_matches(found, names, n=1)
    question = f'did you mean "{close[0]}"? ' if close else ""
    return f"{question}accepted: {', '.join(names)}"


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys of the mapping that a model reads."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    """The model that reads the mapping at a location."""
    for step in location:
        field = model.model_fields.get(step) if isinstance(step, str) else None
        if field is not None:
            model = _model_in(field.annotation) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model in an annotation such as ``tuple[Route, ...]`` or ``Match | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
