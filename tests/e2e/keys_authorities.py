"""Issuers of tokens, one for each place where public keys can be found."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typing_extensions import override

from sidecar.jose.jwk import thumbprint
from tests.e2e.shop import AUDIENCE
from tests.support import kubernetes_api
from tests.support.key_server import KeyServer, close_at_once
from tests.support.kubernetes_api import KubernetesApi
from tests.support.openbao import ROOT_TOKEN, OpenBao
from tests.support.sidecar_process import write_json
from tests.support.tokens import Json, SigningKey, claims, jwks, new_key, sign

REFRESH = 1.0
# As short as the configuration allows.
TIMES: Json = {"refresh": "1s", "min_refresh": "1s", "cooldown": "100ms", "max_stale": "1m"}
FILE_TIMES: Json = {"refresh": "1s", "cooldown": "100ms"}
ACCOUNT = "shop:orders"


class Authority(ABC):
    """An issuer with its keys: ``keys`` are published, and ``signer`` is the one in use."""

    algorithm = "ES256"

    def __init__(self, name: str, issuer: str | None = None) -> None:
        self.name = name
        self.issuer = issuer or f"https://{name}.shop.internal"
        self.keys: list[SigningKey] = []
        self._numbers = count(1)

    def open(self) -> None:
        """Publish a first key and sign with it."""
        self.signer = self.add()

    def add(self) -> SigningKey:
        """Publish one more key."""
        key = self._make(next(self._numbers))
        self.keys.append(key)
        self._publish()
        return key

    def remove(self, key: SigningKey) -> None:
        """Publish it no more."""
        self.keys.remove(key)
        self._publish()

    def token(self, key: SigningKey | None = None, **changes: Any) -> str:
        """A fresh token, of the signer if no other key is given."""
        details: Json = {"issuer": self.issuer, "audience": AUDIENCE, "subject": "alice", **changes}
        return sign(claims(**details), key or self.signer)

    def trust(self) -> Json:
        """The entry that makes a sidecar believe this issuer."""
        return {
            "name": self.name,
            "kind": "request",
            "issuer": self.issuer,
            "audiences": [AUDIENCE],
            "algorithms": [self.algorithm],
            "types": ["at+jwt"],
            "keys": self.source(),
        }

    def slow_trust(self) -> Json:
        """The same entry, whose keys are fetched regularly once in an hour."""
        trust = self.trust()
        ((kind, source),) = trust["keys"].items()
        return {**trust, "keys": {kind: {**source, "refresh": "1h", "max_stale": "2h"}}}

    def go_down(self) -> None:
        """Give nobody the keys any more."""
        raise NotImplementedError

    def come_back(self) -> None:
        """Give everybody the keys again."""
        raise NotImplementedError

    @abstractmethod
    def source(self) -> Json:
        """Where a sidecar finds the keys."""

    @abstractmethod
    def _publish(self) -> None:
        """Let everybody see ``keys`` and no others."""

    def _make(self, number: int) -> SigningKey:
        return new_key(self.algorithm, f"{self.name}-{number}")


class FileAuthority(Authority):
    """Publishes a file, as a mounted ConfigMap."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name)
        self._path = directory / f"{name}.json"

    @override
    def source(self) -> Json:
        return {"file": {"path": str(self._path), **FILE_TIMES}}

    @override
    def go_down(self) -> None:
        self._path.unlink()

    @override
    def come_back(self) -> None:
        self._publish()

    @override
    def _publish(self) -> None:
        write_json(self._path, jwks(*self.keys))


class JwksAuthority(Authority):
    """Publishes at a URL."""

    def __init__(self, name: str, server: KeyServer, **times: str) -> None:
        super().__init__(name)
        self._path = f"/{name}.json"
        self.url = server.url + self._path
        self._server = server
        self._times = times

    @property
    def fetches(self) -> int:
        """How often the keys have been asked for."""
        return [path for path, _ in self._server.requests].count(self._path)

    @override
    def source(self) -> Json:
        reached = {"url": self.url, "ca_file": str(self._server.ca_file)}
        return {"jwks": {**reached, "timeout": "1s", **TIMES, **self._times}}

    @override
    def go_down(self) -> None:
        self._server.misbehave(close_at_once)

    @override
    def come_back(self) -> None:
        self._server.behave()

    @override
    def _publish(self) -> None:
        self._server.documents[self._path] = jwks(*self.keys)


class OidcAuthority(Authority):
    """Publishes where its discovery document says."""

    def __init__(self, name: str, server: KeyServer) -> None:
        super().__init__(name, f"{server.url}/{name}")
        self._server = server
        document = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        server.documents[f"/{name}/.well-known/openid-configuration"] = document

    @override
    def source(self) -> Json:
        return {"oidc": {"ca_file": str(self._server.ca_file), **TIMES}}

    @override
    def go_down(self) -> None:
        self._server.misbehave(close_at_once)

    @override
    def come_back(self) -> None:
        self._server.behave()

    @override
    def _publish(self) -> None:
        self._server.documents[f"/{self.name}/keys"] = jwks(*self.keys)


