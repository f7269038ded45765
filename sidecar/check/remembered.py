"""What is remembered about tokens already seen: that they parse and that their signature holds.

Nothing else: dates, audience, subject, rules and whether the key is still there are looked at on
every check. A token is held under its SHA-256 with its payload as bytes, which is several times
smaller than the parsed claims and parses again in microseconds.
"""

from typing import NamedTuple

from sidecar.check.trust import TrustEntry
from sidecar.jose.jwk import VerificationKey


class Remembered(NamedTuple):
    """A signature that held: under which key, for which trust entry, over which payload."""

    trust: TrustEntry
    key: VerificationKey
    payload: bytes
