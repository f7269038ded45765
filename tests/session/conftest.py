"""The gateway's side of an SSO, with whichever client it proves itself as."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sidecar.clients.http import HttpSettings
from sidecar.session.settings import (
    ClientAuthentication,
    IntrospectionSettings,
    KeyAuthentication,
    SecretAuthentication,
)
from tests.support.openid_provider import BASIC, KEY, POST, RESOURCE, OpenIdProvider
from tests.support.settings import introspection_settings


def client(provider: OpenIdProvider, name: str, directory: Path) -> ClientAuthentication:
    """What one of the provider's clients proves itself with; its file is ``proof``."""
    file = directory / "proof"
    if name == KEY:
        private = provider.key.private
        file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return KeyAuthentication(name, file, provider.issuer)
    file.write_text(provider.secret)
    return SecretAuthentication(name, file, in_body=name == POST)


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
        http=HttpSettings(ca_file=provider.ca_file),
    )


@pytest.fixture
def settings(openid_provider: OpenIdProvider, tmp_path: Path) -> IntrospectionSettings:
    """For the provider that all tests share."""
    return introspection(openid_provider, tmp_path)
