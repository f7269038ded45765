"""The file of a ring in a directory: its format, and how it is read and replaced.

The file is ``ring.json``, a JSON object, so that it fits into one entry of a Kubernetes Secret and
is replaced as a whole::

    {"timings": {"verifier_refresh": 300, "token_life": 60, …},
     "keys": [{"published": 1700000000, "activates": 1700000790, "jwk": {…}}, …]}

Times are seconds, dates Unix seconds, keys private or symmetric JWKs (RFC 7517), all of one kind:
they sign, or they seal. Any other member is an error: an older version must not read half of a
later format.

The file is replaced atomically (``clients.files.replace``): it is written under another name and
renamed, and the rename is flushed to the disk. Writers exclude one another with a lock on the
directory.
"""

import fcntl
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Final

from sidecar.clients.files import read, replace
from sidecar.errors import ConfigurationFault, SourceFault
from sidecar.jose.strict_json import StrictJsonError, load_object
from sidecar.rings import local_key, sealing_key
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import Key, KeyRing, RingKey
from sidecar.rings.sealing_key import SealingKey

StoredKey = LocalKey | SealingKey

FILE: Final = "ring.json"
MAXIMUM_BYTES: Final = 1024 * 1024  # what a Kubernetes Secret may hold
ALGORITHMS: Final = (*local_key.ALGORITHMS, sealing_key.ALGORITHM)

_SIGNING: Final = (
    "holds signing keys; sessions need a ring made with sidecar keys new --algorithm A256GCM"
)
_SEALING: Final = (
    "holds sealing keys; request tokens need a ring made with sidecar keys new --algorithm "
    f"{local_key.DEFAULT_ALGORITHM}"
)
_TIMINGS: Final = frozenset(field.name for field in fields(Timings))


def seals(algorithm: str) -> bool:
    """Whether keys for one of ``ALGORITHMS`` seal; they sign otherwise."""
    return algorithm == sealing_key.ALGORITHM


def new_key(algorithm: str) -> StoredKey:
    """A new key for one of ``ALGORITHMS``."""
    return SealingKey.generate() if seals(algorithm) else LocalKey.generate(algorithm)


def default_timings(algorithm: str) -> Timings:
    """The timings of a ring of such keys, where none are given."""
    return sealing_key.TIMINGS if seals(algorithm) else Timings()


def load_directory(directory: Path) -> KeyRing:
    """The ring in a directory.

    Raises:
        SourceFault: there is none, it is not what ``load`` reads, or every user may
            read or write it.
    """
    path = directory / FILE
    refuse_open_to_all(path)
    return parse(path, read(path, MAXIMUM_BYTES))


def parse(path: Path, content: bytes) -> KeyRing:
    """The ring in the content of the file ``path``. Raises SourceFault as ``load``."""
    try:
        return load(content)
    except SourceFault as fault:
        raise SourceFault(f"{path} {fault}") from fault


