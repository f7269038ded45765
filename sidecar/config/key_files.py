"""Checks key and TLS files, and that the files of secrets exist, when a configuration is loaded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from sidecar.clients.files import read
from sidecar.clients.tls import TlsFiles, client_context
from sidecar.config.problems import Finding, Location
from sidecar.config.rules import Draft
from sidecar.config.section import Section
from sidecar.config.sections.http import RequestHeaders
from sidecar.config.sections.keys import FileKeysSection
from sidecar.config.sections.proxy import Proxy
from sidecar.config.sections.shared_keys import may_share
from sidecar.config.sections.trust import Trust
from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import KeyDocument, in_short, parse
from sidecar.keys.sources.file import MAXIMUM_BYTES

# The keys of a section that name files which are read when it is loaded.
_READ: Final = frozenset({"path", "ca_file", "certificate", "private_key"})


class KeyFiles(Enum):
    """What is required of key files when a configuration is loaded."""

    REQUIRED = auto()  # all exist and are valid
    GOOD_IF_THERE = auto()  # those that exist are valid; the others may be delivered later
    IGNORED = auto()  # none is read


@dataclass(frozen=True, slots=True)
class ExaminedFiles:
    """The keys by trust entry, the problems of the files, and the warnings about them."""

    keys: Mapping[str, tuple[VerificationKey, ...]]
    wrong: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def examine(draft: Draft, expectation: KeyFiles) -> ExaminedFiles:
    """Read the key and TLS files that sources name, and check that the files of secrets exist.

    No secret is read, and no server is asked.
    """
    keys: dict[str, tuple[VerificationKey, ...]] = {}
    wrong: list[Finding] = []
    warnings: list[Finding] = []
    owners: defaultdict[str, list[Trust]] = defaultdict(list)
    if expectation is KeyFiles.IGNORED:
        return ExaminedFiles(keys, (), ())
    (wrong if expectation is KeyFiles.REQUIRED else warnings).extend(_missing_secrets(draft))
    for at, trust in draft.items("trust", Trust):
        source, here = trust.keys.source, (*at, "keys", trust.keys.chosen)
        files = written_files(source)
        missing = {name: path for name, path in files.items() if not path.exists()}
        if missing and expectation is KeyFiles.GOOD_IF_THERE:
            for name, path in missing.items():
                text = f"{path} is not there yet; until it is, tokens of {trust.name} get a 503"
                warnings.append(Finding((*here, name), text))
            continue
        if not isinstance(source, FileKeysSection):
            wrong += unusable_for_tls(here, files)
            continue
        path_here = (*here, "path")
        try:
            found, left_out = _read(source.path)
        except SourceFault as fault:
            wrong.append(Finding(path_here, str(fault)))
            continue
        keys[trust.name] = found
        if left_out:
            warnings.append(Finding(path_here, f"keys are left out: {in_short(left_out)}"))
        wrong += _foreign(path_here, trust, found, owners)
        found = tuple(key for key in found if trust.may_have(key))
        if not found:
            text = f"every key of {source.path} names another issuer as its own (issuer)"
            wrong.append(Finding(path_here, text))
            continue
        unusable = _unusable(at, trust, found)
        (wrong if len(unusable) == len(trust.algorithms) else warnings).extend(unusable)
    return ExaminedFiles(keys, tuple(wrong), tuple(warnings))


def written_files(section: Section) -> dict[str, Path]:
    """The files that are named in the configuration; a default path exists only in a pod."""
    written = {name: getattr(section, name) for name in sorted(section.model_fields_set & _READ)}
    return {name: file for name, file in written.items() if isinstance(file, Path)}


def _missing_secrets(draft: Draft) -> Iterator[Finding]:
    """The files of secrets for servers and the proxy that do not exist. None is read."""
    for here, section in draft.sections():
        for location, path in _secrets(section):
            if not path.exists():
                yield Finding((*here, *location), f"{path} is not there")


def _secrets(section: Section) -> Iterator[tuple[Location, Path]]:
    if isinstance(section, RequestHeaders):
        for name, path in section.headers.items():
            yield ("headers", name), path
    if isinstance(section, Proxy) and section.credentials_file is not None:
        yield ("credentials_file",), section.credentials_file


def unusable_for_tls(here: Location, files: Mapping[str, Path]) -> Iterator[Finding]:
    """What is wrong with the certificates of a source."""
    both = TlsFiles(certificate=files.get("certificate"), private_key=files.get("private_key"))
    for name, used in (("ca_file", TlsFiles(ca=files.get("ca_file"))), ("certificate", both)):
        try:
            if name in files:
                client_context(used)
        except SourceFault as fault:
            yield Finding((*here, name), str(fault))


def _read(path: Path) -> KeyDocument:
    data = read(path, MAXIMUM_BYTES)
    try:
        return parse(data)
    except SourceFault as fault:
        raise SourceFault(f"{path} {fault}") from fault


def _foreign(
    here: Location,
    trust: Trust,
    found: tuple[VerificationKey, ...],
    owners: defaultdict[str, list[Trust]],
) -> list[Finding]:
    """Keys that another issuer has, too, in another file: it could sign tokens of this entry."""
    others = {
        owner.name
        for key in found
        for owner in owners[key.thumbprint]
        if not may_share(owner, trust) and owner.keys.source.place != trust.keys.source.place
    }
    for key in found:
        owners[key.thumbprint].append(trust)
    return [
        Finding(
            here,
            f'holds a key that "{name}" has too, and a key belongs to one issuer; if both are one '
            f"provider's, write shared_keys: [{name}] here and shared_keys: [{trust.name}] there",
        )
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
