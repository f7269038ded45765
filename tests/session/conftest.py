"""The gateway's side of an SSO, with whichever client it proves itself as."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sidecar.clients.http import HttpSettings
from sidecar.session.settings import (
    CertificateAuthentication,
    ClientAuthentication,
    IntrospectionSettings,
    KeyAuthentication,
    NoAuthentication,
    SecretAuthentication,
)
from tests.support.openid_provider import (
    BASIC,
    CERTIFICATE,
    KEY,
    POST,
    PUBLIC,
    RESOURCE,
    OpenIdProvider,
)
from tests.support.settings import introspection_settings


def client(provider: OpenIdProvider, name: str, directory: Path) -> ClientAuthentication:
    """What one of the provider's clients proves itself with; its file is ``proof``."""
    file = directory / "proof"
    if name == CERTIFICATE:
        return CertificateAuthentication(name)
    if name == PUBLIC:
        return NoAuthentication(name)
    if name == KEY:
        private = provider.key.private
        file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return KeyAuthentication(name, file, provider.issuer)
    file.write_text(provider.secret)
    return SecretAuthentication(name, file, in_body=name == POST)


def reached(provider: OpenIdProvider, certificate: str | None) -> HttpSettings:
    """How the provider is reached, with one of its client certificates."""
    usual = HttpSettings(ca_file=provider.ca_file)
    if certificate is None:
        return usual
    files = provider.certificate(certificate)
    return replace(usual, certificate=files["certificate"], private_key=files["private_key"])


def introspection(
    provider: OpenIdProvider, directory: Path, name: str = BASIC
) -> IntrospectionSettings:
    """Accepts the provider's sessions for the shop."""
    return introspection_settings(
        name="sso",
        url=provider.introspection_url,
        authentication=client(provider, name, directory),
        issuer=provider.issuer,
        audiences=frozenset({RESOURCE}),
        timeout=5.0,
        http=reached(provider, "gateway" if name == CERTIFICATE else None),
    )


@pytest.fixture
def settings(openid_provider: OpenIdProvider, tmp_path: Path) -> IntrospectionSettings:
    """For the provider that all tests share."""
    return introspection(openid_provider, tmp_path)
