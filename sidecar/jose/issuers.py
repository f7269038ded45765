"""Issuers that are written as one text, in which a placeholder stands for a segment of the path.

An identity provider with many tenants has one issuer for each, such as
``https://login.microsoftonline.com/{tid}/v2.0`` with the tenant's id in place of ``{tid}``.
"""

import re
from typing import Final, NamedTuple

# What a placeholder stands for. Nothing in it can end a segment or be written in two ways.
SEGMENT: Final = re.compile(r"[A-Za-z0-9-]+")
# No placeholder in scheme or host: whoever has the host can sign. None in a query.
_TEMPLATE: Final = re.compile(
    r"(https?://[^/?#{}*\s]+/(?:[^?#{}*\s]*/)?)\{([A-Za-z0-9_-]+)\}((?:/[^?#{}*\s]*)?)"
)


class IssuerTemplate(NamedTuple):
    """The text before the placeholder, its name, and the text after it."""

    before: str
    placeholder: str
    after: str

    def __str__(self) -> str:
        """As it is written."""
        return self.filled(f"{{{self.placeholder}}}")

    def filled(self, value: str) -> str:
        """The issuer with this value in place of the placeholder."""
        return f"{self.before}{value}{self.after}"

    def matches(self, issuer: str) -> bool:
        """Whether an issuer is this text with one segment in place of the placeholder."""
        begin, end = len(self.before), len(issuer) - len(self.after)
        return (
            issuer.startswith(self.before)
            and issuer.endswith(self.after)
            and SEGMENT.fullmatch(issuer, begin, end) is not None
        )


def parse_template(text: str) -> IssuerTemplate | None:
    """Read a URL in which exactly one whole segment of the path is a placeholder; None if not."""
    match = _TEMPLATE.fullmatch(text)
    return IssuerTemplate(*match.groups()) if match else None


def overlap(one: IssuerTemplate, other: IssuerTemplate) -> bool:
    """Whether an issuer matches both templates."""
    segments, others = str(one).split("/"), str(other).split("/")
    return len(segments) == len(others) and all(
        mine == theirs or _may_be(mine, theirs) or _may_be(theirs, mine)
        for mine, theirs in zip(segments, others, strict=True)
    )


def _may_be(placeholder: str, segment: str) -> bool:
    """Whether the first is a placeholder, and may stand for the second."""
    return placeholder.startswith("{") and (
        segment.startswith("{") or SEGMENT.fullmatch(segment) is not None
    )
