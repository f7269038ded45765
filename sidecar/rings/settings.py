"""Where the keys of one ring are kept, and the timings they are used with."""

from dataclasses import dataclass, field
from pathlib import Path

from sidecar.clients.vault.settings import KvKeys, TransitKeys
from sidecar.rings.lifecycle import Timings


@dataclass(frozen=True, slots=True)
class InDirectory:
    """A ring that ``sidecar keys`` manages, in a directory such as a mounted Secret."""

    directory: Path


@dataclass(frozen=True, slots=True)
class InTransit:
    """A transit key of Vault or OpenBao, which signs."""

    key: TransitKeys


@dataclass(frozen=True, slots=True)
class InMemory:
    """Keys in the memory of this process; the public keys are in a folder of KV version 2.

    ``replica`` is a name without slashes, by which operators recognise the record.
    """

    folder: KvKeys
    replica: str


RingPlace = InDirectory | InTransit | InMemory


@dataclass(frozen=True, slots=True)
class RingSettings:
    """One set of keys. ``set`` is its name in metrics and logs: ``request`` or ``session``."""

    set: str
    place: RingPlace
    algorithm: str = "ES256"
    timings: Timings = field(default_factory=Timings)
