"""Whether a credential that went over the wire stands in anything that was written about it.

Every credential that a test's client sends, or that an application or a browser is handed, is noted
here; so is every line that a program of ours or an Envoy writes: logs, metrics, status pages, the
bodies of denials. What stands in both is a leak. ``tests/conftest.py`` looks when all tests of a
process are over.
"""

import re
from hashlib import sha256
from typing import Final

# What could be a credential, or the part of a JWT that makes it one: its signature, or what seals
# it. Shorter words are names and numbers.
_PART: Final = re.compile(r"[A-Za-z0-9_\-~+/%]{20,}")
# A JWT in any form, whoever made it.
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{8,}")


class Leaks:
    """The credentials of one test process, and where they were found."""

    def __init__(self) -> None:
        self._credentials: set[bytes] = set()
        self.found: list[str] = []
        self.written = 0

    def sent(self, text: str) -> None:
        """Note the credentials in a header's value."""
        for word in text.split():
            parts = _PART.findall(word)
            # The header and the claims of a JWT are those of many others.
            self._credentials.update(map(_name, parts[-1:] if len(parts) > 1 else parts))

    def look(self, where: str, text: str) -> None:
        """Look at something that was written."""
        self.written += len(text)
        if any(_name(part) in self._credentials for part in _PART.findall(text)):
            self.found.append(f"{where} has a credential: {text[:200]}")
        if _JWT.search(text):
            self.found.append(f"{where} has a JWT: {text[:200]}")


def _name(word: str) -> bytes:
    return sha256(word.encode(errors="replace")).digest()[:12]


# One for each process that runs tests.
LEAKS: Final = Leaks()
