"""The two kinds of keys that a ring in a directory may be of: they sign, or they seal."""

from collections.abc import Mapping
from typing import Final, TypeVar

from sidecar.errors import ConfigurationFault
from sidecar.rings import local_key, sealing_key
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing, RingKey
from sidecar.rings.sealing_key import SealingKey

StoredKey = LocalKey | SealingKey

ALGORITHMS: Final = (*local_key.ALGORITHMS, sealing_key.ALGORITHM)

_SIGNING: Final = (
    "holds signing keys; sessions need a ring made with sidecar keys new --algorithm A256GCM"
)
_SEALING: Final = (
    "holds sealing keys; request tokens need a ring made with sidecar keys new --algorithm "
    f"{local_key.DEFAULT_ALGORITHM}"
)

K = TypeVar("K", bound=StoredKey)


def seals(algorithm: str) -> bool:
    """Whether keys for one of ``ALGORITHMS`` seal; they sign otherwise."""
    return algorithm == sealing_key.ALGORITHM


def new_key(algorithm: str) -> StoredKey:
    """A new key for one of ``ALGORITHMS``."""
    return SealingKey.generate() if seals(algorithm) else LocalKey.generate(algorithm)


def default_timings(algorithm: str) -> Timings:
    """The timings of a ring of such keys, where nobody says otherwise."""
    return sealing_key.TIMINGS if seals(algorithm) else Timings()


def from_jwk(jwk: Mapping[str, object]) -> StoredKey:
    """A key of either kind from its JWK.

    Raises:
        SourceFault: as the ``from_private_jwk`` of its kind.
    """
    if jwk.get("kty") == "oct":
        return sealing_key.from_private_jwk(jwk)
    return local_key.from_private_jwk(jwk)


def of_kind(ring: KeyRing[StoredKey], kind: type[K]) -> KeyRing[K]:
    """The ring, whose keys are of this kind.

    Raises:
        ConfigurationFault: they are of the other one. The text continues a sentence that begins
            with the ring's name.
    """
    keys = tuple(
        RingKey(key.key, key.published, key.activates)
        for key in ring.keys
        if isinstance(key.key, kind)
    )
    if len(keys) != len(ring.keys):
        raise ConfigurationFault(_SEALING if kind is LocalKey else _SIGNING)
    return KeyRing(ring.timings, keys)
