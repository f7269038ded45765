"""Checks the files that a gateway's configuration names, besides those of trust entries."""

import time
from collections.abc import Iterator
from pathlib import Path

from sidecar.config.key_files import ExaminedFiles, KeyFiles, unusable_for_tls, written_files
from sidecar.config.problems import Finding, Location
from sidecar.config.rules import Draft, Items
from sidecar.config.section import Section
from sidecar.config.sections.gateway.introspection import IssuerClient
from sidecar.config.sections.gateway.listen import InternalTls
from sidecar.config.sections.gateway.request_tokens import RequestTokens
from sidecar.config.sections.gateway.session import SessionSection
from sidecar.errors import Fault, ListenFault
from sidecar.pages.tls import ServerTls
from sidecar.rings.directory_ring import check_directory
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring_file import FILE
from sidecar.rings.sealing_key import SealingKey

_Ring = tuple[Location, Path, type[LocalKey] | type[SealingKey], Timings]


def examine(draft: Draft, found: ExaminedFiles, expectation: KeyFiles) -> ExaminedFiles:
    """Read the rings and the TLS files, and check that the files of secrets exist.

    ``found`` is the result for the files of trust entries.
    """
    if expectation is KeyFiles.IGNORED:
        return found
    sections = [(here, each) for here, each in draft.sections() if here[0] != "trust"]
    wrong: list[Finding] = []
    missing: list[Finding] = []
    for here, section in sections:
        files = written_files(section)
        named = files | _secrets(section)
        missing += [
            Finding((*here, name), f"{path} is not there")
            for name, path in named.items()
            if not path.exists()
        ]
        if all(path.exists() for path in files.values()):
            wrong += _unusable(here, section, files)
    for here, directory, kind, timings in _rings(sections):
        if not (directory / FILE).exists():
            text = f"{directory / FILE} is not there; sidecar keys new makes it"
            missing.append(Finding(here, text))
            continue
        try:
            check_directory(directory, kind, timings, time.time())
        except Fault as fault:
            wrong.append(Finding(here, str(fault)))
    required = expectation is KeyFiles.REQUIRED
    return ExaminedFiles(
        found.keys,
        (*found.wrong, *wrong, *(missing if required else ())),
        (*found.warnings, *(() if required else missing)),
    )


def _rings(sections: Items[Section]) -> Iterator[_Ring]:
    """The rings in directories: location, directory, kind of key and timings."""
    for here, section in sections:
        if isinstance(section, RequestTokens) and section.keys.directory is not None:
            directory = section.keys.directory
            yield (*here, "keys", "directory"), directory, LocalKey, section.timings()
        elif isinstance(section, SessionSection):
            directory = section.keys.directory
            yield (*here, "keys", "directory"), directory, SealingKey, section.timings()


def _secrets(section: Section) -> dict[str, Path]:
    """The files that hold secrets. They are not read; only their existence is checked."""
    if not isinstance(section, IssuerClient):
        return {}
    names = ("secret_file", "key_file", "token_file")
    files = {name: getattr(section, name) for name in names}
    return {name: path for name, path in files.items() if path is not None}


def _unusable(here: Location, section: Section, files: dict[str, Path]) -> Iterator[Finding]:
    """What is wrong with the certificates of a client or of a listener."""
    if isinstance(section, InternalTls):
        try:
            ServerTls(**files)
        except ListenFault as fault:
            yield Finding((*here, "certificate"), str(fault))
    else:
        yield from unusable_for_tls(here, files)
