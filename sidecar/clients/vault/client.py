"""HashiCorp Vault and OpenBao: login, and the calls that key sources and rings need.

Both servers have the API under ``/v1`` used here. Every refusal is a ``SourceFault`` whose text is
for operators and never contains a secret.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from sidecar.clients.http import Response
from sidecar.clients.secrets import read_secret
from sidecar.clients.vault.http import VaultHttp, explanation
from sidecar.clients.vault.session import ClientToken, TokenSession
from sidecar.clients.vault.settings import AppRoleLogin, KubernetesLogin, TokenFile, VaultSettings
from sidecar.errors import SourceFault

# How long a token from a file is used before the file is read again, in seconds.
_TOKEN_FILE_LIFETIME: Final = 60.0


class VaultClient:
    """Calls one server with one login. Belongs to the event loop of its first call.

    Every call raises SourceFault when the server is unreachable or sealed, or refuses the login or
    the call; a path that does not exist is a value where that can be normal, and a fault otherwise.
    """

    def __init__(
        self, settings: VaultSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._http = VaultHttp(settings.address, settings.namespace, settings.http)
        self._session = TokenSession(self._log_in, self._renew, clock)

    async def close(self) -> None:
        """Close connections. The client token is not revoked; it expires."""
        self._session.close()
        await self._http.close()

    async def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None, query: str = ""
    ) -> dict[str, object] | None:
        """The data of the answer to one request; None for what does not exist.

        Args:
            method: the HTTP method.
            path: the path below ``/v1/``.
            body: sent as JSON; None for no body.
            query: the query, with its question mark.
        """
        token = await self._session.token()
        response = await self._http.send(method, path, token=token, body=body, query=query)
        if response.status == 403 and self._session.discard(token):
            token = await self._session.token()
            response = await self._http.send(method, path, token=token, body=body, query=query)
        if response.status == 403:
            raise SourceFault(
                f"{self._http.redacted_url(path)} is denied to this login (403): "
                "its policies do not allow it"
            )
        # A 404 with an explanation says that the mount does not exist.
        if response.status == 404 and not explanation(response.body):
            return None
        document = await self._http.document(path, response, token)
        match document.get("data", {}):
            case dict(data):
                return data
        raise self._http.invalid_answer(path)

    def url(self, path: str) -> str:
        """The full URL of a path, for messages."""
        return self._http.redacted_url(path)

    def unexpected(self, path: str) -> SourceFault:
        """The fault of an answer that is not in the format of this API."""
        return self._http.invalid_answer(path)

    async def read_kv(self, mount: str, path: str) -> tuple[dict[str, object], int] | None:
        """A secret and its version; None where there is none (``GET /:mount/data/:path``)."""
        where = f"{mount}/data/{path}"
        match await self.call("GET", where):
            case None:
                return None
            case {"data": dict(data), "metadata": {"version": int(version)}}:
                return data, version
        raise self._http.invalid_answer(where)

    async def write_kv(
        self, mount: str, path: str, data: Mapping[str, object], cas: int | None = None
    ) -> int:
        """Write a secret and return its new version (``POST /:mount/data/:path``).

        With ``cas``, only if that is its current version; 0 means that it does not exist.
        """
        where = f"{mount}/data/{path}"
        options = {} if cas is None else {"cas": cas}
        match await self.call("POST", where, {"data": data, "options": options}):
            case {"version": int(version)}:
                return version
        raise self._http.invalid_answer(where)

    async def list_kv(self, mount: str, path: str) -> tuple[str, ...]:
        """The names in a folder; those of folders end in "/" (``LIST /:mount/metadata/:path``)."""
        where = f"{mount}/metadata/{path}"
        match await self.call("GET", where, query="?list=true"):
            case None:
                return ()
            case {"keys": list(names)}:
                return tuple(map(str, names))
        raise self._http.invalid_answer(where)

    async def delete_kv(self, mount: str, path: str) -> None:
        """Remove a secret with all its versions (``DELETE /:mount/metadata/:path``)."""
        await self.call("DELETE", f"{mount}/metadata/{path}")

    async def _log_in(self) -> ClientToken:
        match self._settings.login:
            case TokenFile(file):
                return ClientToken(await read_secret(file), _TOKEN_FILE_LIFETIME, renewable=False)
            case KubernetesLogin(role, file, mount):
                jwt = await read_secret(file)
                return await self._granted(mount, {"role": role, "jwt": jwt}, jwt)
            case AppRoleLogin(role_file, secret_file, mount):
                role_id, secret_id = await read_secret(role_file), await read_secret(secret_file)
                body = {"role_id": role_id, "secret_id": secret_id}
                return await self._granted(mount, body, secret_id)

    async def _granted(self, mount: str, body: Mapping[str, object], secret: str) -> ClientToken:
        path = f"auth/{mount}/login"
        response = await self._http.send("POST", path, body=body)
        return await self._grant(path, response, secret)

    async def _renew(self, token: str) -> ClientToken:
        path = "auth/token/renew-self"
        response = await self._http.send("POST", path, token=token, body={})
        return await self._grant(path, response, token)

    async def _grant(self, path: str, response: Response, secret: str) -> ClientToken:
        document = await self._http.document(path, response, secret)
        match document.get("auth"):
            case {
                "client_token": str(token),
                "lease_duration": int(lifetime),
                "renewable": bool(renewable),
            } if token and lifetime >= 0:
                # A token with a lease of zero seconds does not expire.
                return ClientToken(token, lifetime or math.inf, renewable)
        raise self._http.invalid_answer(path)
