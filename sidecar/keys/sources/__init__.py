"""Where public keys come from: one small module per kind of source, behind one protocol."""

from typing import Protocol

from sidecar.snapshots.keys import VerificationKey


class KeySource(Protocol):
    """One place that publishes the public keys of one issuer."""

    async def fetch(self) -> tuple[VerificationKey, ...]:
        """Read the keys published at this moment.

        Raises:
            SourceFault: the source cannot be read or gives no usable key set; the keys known so
                far stay in use.
        """
        ...
