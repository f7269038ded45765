"""The keys of the cluster's service account issuer, to verify the tokens of callers.

They are fetched from the API server. Its discovery document is not used, because the ``jwks_uri``
in it is often an external address that pods cannot reach.
"""

from sidecar.clients.http import HttpClient, HttpSettings, redacted_url
from sidecar.clients.secrets import read_secret
from sidecar.errors import SourceFault
from sidecar.keys.settings import KubernetesKeys
from sidecar.keys.sources import Fetched
from sidecar.keys.sources.jwks import KeySetReader


class KubernetesSource:
    """Fetches ``/openid/v1/jwks`` with the pod's service account token.

    The token is read for each fetch, since the kubelet replaces it long before it expires.
    """

    def __init__(self, settings: KubernetesKeys) -> None:
        self._url = f"{settings.server.rstrip('/')}/openid/v1/jwks"
        self._token_file = settings.token_file
        self._client = HttpClient(
            HttpSettings(ca_file=settings.ca_file, answer_bytes=settings.answer_bytes)
        )
        self._reader = KeySetReader()

    def __str__(self) -> str:
        return f"kubernetes {redacted_url(self._url)}"

    async def fetch(self) -> Fetched:
        """The keys of the cluster's issuer (``KeySource.fetch``)."""
        token = await read_secret(self._token_file)
        answer = await self._client.get(self._url, [("Authorization", f"Bearer {token}")])
        if answer.status == 401:
            raise SourceFault(
                f"{redacted_url(self._url)} does not accept the token in {self._token_file} (401): "
                "it has expired, or is not meant for the API server"
            )
        if answer.status == 403:
            raise SourceFault(
                f"{redacted_url(self._url)} is denied to the pod's service account (403): "
                "bind it to the ClusterRole system:service-account-issuer-discovery"
            )
        return await self._reader.read(self._url, answer)

    async def close(self) -> None:
        """Close connections (``KeySource.close``)."""
        await self._client.close()
