"""Warns of a pattern that most likely was meant as a regular expression."""

from collections.abc import Iterator
from typing import Final

from sidecar.config.problems import Finding
from sidecar.config.rules import Draft, rule
from sidecar.config.section import annotations
from sidecar.config.values import Pattern, PatternOfParts

_LISTS: Final = (tuple[Pattern, ...], tuple[PatternOfParts, ...])


@rule()
def regular_expressions(draft: Draft) -> Iterator[Finding]:
    """In a pattern, only ``*`` stands for anything but itself."""
    for here, section in draft.sections():
        kinds = annotations(type(section))
        for name, field in type(section).model_fields.items():
            patterns = getattr(section, name) if kinds[name] in _LISTS else ()
            for index, each in enumerate(patterns):
                if _is_expression(each):
                    text = (
                        "this reads like a regular expression, and is none: * stands for one whole "
                        "part between : or /, in subjects and callers ** at the end for more, and "
                        "everything else for itself; leave out ^ and $, and the dot in front of *"
                    )
                    yield Finding((*here, field.alias or name, index), text)


def _is_expression(pattern: str) -> bool:
    """Whether a pattern has an anchor, or a part that is a dot with a quantifier."""
    return (
        pattern.startswith("^")
        or pattern.endswith(("*$", "+$"))
        or not {".*", ".+"}.isdisjoint(pattern.replace("/", ":").split(":"))
    )
