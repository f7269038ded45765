"""The files that a gateway's configuration names, besides those of its trust entries."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sidecar.config import key_files
from sidecar.config.key_files import Found, KeyFiles, unusable_for_tls, written_files
from sidecar.config.problems import Location
from sidecar.config.rules import Draft, Finding
from sidecar.config.sections.gateway.build import request_timings, session_timings
from sidecar.config.sections.gateway.credential_rules import credentials
from sidecar.config.sections.gateway.root import Gateway
from sidecar.config.sections.keys import Reached
from sidecar.errors import Fault, ListenFault
from sidecar.keys.rings.directory import FILE
from sidecar.keys.rings.lifecycle import Timings
from sidecar.keys.rings.local import LocalKey
from sidecar.keys.rings.sealing import SealingKey
from sidecar.keys.rings.usable import examine_directory
from sidecar.wire.tls import ServerTls

_Ring = tuple[Location, Path, type[LocalKey] | type[SealingKey], Timings]
_SECRETS: Final = ("secret_file", "key_file")
_INTERNAL_TLS: Final = ("listen", "internal_tls")


def examine(draft: Draft[Gateway], expectation: KeyFiles) -> Found:
    """Read the keys that sign and seal, and what TLS needs; see that secrets are there."""
    found = key_files.examine(draft, expectation)
    if expectation is KeyFiles.IGNORED:
        return found
    beside = draft.document.path.parent
    wrong: list[Finding] = []
    missing: list[Finding] = []
    for here, path in _named(draft, beside):
        if not path.exists():
            missing.append(Finding(here, f"{path} is not there"))
    for here, directory, kind, needed in _rings(draft, beside):
        if not (directory / FILE).exists():
            text = f"{directory / FILE} is not there; sidecar keys new makes it"
            missing.append(Finding(here, text))
            continue
        try:
            examine_directory(directory, kind, needed, time.time())
        except Fault as fault:
            wrong.append(Finding(here, str(fault)))
    for here, reached in _reached(draft):
        files = dict(written_files(reached, beside))
        if all(path.exists() for path in files.values()):
            wrong += unusable_for_tls(here, files)
    wrong += _unusable_internal_tls(draft, beside)
    required = expectation is KeyFiles.REQUIRED
    return Found(
        found.keys,
        (*found.wrong, *wrong, *(missing if required else ())),
        (*found.doubtful, *(() if required else missing)),
    )


def _rings(draft: Draft[Gateway], beside: Path) -> Iterator[_Ring]:
    """The rings in directories: where they are named, where they are, and what they must be."""
    tokens = draft.root.request_tokens
    if "request_tokens" not in draft.bad and tokens.keys.directory is not None:
        here: Location = ("request_tokens", "keys", "directory")
        yield here, beside / tokens.keys.directory, LocalKey, request_timings(tokens)
    for place, credential in credentials(draft):
        if (session := credential.session) is not None:
            directory = beside / session.keys.directory
            here = (*place, "session", "keys", "directory")
            yield here, directory, SealingKey, session_timings(session)


def _reached(draft: Draft[Gateway]) -> Iterator[tuple[Location, Reached]]:
    """The servers that are asked: those of sessions, and Vault."""
    for place, credential in credentials(draft):
        if credential.introspection is not None:
            yield (*place, "introspection"), credential.introspection
    if "request_tokens" not in draft.bad:
        keys = draft.root.request_tokens.keys
        ring = keys.transit or keys.ephemeral
        if ring is not None:
            yield ("request_tokens", "keys", keys.chosen), ring


def _named(draft: Draft[Gateway], beside: Path) -> Iterator[tuple[Location, Path]]:
    """Every single file that is named, but for the rings."""
    for here, reached in _reached(draft):
        for name, path in written_files(reached, beside):
            yield (*here, name), path
    for place, credential in credentials(draft):
        client = credential.introspection.client if credential.introspection else None
        for name in _SECRETS:
            if client is not None and (file := getattr(client, name)) is not None:
                yield (*place, "introspection", "client", name), beside / file
    for name, path in _internal_tls(draft, beside).items():
        yield (*_INTERNAL_TLS, name), path


def _internal_tls(draft: Draft[Gateway], beside: Path) -> dict[str, Path]:
    tls = draft.root.listen.internal_tls
    if tls is None or "listen" in draft.bad:
        return {}
    return {"certificate": beside / tls.certificate, "private_key": beside / tls.private_key}


def _unusable_internal_tls(draft: Draft[Gateway], beside: Path) -> Iterator[Finding]:
    files = _internal_tls(draft, beside)
    if files and all(path.exists() for path in files.values()):
        try:
            ServerTls(**files)
        except ListenFault as fault:
            yield Finding((*_INTERNAL_TLS, "certificate"), str(fault))