class KubernetesAuthority(Authority):
    """A cluster, which signs for service accounts."""

    algorithm = "RS256"

    def __init__(self, name: str, api: KubernetesApi, directory: Path) -> None:
        super().__init__(name, kubernetes_api.ISSUER)
        self._api = api
        self.come_back()
        self._token_file = directory / "service-account-token"
        self._token_file.write_text(api.new_token(ACCOUNT))

    @override
    def source(self) -> Json:
        reached = {"server": self._api.url, "ca_file": str(self._api.ca_file)}
        return {"kubernetes": {**reached, "token_file": str(self._token_file), **TIMES}}

    @override
    def go_down(self) -> None:
        self._api.discoverers.clear()

    @override
    def come_back(self) -> None:
        self._api.discoverers.add(f"system:serviceaccount:{ACCOUNT}")

    @override
    def trust(self) -> Json:
        subjects = ["system:serviceaccount:shop:*"]
        workload = {"kind": "workload", "subjects": subjects, "types": ["none"]}
        return {**super().trust(), **workload}

    @override
    def token(self, key: SigningKey | None = None, **changes: Any) -> str:
        subject = f"system:serviceaccount:{ACCOUNT}"
        document = claims(issuer=self.issuer, audience=[AUDIENCE], subject=subject, **changes)
        return sign(document, key or self.signer, typ=None)

    @override
    def _publish(self) -> None:
        self._api.keys = list(self.keys)


class VaultAuthority(Authority):
    """Publishes in OpenBao, in a mount of its own, to whoever has the token in ``token_file``."""

    engine = "kv"

    def __init__(self, name: str, openbao: OpenBao, directory: Path) -> None:
        super().__init__(name)
        self.openbao = openbao
        self.mount = openbao.mount(self.engine)
        self.token_file = directory / f"{name}-token"
        self.token_file.write_text(ROOT_TOKEN)
        self.login: Json = {"token_file": str(self.token_file)}

    @override
    def source(self) -> Json:
        reached = {"address": self.openbao.address, "ca_file": str(self.openbao.ca_file)}
        return {"vault": {**reached, "login": self.login, **self.place(), **TIMES}}

    @override
    def go_down(self) -> None:
        self.token_file.write_text("revoked")

    @override
    def come_back(self) -> None:
        self.token_file.write_text(ROOT_TOKEN)

    @abstractmethod
    def place(self) -> Json:
        """Where in OpenBao."""


class KvAuthority(VaultAuthority):
    """Publishes one secret in KV."""

    @override
    def place(self) -> Json:
        return {"kv": {"mount": self.mount, "path": "keys"}}

    @override
    def _publish(self) -> None:
        self.openbao.write_kv(self.mount, "keys", jwks(*self.keys))


class ReplicasAuthority(VaultAuthority):
    """Many signers, each with a key and a record of its own in a folder of KV."""

    @override
    def place(self) -> Json:
        return {"kv": {"mount": self.mount, "path": "keys", "replicas": True}}

    @override
    def remove(self, key: SigningKey) -> None:
        super().remove(key)
        self.openbao.call("DELETE", f"{self.mount}/metadata/keys/{key.kid}")

    @override
    def _publish(self) -> None:
        for key in self.keys:
            record = {"jwks": jwks(key), "expires": 4_000_000_000}
            self.openbao.write_kv(self.mount, f"keys/{key.kid}", record)


class TransitAuthority(VaultAuthority):
    """The versions of a transit key. It is exportable, so that tests sign as fast as they like."""

    engine = "transit"

    def __init__(self, name: str, openbao: OpenBao, directory: Path) -> None:
        super().__init__(name, openbao, directory)
        self.key = openbao.new_transit_key(self.mount, "ecdsa-p256", exportable=True)
        self._versions: dict[str, int] = {}

    @override
    def place(self) -> Json:
        return {"transit": {"mount": self.mount, "key": self.key}}

    @override
    def remove(self, key: SigningKey) -> None:
        """Publish it no more, nor any that is older: there is no other way in transit."""
        number = self._versions[key.kid]
        self.openbao.retire_before(self.mount, self.key, number + 1)
        self.keys = [each for each in self.keys if self._versions[each.kid] > number]

    @override
    def _make(self, number: int) -> SigningKey:
        if number > 1:
            self.openbao.rotate(self.mount, self.key)
        path = f"{self.mount}/export/signing-key/{self.key}/{number}"
        pem = self.openbao.call("GET", path)["data"]["keys"][str(number)]
        private = cast("EllipticCurvePrivateKey", load_pem_private_key(pem.encode(), None))
        kid = thumbprint(private.public_key())
        self._versions[kid] = number
        return SigningKey(kid, self.algorithm, private)

    @override
    def _publish(self) -> None:
        """OpenBao has done so when it made the key."""


SOURCES = ("file", "jwks", "oidc", "transit", "kv", "replicas", "kubernetes")


@contextmanager
def one_of_each(openbao: OpenBao, directory: Path) -> Iterator[dict[str, Authority]]:
    """An issuer for each of ``SOURCES``, its first key published."""
    for folder in ("oidc", "cluster"):
        (directory / folder).mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(KeyServer(directory))
        issuer = stack.enter_context(KeyServer(directory / "oidc"))
        api = stack.enter_context(KubernetesApi(directory / "cluster"))
        authorities: list[Authority] = [
            FileAuthority("file", directory),
            JwksAuthority("jwks", server),
            OidcAuthority("oidc", issuer),
            TransitAuthority("transit", openbao, directory),
            KvAuthority("kv", openbao, directory),
            ReplicasAuthority("replicas", openbao, directory),
            KubernetesAuthority("kubernetes", api, directory),
        ]
        for authority in authorities:
            authority.open()
        yield {authority.name: authority for authority in authorities}
