"""``request_tokens.keys``: where the signing keys are kept, and how long each one signs."""

from typing import Annotated, Final

from pydantic import Field, PlainValidator

from sidecar.clients.proxy import ProxySettings
from sidecar.clients.vault.settings import KvKeys, TransitKeys
from sidecar.config.section import OneOf, Section, copied, written
from sidecar.config.sections.http import RemoteServer
from sidecar.config.sections.vault import InVault, Transit
from sidecar.config.values import Duration, File, Name, VaultPath, format_value, schema, text
from sidecar.jose.algorithms import SUPPORTED_ALGORITHMS
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import ALGORITHMS
from sidecar.rings.settings import InDirectory, InMemory, InTransit, RingSettings

# Keys in a directory or in Vault are rotated by others, at times that are not known here.
UNKNOWN_PERIOD: Final = 366 * 86400.0

_SIGNING: Final = tuple(name for name in ALGORITHMS if name in SUPPORTED_ALGORITHMS)


def _signing_algorithm(value: object) -> str:
    name = text(value)
    if name not in _SIGNING:
        raise ValueError(
            f"{format_value(name)} is not an algorithm that is signed with here; "
            f"accepted: {', '.join(_SIGNING)}"
        )
    return name


SigningAlgorithm = Annotated[
    str, PlainValidator(_signing_algorithm), schema("algorithm", enum=list(_SIGNING))
]


class _Signing(Section):
    algorithm: SigningAlgorithm = written(
        "ES256", "What the keys sign with; a transit key must be of its type."
    )


class _Rotated(Section):
    rotate: Annotated[float, Duration("1s", "8760h")] = written("720h", "How long a key signs.")


class _Folder(Section):
    path: VaultPath = Field(
        description="The folder, without the mount and `data/`. Whoever can write to it can mint "
        "tokens."
    )
    mount: VaultPath = written("secret", "Where the engine is mounted.")
    replica: Name = Field(
        description="A name that tells people whose record it is, such as `${HOSTNAME}`."
    )


# The bases stand in reverse: the reference lists the keys of the last one first.
class TransitRingSection(_Signing, RemoteServer, Transit, InVault):
    """A transit key of HashiCorp Vault or OpenBao, which signs, and is rotated there."""

    server_url = "address"
    danger = "could sign with the login"

    def place(self, proxy: ProxySettings | None) -> InTransit:
        """Where the keys are."""
        vault = self.vault_settings(self.http_settings(proxy))
        return InTransit(copied(TransitKeys, self, vault=vault))


class EphemeralRingSection(_Rotated, _Signing, RemoteServer, _Folder, InVault):
    """Keys made in memory; their public keys are published in a folder of KV version 2."""

    server_url = "address"
    danger = "could sign with the login"

    def place(self, proxy: ProxySettings | None) -> InMemory:
        """Where the public keys are published."""
        vault = self.vault_settings(self.http_settings(proxy))
        return InMemory(copied(KvKeys, self, vault=vault, replicas=True), self.replica)


class RingKeys(OneOf):
    """Where the keys are kept: one of these."""

    directory: File | None = written(
        None, "In a directory, such as a mounted Secret, that `sidecar keys` manages."
    )
    transit: TransitRingSection | None = written(
        None, "In the transit engine of HashiCorp Vault or OpenBao."
    )
    ephemeral: EphemeralRingSection | None = written(
        None, "In this process alone; gone when it ends."
    )

    @property
    def period(self) -> float:
        """How long a key signs, in seconds."""
        return self.ephemeral.rotate if self.ephemeral else UNKNOWN_PERIOD

    def settings(self, timings: Timings, proxy: ProxySettings | None) -> RingSettings:
        """The ring of the keys."""
        if self.directory is not None:  # the algorithm is in the ring's file
            return RingSettings("request", InDirectory(self.directory), timings=timings)
        server = self.transit or self.ephemeral
        assert server is not None  # noqa: S101 - one of the three is written
        return RingSettings("request", server.place(proxy), server.algorithm, timings)
