"""Creates key rings from their settings. A module is imported only if its ring is configured."""

# ruff: noqa: PLC0415 - a module is imported only when its ring is configured, to save memory
from sidecar.errors import ConfigurationFault
from sidecar.rings import Ring, SigningRing
from sidecar.rings import settings as places


def open_ring(settings: places.RingSettings) -> SigningRing:
    """The ring of signing keys that these settings describe. Nothing is read yet."""
    match settings.place:
        case places.InDirectory(directory):
            from sidecar.rings.directory_ring import DirectoryRing
            from sidecar.rings.local_key import LocalKey

            return DirectoryRing(directory, LocalKey, settings.timings)
        case places.InTransit(key):
            from sidecar.rings.transit import TransitRing

            return TransitRing(key, settings.algorithm, settings.timings)
        case places.InMemory(folder, replica):
            from sidecar.rings.ephemeral import EphemeralRing

            return EphemeralRing(folder, settings.algorithm, settings.timings, replica)


def open_sealing_ring(settings: places.RingSettings) -> Ring:
    """The ring of sealing keys that these settings describe. Nothing is read yet.

    Raises:
        ConfigurationFault: it is not in a directory. Every replica needs the secrets, which the
            transit engine and a ring in memory do not share.
    """
    if not isinstance(settings.place, places.InDirectory):
        raise ConfigurationFault(
            f"the {settings.set} keys must be in a directory: every replica needs their secrets"
        )
    from sidecar.rings.directory_ring import DirectoryRing
    from sidecar.rings.sealing_key import SealingKey

    return DirectoryRing(settings.place.directory, SealingKey, settings.timings)
