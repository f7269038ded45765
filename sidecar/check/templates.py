"""Path templates: ``/orders/{id}``, ``/static/**``, matched segment by segment.

``{name}`` and ``*`` stand for one segment that is not empty, ``**`` at the end for one or more
segments. Literal text may stand before and after a ``{name}``, as in ``/jobs/{id}:cancel``; the
parameter is then what is between, and not empty. Literal text is compared with the path's canonical
form.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from sidecar.check.path import ENCODED_SLASH, canonical
from sidecar.check.refusal import Refusal

_PARAMETER: Final = re.compile(r"([^{}*]*)\{([A-Za-z_][A-Za-z0-9_]*)\}([^{}*]*)")


class TemplateError(ValueError):
    """A template that cannot be used. The text says why."""


class Wild(Enum):
    """A wildcard segment of a template."""

    ONE = "*"
    REST = "**"


class Affixed(NamedTuple):
    """A segment with a parameter between literal texts, one of which may be empty."""

    prefix: str
    suffix: str

    def value_in(self, segment: str) -> str | None:
        """The parameter's value in a segment of a canonical path; None if it does not match."""
        end = len(segment) - len(self.suffix)
        if end <= len(self.prefix) or "%" in segment[max(end - 2, 0) : end]:
            # The parameter would be empty, or the suffix begin within an encoding: 0 within %20.
            return None
        if segment.startswith(self.prefix) and segment.endswith(self.suffix):
            return segment[len(self.prefix) : end]
        return None


Segment = str | Wild | Affixed


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
            parameter = _PARAMETER.fullmatch(part)
            if parameter:
                prefix, name, suffix = parameter.groups()
                if name in dict(parameters):
                    raise TemplateError(f"the parameter {{{name}}} stands twice")
                parameters.append((name, index))
                segments.append(_affixed(prefix, suffix) if prefix or suffix else Wild.ONE)
            elif part == "*":
                segments.append(Wild.ONE)
            elif part == "**":
                if index != len(parts) - 1:
                    raise TemplateError("** stands only at the end")
                segments.append(Wild.REST)
            else:
                segments.append(_literal(part, last=index == len(parts) - 1))
        return cls(text, tuple(segments), tuple(parameters))

    def values(self, path: str) -> dict[str, str]:
        """The parameters in a canonical path, as they stand; empty if it does not match."""
        if not self.parameters:
            return {}
        segments = path[1:].split("/", len(self.segments))
        if not self.fits(segments):
            return {}
        return {
            name: _value(self.segments[index], segments[index]) for name, index in self.parameters
        }

    def encloses_slashes(self, path: str) -> bool:
        """Whether every encoded slash of a canonical path is inside the value of a parameter."""
        values = self.values(path).values()
        # Inside a segment it may still be at the start or end of what is between literal texts.
        return path.count(ENCODED_SLASH) == sum(
            value.count(ENCODED_SLASH)
            for value in values
            if not value.startswith(ENCODED_SLASH) and not value.endswith(ENCODED_SLASH)
        )

    def fits(self, segments: list[str]) -> bool:
        """Whether the template matches a path of these segments."""
        if self.segments[-1] is Wild.REST:
            fixed, right_length = self.segments[:-1], len(segments) >= len(self.segments)
        else:
            fixed, right_length = self.segments, len(segments) == len(self.segments)
        return right_length and all(
            expected == segment or _is_filled(expected, segment)
            for expected, segment in zip(fixed, segments, strict=False)
        )


def split(path: str) -> list[str]:
    """The segments of a path that begins with a slash; a trailing slash gives an empty last one."""
    return path[1:].split("/")


def _is_filled(expected: Segment, segment: str) -> bool:
    """Whether the segment is no literal text, and has a value here."""
    if isinstance(expected, Affixed):
        return expected.value_in(segment) is not None
    return expected is Wild.ONE and segment != ""


def _value(expected: Segment, segment: str) -> str:
    """The value of the parameter of a segment that fits."""
    value = expected.value_in(segment) if isinstance(expected, Affixed) else None
    return segment if value is None else value


def _affixed(prefix: str, suffix: str) -> Affixed:
    for affix in (prefix, suffix):
        # Beside a parameter, which is not empty, dots alone are no dot segment.
        _require_canonical(affix, before="/x")
    return Affixed(prefix, suffix)


def _literal(part: str, *, last: bool) -> str:
    if not part:
        if last:
            return part
        raise TemplateError("it holds an empty segment")
    if "*" in part:
        raise TemplateError(
            f"{part!r}: * stands for a whole segment; with text beside it, give it a name: {{name}}"
        )
    if "{" in part or "}" in part:
        raise TemplateError(
            f"{part!r}: a segment has at most one parameter, {{name}}, with a name of letters, "
            "digits and _"
        )
    _require_canonical(part, before="/")
    return part


def _require_canonical(part: str, *, before: str) -> None:
    """Raises TemplateError if a path of ``before`` and ``part`` is not canonical."""
    form = canonical(before + part, literal_semicolons=True)
    if isinstance(form, Refusal):
        raise TemplateError(f"{part!r} could never match: {form.detail}")
    if form != before + part:
        written = form.removeprefix(before)
        raise TemplateError(f"{part!r} could never match: write it as {written!r}")
