"""Warnings about routes that keep encoded slashes: what a service that decodes them would see."""

from collections.abc import Iterator
from itertools import product
from typing import Final

from sidecar.check.routes import Match
from sidecar.check.templates import Affixed, PathTemplate, Segment, Wild
from sidecar.config.problems import Finding, format_names
from sidecar.config.rules import Draft, rule
from sidecar.config.sections.routes import RouteAllow, RouteSection

_PARAMETER: Final = Affixed("", "")


@rule()
def kept_slashes(draft: Draft) -> Iterator[Finding]:
    """What Envoy has to let through, and the stricter routes of the decoded paths."""
    routes = draft.items("routes", RouteSection)
    kept = [
        (here, item, match)
        for here, item in routes
        if (match := item.settings().match) is not None and match.encoded_slashes
    ]
    for here, _, _ in kept[:1]:
        text = (
            "Envoy has to let encoded slashes through for it: set path_with_escaped_slashes_action "
            "to KEEP_UNCHANGED where it is REJECT_REQUEST, as in the files in envoy/"
        )
        yield Finding((*here, "match", "encoded_slashes"), text)
    for here, item, match in kept:
        stricter = [
            other.name
            for _, other in routes
            if _asks_more(other.allow, item.allow)
            and (theirs := other.settings().match) is not None
            and _decoded_falls_under(match, theirs)
        ]
        if stricter:
            text = (
                f'a request for "{item.name}" may be, with its slashes decoded, one for '
                f"{format_names(stricter)}, where more is asked; make sure that the service finds "
                "its own route before it decodes, or put a literal segment in front of the "
                "parameter"
            )
            yield Finding((*here, "match", "encoded_slashes"), text)


def _asks_more(one: RouteAllow, other: RouteAllow) -> bool:
    """Whether ``one`` may refuse a request that ``other`` allows."""
    if one.public or other.public:
        return not one.public
    if other.optional and not one.optional:
        return True
    return not _asked(one) <= _asked(other)


def _asked(allow: RouteAllow) -> set[str]:
    """What a route asks of a token, in words that are the same for the same."""
    rules = allow.rules()
    others = [name for name in allow.named if name not in {*rules, "authenticated", "optional"}]
    return {
        *(each.describe() for each in rules.values()),
        *(f"{name}: {getattr(allow, name)}" for name in others),
    }


def _decoded_falls_under(kept: Match, other: Match) -> bool:
    """Whether ``other`` matches a path of ``kept`` in which an encoded slash became a slash."""
    methods = kept.methods | ({"HEAD"} if "GET" in kept.methods else set())
    return (
        (not methods or not other.methods or not methods.isdisjoint(other.methods))
        and (not kept.hosts or not other.hosts or _overlap(kept.hosts, other.hosts))
        and _decoded_matches(_with_parameters(kept.template), other.template.segments, longer=False)
    )


def _overlap(hosts: frozenset[str], others: frozenset[str]) -> bool:
    """Whether one host is matched by a pattern of each."""
    return any(
        one == other
        or (other.startswith("*.") and one.endswith(other[1:]))
        or (one.startswith("*.") and other.endswith(one[1:]))
        for one, other in product(hosts, others)
    )


def _with_parameters(template: PathTemplate) -> tuple[Segment, ...]:
    """The segments, those of a parameter alone told apart from ``*``."""
    alone = {index for _, index in template.parameters if template.segments[index] is Wild.ONE}
    return tuple(
        _PARAMETER if index in alone else segment for index, segment in enumerate(template.segments)
    )


def _decoded_matches(
    kept: tuple[Segment, ...], other: tuple[Segment, ...], *, longer: bool
) -> bool:
    """Whether the templates match one path, where a parameter of ``kept`` may be several segments.

    ``longer`` says that one already was: with none there is no encoded slash.
    """
    if not kept or not other:
        return longer and not kept and not other
    if other[0] is Wild.REST:
        return longer or any(isinstance(segment, Affixed) for segment in kept)
    if not _alike(kept[0], other[0]):
        return False
    return _decoded_matches(kept[1:], other[1:], longer=longer) or (
        isinstance(kept[0], Affixed)
        and _decoded_matches((_PARAMETER, *kept[1:]), other[1:], longer=True)
    )


def _alike(kept: Segment, other: Segment) -> bool:
    """Whether a segment may match both, as far as literal texts decide it."""
    if isinstance(kept, str) and isinstance(other, Affixed):
        return other.value_in(kept) is not None
    if isinstance(kept, str) and isinstance(other, str):
        return kept == other
    # A parameter is not empty. That affixes may rule each other out is not looked at.
    return "" not in {kept, other}
