"""Where the request keys of a gateway's replicas live: what each is told, and how they change."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from typing_extensions import override

from tests.e2e.keys_authorities import TIMES
from tests.support.gateway_process import keys, new_ring
from tests.support.openbao import ROOT_TOKEN, OpenBao
from tests.support.tokens import Json

# For verifiers that refresh every second: a key is published AHEAD and kept for 2.4 s.
AHEAD: Final = 3.2
TIMINGS: Final = {
    "lifetime": "2s",
    "verifiers_refresh": "1s",
    "leeway": "200ms",
    "propagation": "1s",
}
FOLDER: Final = "replicas"


class Place(ABC):
    """One place that all replicas share."""

    @abstractmethod
    def keys(self, replica: str) -> Json:
        """What ``request_tokens.keys`` says at a replica of this name."""

    @abstractmethod
    def rotate(self) -> None:
        """Do what makes the next key, as an administrator does."""

    def verifiers(self) -> tuple[Json, ...]:
        """Where verifiers find the keys, besides at the replicas."""
        return ()


class Directory(Place):
    """A directory such as a mounted Secret."""

    def __init__(self, directory: Path) -> None:
        self.path = new_ring(
            directory,
            *("--verifier-refresh", TIMINGS["verifiers_refresh"]),
            *("--token-life", TIMINGS["lifetime"]),
            *("--leeway", TIMINGS["leeway"]),
            *("--propagation", TIMINGS["propagation"]),
        )

    @override
    def keys(self, replica: str) -> Json:
        return {"directory": str(self.path)}

    @override
    def rotate(self) -> None:
        keys(self.path, "rotate", "--early")


class InVault(Place):
    """In OpenBao, which the gateway reaches at ``address``."""

    engine: str

    def __init__(self, openbao: OpenBao, directory: Path, address: str | None = None) -> None:
        self.openbao = openbao
        self.mount = openbao.mount(self.engine)
        token_file = directory / "vault-token"
        token_file.write_text(ROOT_TOKEN)
        self.reached: Json = {
            "address": address or openbao.address,
            "ca_file": str(openbao.ca_file),
            "login": {"token_file": str(token_file)},
        }


class Transit(InVault):
    """A transit key, which signs."""

    engine = "transit"

    def __init__(self, openbao: OpenBao, directory: Path, address: str | None = None) -> None:
        super().__init__(openbao, directory, address)
        self.key = openbao.new_transit_key(self.mount, "ecdsa-p256")

    @override
    def keys(self, replica: str) -> Json:
        return {"transit": {**self.reached, "mount": self.mount, "key": self.key}}

    @override
    def rotate(self) -> None:
        self.openbao.rotate(self.mount, self.key)


class Ephemeral(InVault):
    """In the memory of each replica; the public halves are in a folder."""

    engine = "kv"

    period = "1h"

    @override
    def keys(self, replica: str) -> Json:
        folder = {**self.reached, "mount": self.mount, "path": FOLDER}
        return {"ephemeral": {**folder, "replica": replica, "rotate": self.period}}

    @override
    def rotate(self) -> None:
        """Nothing to do: each replica replaces its key by itself."""

    def replicas(self) -> list[str]:
        """Where the records of replicas are."""
        names = self.openbao.call("LIST", f"{self.mount}/metadata/{FOLDER}")["data"]["keys"]
        return [f"{self.mount}/data/{FOLDER}/{name}" for name in names]

    def record(self, replica: str) -> Json:
        """What a replica has published."""
        record: Json = self.openbao.call("GET", replica)["data"]["data"]
        return record

    @override
    def verifiers(self) -> tuple[Json, ...]:
        folder = {"mount": self.mount, "path": FOLDER, "replicas": True}
        return ({"vault": {**self.reached, "kv": folder, **TIMES}},)
