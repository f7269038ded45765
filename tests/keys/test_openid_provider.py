"""An OpenID provider that is not ours: its keys are found by discovery, and fit its tokens."""

import asyncio
import math

import jwt

from sidecar.clients.http import HttpSettings
from sidecar.jose.jwk import VerificationKey
from sidecar.keys.settings import OidcKeys
from sidecar.keys.sources.oidc import OidcSource
from sidecar.snapshots.keys import KeySet
from tests.support.openid_provider import LOGIN_PAGE, OpenIdProvider


def discovered(provider: OpenIdProvider) -> tuple[VerificationKey, ...]:
    async def story() -> tuple[VerificationKey, ...]:
        http = HttpSettings(ca_file=provider.ca_file)
        source = OidcSource(OidcKeys(provider.issuer, http))
        try:
            return (await source.fetch()).keys
        finally:
            await source.close()

    return asyncio.run(story())


def test_the_keys_of_a_provider_fit_its_tokens(openid_provider: OpenIdProvider) -> None:
    known = KeySet.of(discovered(openid_provider), usable_until=math.inf)

    token = openid_provider.id_token("alice")

    header = jwt.get_unverified_header(token)
    (key,) = known.candidates(header["kid"], header["alg"])
    claims = jwt.decode(token, key.public_key, [header["alg"]], audience=LOGIN_PAGE)
    assert (claims["iss"], claims["sub"]) == (openid_provider.issuer, "alice")
