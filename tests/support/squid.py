"""A real forward proxy: Squid, as Debian packages it."""

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Child, as_user

# What `apt-get install` needs to be told.
PACKAGES: Final = "squid-openssl"
PROGRAM: Final = shutil.which("squid", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# A host that the proxy alone can resolve.
HIDDEN: Final = "elsewhere.example"
# A host that it reaches for nobody.
FORBIDDEN: Final = "forbidden.example"

# Squid asks such a program about `user password`, a line each.
_CHECKER: Final = """#!/bin/sh
while read -r line; do
  if [ "$line" = "$(cat "$1")" ]; then echo OK; else echo ERR; fi
done
"""


class Squid:
    """A proxy for the length of a ``with`` block. ``directory`` is one that any user may enter.

    With ``user`` and ``password`` it serves nobody else. With ``certificate``, the path of a
    certificate with its key, it is spoken to over https.
    """

    def __init__(
        self,
        directory: Path,
        *,
        user: str = "",
        password: str = "",
        certificate: Path | None = None,
    ) -> None:
        assert PROGRAM
        directory.chmod(0o777)
        port = free_port()
        self.url = f"http{'s' if certificate else ''}://localhost:{port}"
        self._address = LOOPBACK, port
        self._directory = directory
        self._log = directory / "access.log"
        (directory / "hosts").write_text(f"{LOOPBACK} localhost {HIDDEN} {FORBIDDEN}\n")
        configuration = directory / "squid.conf"
        configuration.write_text("\n".join(self._lines(user, password, certificate)) + "\n")
        command = [PROGRAM, "-N", "-f", str(configuration)]
        self._process = Child(command, directory, as_user=as_user("proxy"))

    def __enter__(self) -> Self:
        self._process.wait_until(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        # In order it would take more than a second to end, and it has nothing to finish.
        self._process.stop(within=0.0)

    def requests(self) -> list[tuple[str, str]]:
        """The method and target of each request that has ended, a tunnel when it was closed."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        found = [(each[5], each[6]) for each in map(str.split, lines)]
        return [each for each in found if not each[1].startswith("error:")]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(self._address):
                return True
        except OSError:
            return False

    def _lines(self, user: str, password: str, certificate: Path | None) -> Sequence[str]:
        directory, (host, port) = self._directory, self._address
        listening = f"http_port {host}:{port}"
        if certificate:
            listening = f"https_port {host}:{port} tls-cert={certificate}"
        allowed = ["http_access allow all"]
        if user:
            (directory / "expected").write_text(f"{user} {password}")
            (directory / "checker").write_text(_CHECKER)
            checker = f"/bin/sh {directory / 'checker'} {directory / 'expected'}"
            allowed = [
                f"auth_param basic program {checker}",
                "auth_param basic children 1",
                "acl known proxy_auth REQUIRED",
                "http_access allow known",
                "http_access deny all",
            ]
        return [
            listening,
            "pid_filename none",
            "cache deny all",
            "cache_mem 1 MB",
            f"cache_log {directory / 'cache.log'}",
            f"access_log stdio:{self._log}",
            f"hosts_file {directory / 'hosts'}",
            "netdb_filename none",
            "pinger_enable off",
            "coredump_dir none",
            f"acl forbidden dstdomain {FORBIDDEN}",
            "http_access deny forbidden",
            *allowed,
        ]
