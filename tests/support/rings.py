"""Signing keys for tests: stand-ins that only have names, and tokens that real ones sign."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sidecar.jose.key_documents import parse
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing, SigningKey
from sidecar.rings.ring_file import load_directory, require_kind
from tests.support.checks import signed_with
from tests.support.tokens import segment


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key of which only the name matters."""

    kid: str
    algorithm: str = "ES256"

    @property
    def jwk(self) -> Mapping[str, str]:
        return {"kid": self.kid}

    def sign(self, message: bytes) -> bytes:
        return message


def named_keys() -> Callable[[], NamedKey]:
    """Makes keys called 1, 2, 3 and so on."""
    numbers = count(1)
    return lambda: NamedKey(str(next(numbers)))


async def signed(key: SigningKey) -> str:
    """A token of this key, as the gateway would make it."""
    header = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"}
    message = f"{segment(header)}.{segment({'sub': 'alice'})}"
    return f"{message}.{segment(await signature(key, message.encode()))}"


async def signature(key: SigningKey, message: bytes) -> bytes:
    """The signature of a key, wherever its private half is."""
    made = key.sign(message)
    return made if isinstance(made, bytes) else await made


def signed_now(key: SigningKey) -> str:
    """``signed`` where no event loop runs."""
    return asyncio.run(signed(key))


def verifies(token: str, jwks: Mapping[str, object]) -> bool:
    """Whether a sidecar that has fetched this document would find the token's signature good."""
    return any(signed_with(key, token) for key in parse(json.dumps(jwks).encode()).keys)


def signing_ring(directory: Path) -> KeyRing:
    """The ring of signing keys in a directory."""
    return require_kind(load_directory(directory), LocalKey)


async def until(condition: Callable[[], bool]) -> None:
    """Return once something outside of this process is as it should be; fail after a while."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - files and servers do not tell us
            await asyncio.sleep(0.02)
