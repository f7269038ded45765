"""TLS as a server: a certificate that may be replaced while the program runs."""

import logging
import ssl
from pathlib import Path

from sidecar.clients.files import Version, version
from sidecar.clients.tls import cause
from sidecar.errors import ListenFault

_log = logging.getLogger(__name__)


class ServerTls:
    """A context to listen with, TLS 1.2 or later (RFC 9325 §3.1), for two PEM files.

    Each new connection gets the certificate that is in the files at that time. If they cannot be
    used, as when only one of them has been replaced, it gets the last good one.
    """

    def __init__(self, certificate: Path, private_key: Path) -> None:
        """Read the files.

        Raises:
            ListenFault: they cannot be used; the text says why.
        """
        self._certificate, self._private_key = certificate, private_key
        self._seen = self._versions()
        self.context = self._current = self._load()
        self.context.sni_callback = self._choose

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext
    ) -> None:
        """Set the present context of a connection; called for each, with or without SNI."""
        seen = self._versions()
        if seen != self._seen:
            self._seen = seen
            try:
                self._current = self._load()
            except ListenFault as fault:
                _log.warning("a certificate is not used", extra={"problem": str(fault)})
        connection.context = self._current

    def _versions(self) -> tuple[Version | None, Version | None]:
        return version(self._certificate), version(self._private_key)

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without a password, OpenSSL would prompt for that of an encrypted key.
            context.load_cert_chain(self._certificate, self._private_key, password="")
        except OSError as fault:  # ssl.SSLError is one
            raise ListenFault(
                f"the certificate {self._certificate} with the key {self._private_key} "
                f"cannot be used: {cause(fault)}"
            ) from fault
        return context
