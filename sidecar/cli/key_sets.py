"""The public keys that a command uses: read from files, or fetched with ``--fetch``."""

import asyncio
import logging
import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.clients.files import read
from sidecar.config import Configuration
from sidecar.errors import ConfigurationFault, SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.keys.settings import FileKeys, KeySettings
from sidecar.keys.sources import published
from sidecar.keys.sources.factory import open_source
from sidecar.keys.sources.file import MAXIMUM_BYTES
from sidecar.snapshots.keys import KeySet, KeySnapshot
from sidecar.telemetry.logs import TextLines


class KnownKeys(NamedTuple):
    """The keys by trust entry, and for each entry without keys the reason (``missing``)."""

    snapshot: KeySnapshot
    missing: Mapping[str, str]


def add_keys(parser: ArgumentParser) -> None:
    """Declare the options for keys that are not in configured files."""
    parser.add_argument(
        "--keys",
        metavar="ISSUER=FILE",
        action="append",
        type=_issuer_and_file,
        default=[],
        help="take the keys of a trust entry from a JWKS or PEM file; may be given several times",
    )
    parser.add_argument(
        "--fetch",
        action="store_true",
        help="fetch the keys of issuers that are not in files, as serve would; without it, "
        "nothing is fetched",
    )


def known_keys(configuration: Configuration, options: Namespace) -> KnownKeys:
    """The keys from configured files, from ``--keys``, and with ``--fetch`` from issuers.

    Keys that are left out, because they are weak or broken, are logged to standard error.

    Raises:
        ConfigurationFault: a file of ``--keys`` cannot be used, or its trust entry does not exist.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(TextLines())
    logging.basicConfig(handlers=[handler])
    keys = dict(configuration.found_keys)
    entries = {entry.trust: entry for entry in configuration.keys}
    for name, path in options.keys:
        if name not in entries:
            raise ConfigurationFault(f"--keys {name}: the trust entries are {', '.join(entries)}")
        try:
            keys[name] = published(str(path), read(path, MAXIMUM_BYTES))
        except SourceFault as fault:
            raise ConfigurationFault(f"--keys {name}: {fault}") from fault
    missing: dict[str, str] = {}
    for name, entry in entries.items():
        if name in keys:
            continue
        found = asyncio.run(_fetched(entry)) if options.fetch else _not_fetched(entry)
        if isinstance(found, str):
            missing[name] = found
        else:
            keys[name] = found
    snapshot = KeySnapshot({name: KeySet.of(found, math.inf) for name, found in keys.items()})
    return KnownKeys(snapshot, missing)


def _not_fetched(entry: KeySettings) -> str:
    """Why there are no keys of an entry whose keys were not fetched."""
    if isinstance(entry.source, FileKeys):
        return f"no keys of {entry.trust}: {entry.source.path} is not there"
    return (
        f"the keys of {entry.trust} were not looked for: nothing is fetched without --fetch; add "
        f"it, or give the keys with --keys {entry.trust}=FILE"
    )


async def _fetched(entry: KeySettings) -> tuple[VerificationKey, ...] | str:
    """The keys of an entry, or why there are none."""
    source = open_source(entry.source)
    try:
        async with asyncio.timeout(entry.timeout):
            return (await source.fetch()).keys
    except (SourceFault, TimeoutError) as fault:
        cause = str(fault) or f"{source} gave no answer within {entry.timeout:g} s"
        return f"no keys of {entry.trust}: {cause}"
    finally:
        await source.close()


def _issuer_and_file(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise ArgumentTypeError(f"{text!r} is not ISSUER=FILE")
    return name, Path(path)
