"""The one file a ring is kept in: its timings and its keys, with what is secret of them.

A JSON object, so that it fits into one entry of a Kubernetes Secret and is replaced as a whole::

    {"timings": {"verifier_refresh": 300, "token_life": 60, …},
     "keys": [{"published": 1700000000, "activates": 1700000790, "jwk": {…}}, …]}

Times are seconds, dates Unix seconds, keys private or symmetric JWKs (RFC 7517), all of one kind.
Whatever else stands in it is an error: a later format must not be half understood.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, fields
from itertools import pairwise
from typing import Final

from sidecar.errors import ConfigurationFault, SourceFault
from sidecar.jose.strict_json import StrictJsonError, load_object
from sidecar.rings.lifecycle import Timings
from sidecar.rings.ring import KeyRing, RingKey
from sidecar.rings.stored import StoredKey, from_jwk

_TIMINGS: Final = frozenset(field.name for field in fields(Timings))


def dump(ring: KeyRing[StoredKey]) -> bytes:
    """The file's content."""
    document = {
        "timings": asdict(ring.timings),
        "keys": [
            {
                "published": key.published,
                "activates": key.activates,
                "jwk": key.key.private_jwk(),
            }
            for key in ring.keys
        ],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def load(content: bytes) -> KeyRing[StoredKey]:
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


def _key(value: object) -> RingKey[StoredKey]:
    members = _members(value, {"published", "activates", "jwk"})
    jwk = members["jwk"]
    if not isinstance(jwk, dict):
        raise SourceFault('is not a key ring: "jwk" must be an object')
    return RingKey(from_jwk(jwk), _number(members["published"]), _number(members["activates"]))


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
