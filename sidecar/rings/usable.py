"""Whether a ring in a directory can be used for what it is meant for."""

from datetime import UTC, datetime
from pathlib import Path

from sidecar.clients.files import read
from sidecar.errors import ConfigurationFault
from sidecar.rings.directory import FILE, MAXIMUM_BYTES, parse, refuse_open_to_all
from sidecar.rings.lifecycle import Timings
from sidecar.rings.ring import KeyRing
from sidecar.rings.stored import K, of_kind


def examine_directory(directory: Path, kind: type[K], needed: Timings, now: float) -> None:
    """Find out offline what would keep the ring in a directory from being used.

    Args:
        directory: where ``sidecar keys`` made it.
        kind: of its keys: ``LocalKey`` where they are to sign, ``SealingKey`` to seal.
        needed: the timings of what it is used for.
        now: Unix seconds.

    Raises:
        ConfigurationFault, SourceFault: as ``usable``, or the file cannot be read.
    """
    path = directory / FILE
    usable(path, read(path, MAXIMUM_BYTES), kind, needed, now)


def usable(path: Path, content: bytes, kind: type[K], needed: Timings, now: float) -> KeyRing[K]:
    """The ring in the content of the file ``path``, which was read at ``now`` (Unix seconds).

    Raises:
        SourceFault: the file is open to every user, or does not hold a ring.
        ConfigurationFault: its keys are of the other kind; it was made for shorter-lived tokens or
            for verifiers that fetch more often than ``needed`` says; none of its keys is active.
    """
    refuse_open_to_all(path)
    stored = parse(path, content)
    try:
        ring = of_kind(stored, kind)
    except ConfigurationFault as fault:
        raise ConfigurationFault(f"{path} {fault}") from fault
    shortfall = ring.timings.shortfall(needed)
    if shortfall is not None:
        raise ConfigurationFault(f"{path} {shortfall}; make a ring with longer timings")
    first = ring.keys[0].activates
    if now < first:
        date = datetime.fromtimestamp(first, UTC).isoformat(timespec="seconds")
        raise ConfigurationFault(
            f"{path} cannot be used yet: no key is active until {date}; set the clock if it is "
            "wrong, or make a new ring with sidecar keys new, whose key is active at once"
        )
    return ring
