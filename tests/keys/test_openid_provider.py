"""An OpenID provider that is not ours: its keys are found by discovery, and fit its tokens."""

import asyncio
import importlib.util
import math
import os
from collections.abc import Iterator

import aiohttp
import jwt
import pytest
from yarl import URL

from sidecar.clients.http import HttpSettings
from sidecar.keys.settings import OidcKeys
from sidecar.keys.sources.oidc import OidcSource
from sidecar.snapshots.keys import KeySet

# What the provider is made of warns its own authors.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CALLBACK = "http://localhost/callback"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    if importlib.util.find_spec("oidc_provider_mock") is None:
        if os.environ.get("CI"):
            pytest.fail("the OpenID provider is missing: run `make .venv/.ready`")
        pytest.skip("the OpenID provider is missing: run `make .venv/.ready`")
    from oidc_provider_mock import run_server_in_thread  # noqa: PLC0415 - it may be missing

    with run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


async def log_in(issuer: str, user: str) -> str:
    """The ID token of a login by authorization code (OpenID Connect Core 1.0 §3.1)."""
    asked = {"client_id": "shop", "response_type": "code", "scope": "openid"}
    async with aiohttp.ClientSession(issuer) as browser:
        answer = await browser.post(
            "/oauth2/authorize",
            params={**asked, "redirect_uri": CALLBACK},
            data={"sub": user},
            allow_redirects=False,
        )
        code = URL(answer.headers["Location"]).query["code"]
        grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        client = {"Authorization": aiohttp.encode_basic_auth("shop", "secret")}
        answer = await browser.post("/oauth2/token", data=grant, headers=client)
        token: str = (await answer.json())["id_token"]
    return token


def test_the_keys_of_a_provider_fit_its_tokens(issuer: str) -> None:
    async def story() -> None:
        source = OidcSource(OidcKeys(issuer, HttpSettings(allow_http=True)))
        keys = (await source.fetch()).keys
        await source.close()
        token = await log_in(issuer, "alice")
        header = jwt.get_unverified_header(token)
        known = KeySet.of(keys, usable_until=math.inf)
        (key,) = known.candidates(header.get("kid"), header["alg"])
        claims = jwt.decode(token, key.public_key, [header["alg"]], audience="shop")
        assert (claims["iss"], claims["sub"]) == (issuer, "alice")

    asyncio.run(story())
