"""Sources of public keys: the protocol, and one module for each kind of source."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.jose.key_documents import in_short, parse

_log = logging.getLogger("sidecar.keys")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source published at one moment.

    ``max_age`` is for how many seconds the answer may be reused (RFC 9111 §5.2.2.1); None if the
    source does not say. ``expires`` has the keys with an expiry, and its date in Unix seconds.
    """

    keys: tuple[VerificationKey, ...]
    max_age: float | None = None
    expires: Mapping[VerificationKey, float] = field(default_factory=dict)


class KeySource(Protocol):
    """A place that publishes the public keys of one issuer. Its ``str`` is for messages."""

    async def fetch(self) -> Fetched:
        """Read the keys published at this moment.

        Raises:
            SourceFault: the source cannot be read or gives no usable key set; the keys known so
                far stay in use.
        """
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


def published(source: str, document: bytes) -> tuple[VerificationKey, ...]:
    """The usable keys of what a source published; what is left out of it is logged.

    Raises:
        SourceFault: as ``parse``; its text begins with ``source``.
    """
    try:
        keys, left_out = parse(document)
    except SourceFault as fault:
        raise SourceFault(f"{source} {fault}") from fault
    if left_out:
        fields = {"source": source, "keys": len(left_out), "problem": in_short(left_out)}
        _log.warning("keys are left out; tokens of theirs are refused", extra=fields)
    return keys
