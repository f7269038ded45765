"""Path templates: ``/orders/{id}``, ``/static/**``, matched segment by segment.

``{name}`` and ``*`` stand for one segment that is not empty, ``**`` at the end for one or more
segments. Literal segments are compared with the path's canonical form.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sidecar.check.path import canonical
from sidecar.check.refusal import Refusal

_NAME: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class TemplateError(ValueError):
    """A template that cannot be used. The text says why."""


class Wild(Enum):
    """A wildcard segment of a template."""

    ONE = "*"
    REST = "**"


Segment = str | Wild


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A compiled template. ``parameters`` are the names and the segments (from 0) they stand at."""

    text: str
    segments: tuple[Segment, ...]
    parameters: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, text: str) -> "PathTemplate":
        """Compile a template.

        Raises:
            TemplateError: it is not a path, a literal part is not canonical, ``**`` is not last,
                or a parameter's name is not an identifier or occurs twice.
        """
        if not text.startswith("/"):
            raise TemplateError("a path template begins with a slash")
        segments: list[Segment] = []
        parameters: list[tuple[str, int]] = []
        parts = split(text)
        for index, part in enumerate(parts):
            name = _NAME.fullmatch(part)
            if name:
                if name[1] in dict(parameters):
                    raise TemplateError(f"the parameter {{{name[1]}}} stands twice")
                parameters.append((name[1], index))
                segments.append(Wild.ONE)
            elif part == "*":
                segments.append(Wild.ONE)
            elif part == "**":
                if index != len(parts) - 1:
                    raise TemplateError("** stands only at the end")
                segments.append(Wild.REST)
            else:
                segments.append(_literal(part, last=index == len(parts) - 1))
        return cls(text, tuple(segments), tuple(parameters))

    def fits(self, segments: list[str]) -> bool:
        """Whether the template matches a path of these segments."""
        if self.segments[-1] is Wild.REST:
            fixed, right_length = self.segments[:-1], len(segments) >= len(self.segments)
        else:
            fixed, right_length = self.segments, len(segments) == len(self.segments)
        return right_length and all(
            segment != "" if expected is Wild.ONE else segment == expected
            for expected, segment in zip(fixed, segments, strict=False)
        )


def split(path: str) -> list[str]:
    """The segments of a path that begins with a slash; a trailing slash gives an empty last one."""
    return path[1:].split("/")


def _literal(part: str, *, last: bool) -> str:
    if not part:
        if last:
            return part
        raise TemplateError("it holds an empty segment")
    if "*" in part or "{" in part or "}" in part:
        raise TemplateError(f"{part!r}: a parameter or * stands for a whole segment")
    form = canonical("/" + part, literal_semicolons=True)
    if isinstance(form, Refusal):
        raise TemplateError(f"{part!r} could never match: {form.detail}")
    if form != "/" + part:
        raise TemplateError(f"{part!r} could never match: write it as {form[1:]!r}")
    return part
