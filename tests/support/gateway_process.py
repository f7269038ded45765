"""The gateway as its users run it: `sidecar serve` with its rings, on real sockets."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from typing_extensions import override

from sidecar.cli import main
from tests.support import http1
from tests.support.http1 import Field, Response
from tests.support.ports import LOOPBACK, free_port
from tests.support.sidecar_process import SIDECAR, SidecarProcess

Json = dict[str, Any]

ISSUER = "https://gateway.shop.internal"
JWKS = "/.well-known/jwks.json"


class GatewayProcess(SidecarProcess):
    """A gateway for the length of a ``with`` block, ready when the block begins.

    Its configuration names the directories of its rings, made by ``new_ring``, as relative ones.
    """

    def __init__(
        self,
        configuration: Mapping[str, object],
        directory: Path,
        socket_directory: Path,
        *,
        command: Sequence[str] = SIDECAR,
    ) -> None:
        self._internal_port = free_port()
        super().__init__(configuration, directory, socket_directory, command=command)

    @property
    def internal_url(self) -> str:
        """The listener for those inside, in plain HTTP."""
        return f"http://{LOOPBACK}:{self._internal_port}"

    @property
    def jwks_url(self) -> str:
        return f"{self.internal_url}{JWKS}"

    def internal(
        self, method: str, target: str, headers: Sequence[Field] = (), body: bytes = b""
    ) -> Response:
        """Ask the listener for those inside."""
        return http1.request((LOOPBACK, self._internal_port), method, target, headers, body)

    def published_kids(self) -> set[str]:
        """The ids of the keys it publishes."""
        return {key["kid"] for key in self.internal("GET", JWKS).json()["keys"]}

    @override
    def _listen(self) -> dict[str, object]:
        return {**super()._listen(), "internal": f"{LOOPBACK}:{self._internal_port}"}

    @override
    def _role(self) -> str:
        return "gateway"


def new_ring(directory: Path, *options: str) -> Path:
    """Make a ring in a directory, as an administrator does (``sidecar keys new``)."""
    keys(directory, "new", *options)
    return directory


def keys(directory: Path, command: str, *options: str) -> str:
    """Run ``sidecar keys`` on a directory; what it printed."""
    printed = io.StringIO()
    # In this process: another one takes longer to start than most tests take.
    with redirect_stdout(printed):
        status = main(["keys", command, "--directory", str(directory), *options])
    assert status == 0, printed.getvalue()
    return printed.getvalue()
