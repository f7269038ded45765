"""Client authentication at an issuer (RFC 6749 §2.3, RFC 7662 §2.1).

A secret, a token or a key is in a file, which is read again when it has changed, so that a
replacement is used without a restart. A client certificate belongs to the connection instead.
"""

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import quote_plus

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from sidecar.clients.files import Version, read, version
from sidecar.clients.secrets import read_secret
from sidecar.errors import SourceFault
from sidecar.jose.algorithms import PrivateKey, algorithms_for
from sidecar.jose.compact import compact, signing_input
from sidecar.jose.strict_json import load_object
from sidecar.rings.local_key import LocalKey
from sidecar.session.settings import (
    CertificateAuthentication,
    ClientAuthentication,
    KeyAuthentication,
    NoAuthentication,
    SecretAuthentication,
    TokenAuthentication,
)

ASSERTION_LIFETIME: Final = 30
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 §2.2
_MAXIMUM_KEY_BYTES: Final = 64 * 1024
_FROM_JWK: Final[dict[str, Callable[[dict[str, object]], object]]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
# The default algorithm of a key: the first of these that fits its type.
_USUAL: Final = ("RS256", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class Proof:
    """The headers and form parameters that authenticate one request."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)


class _AssertionKey(NamedTuple):
    key: LocalKey
    kid: str | None  # as the issuer knows it


class ClientAuthenticator:
    """Creates the proofs of one client."""

    def __init__(self, settings: ClientAuthentication) -> None:
        self._settings = settings
        self._loaded: tuple[Version | None, _AssertionKey] | None = None

    async def prove(self, now: float) -> Proof:
        """A proof for one request, made at ``now`` (Unix seconds).

        Raises:
            SourceFault: the secret or the key cannot be used; the text says why.
        """
        match self._settings:
            case SecretAuthentication(client_id, file, in_body):
                secret = await read_secret(file)
                return _in_body(client_id, secret) if in_body else _basic(client_id, secret)
            case KeyAuthentication() as settings:
                return await asyncio.to_thread(self._signed, settings, now)
            case TokenAuthentication(file):
                return Proof(headers=(("Authorization", f"Bearer {await read_secret(file)}"),))
            # RFC 8705 §2: the certificate's client is named in the form.
            case CertificateAuthentication(client_id) | NoAuthentication(client_id):
                return Proof(form={"client_id": client_id} if client_id else {})

    @property
    def refused(self) -> str:
        """What it means that an issuer does not accept the proofs (401), for operators."""
        match self._settings:
            case SecretAuthentication(client_id) | KeyAuthentication(client_id):
                return (
                    f"does not accept us as the client {client_id}: it knows another secret or key"
                )
            case TokenAuthentication(file):
                return f"does not accept the token in {file} (401)"
            case CertificateAuthentication(client_id):
                return (
                    f"does not accept us as the client {client_id}: it knows another certificate, "
                    "or is not shown ours"
                )
            case NoAuthentication():
                return "wants its clients to prove themselves (401); choose a method in client"

    def _signed(self, settings: KeyAuthentication, now: float) -> Proof:
        state = version(settings.key_file)
        # Reading an RSA key takes far longer than signing with it.
        if self._loaded is None or self._loaded[0] != state:
            self._loaded = (state, _read_key(settings))
        return _assertion(settings, self._loaded[1], now)


def _basic(client_id: str, secret: str) -> Proof:
    # RFC 6749 §2.3.1: both are form-encoded first, so that neither contains a colon.
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    credentials = base64.b64encode(pair.encode()).decode("ascii")
    return Proof(headers=(("Authorization", f"Basic {credentials}"),))


def _in_body(client_id: str, secret: str) -> Proof:
    return Proof(form={"client_id": client_id, "client_secret": secret})


def _assertion(settings: KeyAuthentication, key: _AssertionKey, now: float) -> Proof:
    """A JWT for client authentication (RFC 7523 §3), for one use within 30 seconds."""
    issued = int(now)
    claims = {
        "iss": settings.client_id,
        "sub": settings.client_id,
        "aud": settings.audience,
        "jti": secrets.token_urlsafe(16),
        "iat": issued,
        "exp": issued + ASSERTION_LIFETIME,
    }
    message = signing_input(claims, key.kid, key.key.algorithm, "JWT")
    assertion = compact(message, key.key.sign(message))
    return Proof(form={"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion})


def _read_key(settings: KeyAuthentication) -> _AssertionKey:
    path = settings.key_file
    data = read(path, _MAXIMUM_KEY_BYTES)
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            members: dict[str, object] = {}
            private: object = load_pem_private_key(data, password=None)
        else:
            members = load_object(data)
            private = _FROM_JWK[str(members.get("kty"))](members)
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError, KeyError, TypeError) as fault:
        # The cause may quote the key, so it is not part of the text.
        raise SourceFault(
            f"{path} does not hold a private key as PEM without a passphrase, or as a JWK"
        ) from fault
    if not isinstance(private, PrivateKey):
        raise SourceFault(f"{path} holds a public key, or one that cannot sign")
    fitting = algorithms_for(private.public_key())
    usual = next((name for name in _USUAL if name in fitting), None)
    algorithm = settings.algorithm or members.get("alg") or usual
    if not isinstance(algorithm, str) or algorithm not in fitting:
        wanted = settings.algorithm or "any algorithm that is accepted here"
        raise SourceFault(f"{path} holds a key that does not fit {wanted}")
    kid = settings.kid or members.get("kid")
    return _AssertionKey(LocalKey.of(private, algorithm), kid if isinstance(kid, str) else None)
