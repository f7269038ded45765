"""Published test vectors, as the RFCs print them; each file is named after its RFC."""

import json
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from tests.support.tokens import Json


@dataclass(frozen=True, slots=True)
class Vector:
    """One example of an RFC: a signed text, the key that signed it, a thumbprint of the key.

    What is empty is not part of the example, or not published as a public key.
    """

    rfc: str
    section: str
    algorithm: str
    compact: str
    jwk: Json
    thumbprint: str

    @override
    def __str__(self) -> str:
        return f"{self.rfc} {self.section} {self.algorithm}".strip()


def _read(file: Path) -> list[Vector]:
    return [
        Vector(
            rfc=file.stem,
            section=example["section"],
            algorithm=example.get("algorithm", ""),
            compact=example.get("compact", ""),
            jwk=example.get("jwk", {}),
            thumbprint=example.get("thumbprint", ""),
        )
        for example in json.loads(file.read_text())
    ]


_ALL = [vector for file in sorted(Path(__file__).parent.glob("*.json")) for vector in _read(file)]

SIGNED = [vector for vector in _ALL if vector.compact and vector.jwk]
NOT_FOR_US = [vector for vector in _ALL if vector.compact and not vector.jwk]
THUMBPRINTS = [vector for vector in _ALL if vector.thumbprint]
