"""The shape of ``request_tokens.keys``: where the keys live that sign, and how long each does."""

from typing import Annotated, Final

from pydantic import Field, PlainValidator

from sidecar.config.section import OneOf, Section
from sidecar.config.sections.keys import InVault, Reached
from sidecar.config.values import Duration, Name, Text, VaultPath, schema, shown, text
from sidecar.jose.algorithms import SUPPORTED_ALGORITHMS
from sidecar.keys.rings.local import ALGORITHMS

_SIGNING: Final = tuple(name for name in ALGORITHMS if name in SUPPORTED_ALGORITHMS)


def _signing_algorithm(value: object) -> str:
    name = text(value)
    if name not in _SIGNING:
        raise ValueError(
            f"{shown(name)} is not an algorithm that is signed with here; "
            f"accepted: {', '.join(_SIGNING)}"
        )
    return name


SigningAlgorithm = Annotated[
    str, PlainValidator(_signing_algorithm), schema("algorithm", enum=list(_SIGNING))
]


class _Signing(Section):
    algorithm: SigningAlgorithm = Field(
        default="ES256", description="What the keys sign with; a transit key must be of its type."
    )


class _Rotated(Section):
    rotate: Annotated[float, Duration("1s", "8760h")] = Field(
        default="720h", validate_default=True, description="How long a key signs."
    )


class _TransitKey(Section):
    key: Name = Field(description="The key's name.")
    mount: VaultPath = Field(default="transit", description="Where the engine is mounted.")


class _Folder(Section):
    path: VaultPath = Field(
        description="The folder, without the mount and `data/`. Whoever can write to it can mint "
        "tokens."
    )
    mount: VaultPath = Field(default="secret", description="Where the engine is mounted.")
    replica: Name = Field(
        description="A name that tells people whose record it is, such as `${HOSTNAME}`."
    )


# The bases stand in reverse: the reference lists the keys of the last one first.
class TransitRing(_Signing, Reached, _TransitKey, InVault):
    """A transit key of HashiCorp Vault or OpenBao, which signs, and is rotated there."""


class EphemeralRing(_Rotated, _Signing, Reached, _Folder, InVault):
    """Keys made in memory, their public halves published in a folder of KV version 2."""


class RingKeys(OneOf):
    """Where the keys live: one of these."""

    directory: Text | None = Field(
        default=None,
        description="In a directory, such as a mounted Secret, that `sidecar keys` manages.",
    )
    transit: TransitRing | None = Field(
        default=None, description="In the transit engine of HashiCorp Vault or OpenBao."
    )
    ephemeral: EphemeralRing | None = Field(
        default=None, description="In this process alone; gone when it ends."
    )
