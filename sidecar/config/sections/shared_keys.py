"""The rule that a key belongs to one issuer, and ``shared_keys``, which says where it does not.

Whoever has a key could sign tokens of every issuer that it is trusted for (RFC 8725 §3.8).
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from sidecar.config.problems import Finding, Location, format_names
from sidecar.config.rules import Draft, Items, rule
from sidecar.config.sections.trust import Trust


def may_share(one: Trust, other: Trust) -> bool:
    """Whether two entries may have one key: they are of the same issuers, or name each other."""
    named = other.name in one.shared_keys and one.name in other.shared_keys
    return named or one.has_issuers_of(other)


@rule("trust")
def _shared_keys_are_of_entries_that_agree(draft: Draft) -> Iterator[Finding]:
    entries = draft.items("trust", Trust)
    places = {trust.name: (at, trust) for at, trust in entries}
    for here, trust in entries:
        for index, name in enumerate(trust.shared_keys):
            problem = _disagreement(draft, trust, name, places)
            if problem:
                yield Finding((*here, "shared_keys", index), problem)


def _disagreement(
    draft: Draft, trust: Trust, name: str, places: dict[str, tuple[Location, Trust]]
) -> str:
    """Why an entry cannot share keys with the one of this name; empty if it can."""
    if name == trust.name:
        return "an entry has its own keys anyway; leave it out"
    if name not in places:
        others = format_names(other for other in places if other != trust.name)
        return f'no trust entry is called "{name}"; accepted: {others or "none, there is no other"}'
    at, other = places[name]
    if trust.name not in other.shared_keys:
        return (
            f'"{name}" (line {draft.line(at)}) does not name "{trust.name}"; write shared_keys '
            f"in both entries"
        )
    if trust.kind is not other.kind:
        return (
            f'"{name}" is of kind {other.kind.value} and this entry of kind {trust.kind.value}; '
            "entries that name each other here are of one kind: give each its own keys"
        )
    return ""


@rule()
def _a_place_of_keys_is_of_one_issuer(draft: Draft) -> Iterator[Finding]:
    by_place: defaultdict[tuple[str, ...], list[tuple[Location, Trust]]] = defaultdict(list)
    for here, trust in draft.items("trust", Trust):
        if trust.keys.source.place:
            by_place[trust.keys.source.place].append((here, trust))
    for same in by_place.values():
        yield from _strangers(draft, same)


def _strangers(draft: Draft, same: Items[Trust]) -> Iterator[Finding]:
    """Entries whose keys are in one place, and that may not share them."""
    for index, (here, second) in enumerate(same):
        others = [(at, first) for at, first in same[:index] if not may_share(first, second)]
        for at, first in others[:1]:
            text = (
                f'these are the keys of "{first.name}" (line {draft.line(at)}), too, and a key '
                "belongs to one issuer; if both are one provider's, write shared_keys: "
                f"[{first.name}] here and shared_keys: [{second.name}] there"
            )
            yield Finding((*here, "keys", second.keys.chosen), text)


SHARED_KEYS_RULES: Final = (
    _shared_keys_are_of_entries_that_agree,
    _a_place_of_keys_is_of_one_issuer,
)
