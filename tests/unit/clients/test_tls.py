"""The files that TLS needs: which cannot be used, and how that is told."""

import ssl
from pathlib import Path

import pytest

from sidecar.clients.tls import TlsFiles, client_context
from sidecar.errors import SourceFault
from tests.support.certificates import CertificateAuthority


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    authority = CertificateAuthority(tmp_path)
    authority.issue("client")
    authority.issue("other")
    return authority


def test_servers_are_verified_and_old_protocols_refused(authority: CertificateAuthority) -> None:
    context = client_context(TlsFiles(authority.certificate_file))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_ca_file_replaces_the_authorities_of_the_system(authority: CertificateAuthority) -> None:
    context = client_context(TlsFiles(authority.certificate_file))
    assert len(context.get_ca_certs()) == 1


def test_the_key_may_be_in_the_file_of_the_certificate(authority: CertificateAuthority) -> None:
    both = authority.directory / "both.pem"
    both.write_bytes(
        (authority.directory / "client.crt").read_bytes()
        + (authority.directory / "client.key").read_bytes()
    )
    client_context(TlsFiles(certificate=both))


def test_a_ca_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "absent.crt"
    with pytest.raises(SourceFault) as fault:
        client_context(TlsFiles(file))
    assert str(fault.value) == f"the CA file {file} cannot be used: No such file or directory"


def test_a_ca_file_without_a_certificate_is_told(tmp_path: Path) -> None:
    file = tmp_path / "empty.crt"
    file.write_text("nothing")
    with pytest.raises(SourceFault, match="what is needed is PEM, and no passphrase"):
        client_context(TlsFiles(file))


def test_a_key_of_another_certificate_is_told(authority: CertificateAuthority) -> None:
    certificate, key = authority.directory / "client.crt", authority.directory / "other.key"
    with pytest.raises(SourceFault) as fault:
        client_context(TlsFiles(certificate=certificate, private_key=key))
    assert str(fault.value) == (
        f"the client certificate {certificate} with the key {key} cannot be used: "
        "the key is another certificate's"
    )
