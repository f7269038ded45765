"""The key files a configuration names, looked at while somebody is there to read the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from sidecar.clients.files import read
from sidecar.config.build import key_file
from sidecar.config.models import Trust
from sidecar.config.problems import Location
from sidecar.config.semantics import Draft, Finding
from sidecar.errors import SourceFault
from sidecar.keys.documents import parse
from sidecar.keys.sources.file import MAXIMUM_BYTES
from sidecar.snapshots.keys import VerificationKey


class KeyFiles(Enum):
    """What is expected of key files when a configuration is loaded."""

    REQUIRED = auto()  # all are there and good
    GOOD_IF_THERE = auto()  # what is there is good; the rest may be delivered later
    IGNORED = auto()  # none is read


@dataclass(frozen=True, slots=True)
class Found:
    """The keys by trust entry, what is wrong with them, and what only looks wrong."""

    keys: Mapping[str, tuple[VerificationKey, ...]]
    wrong: tuple[Finding, ...]
    doubtful: tuple[Finding, ...]


def examine(draft: Draft, expectation: KeyFiles) -> Found:
    """Read the key file of every trust entry, and hold the keys against the entry."""
    keys: dict[str, tuple[VerificationKey, ...]] = {}
    wrong: list[Finding] = []
    doubtful: list[Finding] = []
    owners: dict[str, Trust] = {}
    if expectation is KeyFiles.IGNORED:
        return Found(keys, (), ())
    for location, trust in draft.trust:
        here = (*location, "keys", "file", "path")
        path = key_file(trust, draft.document.path)
        if expectation is KeyFiles.GOOD_IF_THERE and not path.exists():
            text = f"{path} is not there yet; until it is, tokens of {trust.name} get a 503"
            doubtful.append(Finding(here, text))
            continue
        try:
            found = _read(path)
        except SourceFault as fault:
            wrong.append(Finding(here, str(fault)))
            continue
        keys[trust.name] = found
        wrong += _foreign(here, trust, found, owners)
        unusable = _unusable(location, trust, found)
        (wrong if len(unusable) == len(trust.algorithms) else doubtful).extend(unusable)
    return Found(keys, tuple(wrong), tuple(doubtful))


def _read(path: Path) -> tuple[VerificationKey, ...]:
    data = read(path, MAXIMUM_BYTES)
    try:
        return parse(data)
    except SourceFault as fault:
        raise SourceFault(f"{path} {fault}") from fault


def _foreign(
    here: Location, trust: Trust, found: tuple[VerificationKey, ...], owners: dict[str, Trust]
) -> list[Finding]:
    """What of an entry's keys another issuer has: it could sign for this one."""
    others = {
        owner.name
        for key in found
        if (owner := owners.setdefault(key.thumbprint, trust)).issuer != trust.issuer
    }
    return [
        Finding(here, f'holds a key that "{name}" has too; a key belongs to one issuer')
        for name in sorted(others)
    ]


def _unusable(
    location: Location, trust: Trust, found: tuple[VerificationKey, ...]
) -> list[Finding]:
    """The algorithms of an entry that none of its keys is for."""
    usable = frozenset[str]().union(*(key.algorithms for key in found))
    return [
        Finding(
            (*location, "algorithms", index),
            f"no key of the file is for {name}; its keys are for: {', '.join(sorted(usable))}",
        )
        for index, name in enumerate(trust.algorithms)
        if name not in usable
    ]
