"""One request on its way through the shop: what was decided about it, and what arrived where."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import jwt

from tests.support.http1 import Response

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as a service got it: its header lines, with names in lower case."""

    lines: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, line: str) -> Self:
        """From a line of ``examples.watched``."""
        return cls(tuple((name.lower(), value) for name, value in json.loads(line)))

    def values(self, name: str) -> list[str]:
        """The values of every line of this name."""
        return [value for known, value in self.lines if known == name]

    @property
    def identity(self) -> dict[str, str]:
        """The identity headers, and whatever looks like one. Two of one name are shown as two."""
        names = dict.fromkeys(name for name, _ in self.lines if name.startswith("x-user-"))
        return {name: " and ".join(self.values(name)) for name in names}

    @property
    def token(self) -> str:
        """The token that came along."""
        (value,) = self.values("authorization")
        return value.removeprefix("Bearer ")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came of it.

    ``reasons`` has what each check on its way said, in the order of the way, as far as the request
    came; ``arrived`` has what reached the services, by name.
    """

    request: str
    response: Response
    reasons: Mapping[str, str]
    arrived: Mapping[str, Arrived]


def claims(token: str) -> Json:
    """What a token says. It is the sidecars' business whether that is true."""
    found: Json = jwt.decode(token, options={"verify_signature": False})
    return found


def kid(token: str) -> str:
    """The name of the key that signed a token."""
    name: str = jwt.get_unverified_header(token)["kid"]
    return name


def forged(genuine: str) -> str:
    """The token with another subject and the old signature."""
    header, _, signature = genuine.split(".")
    changed = json.dumps({**claims(genuine), "sub": "root"}).encode()
    return ".".join([header, base64.urlsafe_b64encode(changed).rstrip(b"=").decode(), signature])