def refuse_open_to_all(path: Path) -> None:
    """Refuse secret keys that every user of the machine may read or replace.

    Access by the group is allowed: the kubelet uses it for a pod with an ``fsGroup``.

    Raises:
        SourceFault: every user has a right to the file, or its mode cannot be read.
    """
    try:
        mode = path.stat().st_mode
    except OSError as fault:
        raise SourceFault(f"{path} cannot be read: {fault.strerror}") from fault
    if mode & stat.S_IRWXO:
        raise SourceFault(
            f"{path} holds secret keys and is open to every user (mode {stat.S_IMODE(mode):04o}); "
            "take that away with chmod o=, or for a mounted Secret with defaultMode: 0440"
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Exclude other writers of the directory. The lock ends with its process at the latest.

    Raises:
        SourceFault: there is no such directory.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as fault:
        raise SourceFault(f"{directory} cannot be used: {fault.strerror}") from fault
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def store(directory: Path, ring: KeyRing) -> None:
    """Replace the ring in a directory. Only the owner of the file can read it.

    The caller has ``locked`` the directory.

    Raises:
        SourceFault: the directory cannot be written to; the ring in it is unchanged.
    """
    try:
        replace(directory / FILE, dump(ring))
        _flush(directory)
    except OSError as fault:
        raise SourceFault(f"{directory} cannot be written to: {fault.strerror}") from fault


def _flush(directory: Path) -> None:
    """Flush the rename to the disk, so that a power failure loses no key that has signed."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def dump(ring: KeyRing) -> bytes:
    """The content of the file.

    Raises:
        TypeError: the private key of a key is not in this process.
    """
    document = {
        "timings": asdict(ring.timings),
        "keys": [
            {
                "published": key.published,
                "activates": key.activates,
                "jwk": _private_jwk(key.key),
            }
            for key in ring.keys
        ],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def load(content: bytes) -> KeyRing:
    """Read what ``dump`` wrote.

    Raises:
        SourceFault: it is anything else, or has timings that are unsafe. The text continues a
            sentence that begins with the file's name, and never quotes a key.
    """
    try:
        document = load_object(content)
    except StrictJsonError as fault:
        raise SourceFault(f"is not a key ring: it {fault}") from fault
    members = _members(document, {"timings", "keys"})
    keys = members["keys"]
    if not isinstance(keys, list) or not keys:
        raise SourceFault('is not a key ring: "keys" must be a list with at least one key')
    ring = KeyRing(_timings(members["timings"]), tuple(_key(key) for key in keys))
    if len({key.key.kid for key in ring.keys}) != len(ring.keys):
        raise SourceFault("holds a key twice")
    if len({type(key.key) for key in ring.keys}) > 1:
        raise SourceFault("holds keys that sign and keys that seal; a ring is of one kind")
    if any(later.activates < earlier.activates for earlier, later in pairwise(ring.keys)):
        raise SourceFault("holds keys that are not in the order in which they become active")
    return ring


def _timings(value: object) -> Timings:
    members = _members(value, _TIMINGS)
    try:
        return Timings(**{name: _number(time) for name, time in members.items()})
    except ConfigurationFault as fault:
        raise SourceFault(f"has timings that cannot be used: {fault}") from fault


def _key(value: object) -> RingKey:
    members = _members(value, {"published", "activates", "jwk"})
    jwk = members["jwk"]
    if not isinstance(jwk, dict):
        raise SourceFault('is not a key ring: "jwk" must be an object')
    return RingKey(_from_jwk(jwk), _number(members["published"]), _number(members["activates"]))


def _members(value: object, names: Collection[str]) -> dict[str, object]:
    """The members of an object that must have these and no others."""
    if not isinstance(value, dict) or value.keys() != set(names):
        expected = ", ".join(sorted(names))
        raise SourceFault(f"is not a key ring: expected an object with {expected} and nothing else")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SourceFault("is not a key ring: a time is not a number")
    return value


def _from_jwk(jwk: Mapping[str, object]) -> StoredKey:
    """A key of either kind from its JWK.

    Raises:
        SourceFault: as the ``from_private_jwk`` of its kind.
    """
    if jwk.get("kty") == "oct":
        return sealing_key.from_private_jwk(jwk)
    return local_key.from_private_jwk(jwk)


def _private_jwk(key: Key) -> dict[str, str]:
    if isinstance(key, LocalKey | SealingKey):
        return key.private_jwk()
    raise TypeError("the private key is not in this process")


def require_kind(ring: KeyRing, kind: type[StoredKey]) -> KeyRing:
    """The same ring, whose keys are of this kind.

    Raises:
        ConfigurationFault: they are of the other one. The text continues a sentence that begins
            with the ring's name.
    """
    if not all(isinstance(key.key, kind) for key in ring.keys):
        raise ConfigurationFault(_SEALING if kind is LocalKey else _SIGNING)
    return ring
