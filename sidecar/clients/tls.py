"""TLS as a client: the trusted certificate authorities, and the client certificate."""

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

from sidecar.clients.files import Version, version
from sidecar.errors import SourceFault


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. ``ca`` replaces the system's trusted authorities where it is given.

    ``certificate`` is the client's own chain; its key is in ``private_key``, or in the same file.
    """

    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None


class ClientTls:
    """A TLS context that is rebuilt when its files change, without a restart."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._built: tuple[tuple[Version | None, ...], ssl.SSLContext] | None = None
        # Connections are pooled by context, so concurrent requests must get the same one.
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext:
        """The context to connect with. Reads files: not for the event loop's thread.

        Raises:
            SourceFault: a file cannot be used.
        """
        files = (self._files.ca, self._files.certificate, self._files.private_key)
        with self._lock:
            versions = tuple(version(file) if file else None for file in files)
            if self._built is None or self._built[0] != versions:
                self._built = (versions, client_context(self._files))
            return self._built[1]


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """A context that verifies the server and its name, and speaks TLS 1.2 or later (RFC 9325 §3.1).

    Raises:
        SourceFault: a file cannot be used; the text says which and why.
    """
    try:
        context = ssl.create_default_context(cafile=str(files.ca) if files.ca else None)
    except OSError as fault:  # ssl.SSLError is one
        raise SourceFault(f"the CA file {files.ca} cannot be used: {cause(fault)}") from fault
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.certificate:
        try:
            # Without a password, OpenSSL would prompt for that of an encrypted key.
            context.load_cert_chain(files.certificate, files.private_key, password="")
        except OSError as fault:
            raise SourceFault(
                f"the client certificate {files.certificate} with the key "
                f"{files.private_key or files.certificate} cannot be used: {cause(fault)}"
            ) from fault
    return context


def cause(fault: OSError) -> str:
    """Why a file cannot be used for TLS, in words that say what to do."""
    if not isinstance(fault, ssl.SSLError):
        return fault.strerror or type(fault).__name__
    if fault.reason == "KEY_VALUES_MISMATCH":
        return "the key is another certificate's"
    return "what is needed is PEM, and no passphrase"
