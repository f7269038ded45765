"""Warns of a claim's name with dots that most likely was meant as a path to a nested claim.

Dots do not lead into an object: a name may have them, and that of a claim of one's own often is a
URL (RFC 7519 §4.2).
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, get_args, get_origin

from sidecar.check.trust import ClaimPath
from sidecar.config.problems import Finding, Location
from sidecar.config.rules import Draft, rule
from sidecar.config.section import annotations
from sidecar.config.values import Claim, IdentityClaim

ONE_CLAIM: Final = "{} is the name of one claim, dots included, and leads to no nested one"


def is_dotted(name: str) -> bool:
    """Whether a claim's name has dots and is no URL."""
    return "." in name and "://" not in name


@rule()
def dotted_claims(draft: Draft) -> Iterator[Finding]:
    """Claims are named by their name, or by a list of names."""
    for here, section in draft.sections():
        kinds = annotations(type(section))
        for name, field in type(section).model_fields.items():
            place = (*here, field.alias or name)
            for location, path in _claims(kinds[name], getattr(section, name), place):
                if len(path) == 1 and is_dotted(path[0]):
                    parts = ", ".join(path[0].split("."))
                    yield Finding(location, f"{ONE_CLAIM.format(path[0])}; write [{parts}]")


def _claims(hint: Any, value: Any, here: Location) -> Iterator[tuple[Location, ClaimPath]]:
    """The claims in a value of a key, whose type is ``hint``, with their locations."""
    if hint in (Claim, IdentityClaim):
        if isinstance(value, tuple):
            yield here, value
        return
    kinds = get_args(hint)
    if get_origin(hint) is Annotated:
        yield from _claims(kinds[0], value, here)
    elif isinstance(value, tuple) and get_origin(hint) is tuple:
        for index, item in enumerate(value):
            yield from _claims(kinds[0], item, (*here, index))
    elif isinstance(value, dict) and get_origin(hint) is dict:
        for key, item in value.items():
            yield from _claims(kinds[1], item, (*here, key))
    elif value is not None:
        for kind in kinds:
            yield from _claims(kind, value, here)
