"""Keys of the transit engine of a real OpenBao: read, signed with, rotated, retired."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.settings import TokenFile, TransitKeys
from sidecar.clients.vault.transit import read_key, verification_keys
from sidecar.errors import SourceFault
from sidecar.jose.jwk import VerificationKey
from sidecar.keys.sources.vault import VaultTransitSource
from sidecar.rings.transit import sign
from tests.support.checks import signed_with
from tests.support.openbao import ROOT_TOKEN, OpenBao
from tests.support.tokens import segment

ALGORITHMS = [
    *[("ed25519", "EdDSA"), ("ed25519", "Ed25519")],
    *[("ecdsa-p256", "ES256"), ("ecdsa-p384", "ES384"), ("ecdsa-p521", "ES512")],
    *[("rsa-2048", "RS256"), ("rsa-2048", "RS384"), ("rsa-2048", "RS512")],
    *[("rsa-2048", "PS256"), ("rsa-2048", "PS384"), ("rsa-2048", "PS512")],
]


@pytest.fixture(scope="module")
def mount(openbao: OpenBao) -> str:
    return openbao.mount("transit")


@pytest.fixture
def login(tmp_path: Path) -> TokenFile:
    (tmp_path / "token").write_text(ROOT_TOKEN)
    return TokenFile(tmp_path / "token")


def with_source(
    settings: TransitKeys, story: Callable[[VaultTransitSource], Awaitable[None]]
) -> None:
    async def stage() -> None:
        source = VaultTransitSource(settings)
        try:
            await story(source)
        finally:
            await source.close()

    asyncio.run(stage())


async def published(source: VaultTransitSource) -> list[VerificationKey]:
    return list((await source.fetch()).keys)


@pytest.mark.parametrize(("kind", "algorithm"), ALGORITHMS)
def test_what_a_key_signs_is_verified_with_its_public_half(
    openbao: OpenBao, mount: str, login: TokenFile, kind: str, algorithm: str
) -> None:
    name = openbao.new_transit_key(mount, kind)

    async def story() -> tuple[VerificationKey, str]:
        client = VaultClient(openbao.settings(login))
        key = verification_keys(await read_key(client, mount, name))[1]
        message = f"{segment({'alg': algorithm, 'kid': key.kid})}.{segment({'sub': 'alice'})}"
        signature = await sign(client, f"{mount}/sign/{name}", 1, message.encode(), algorithm)
        await client.close()
        return key, f"{message}.{segment(signature)}"

    key, token = asyncio.run(story())
    assert key.kid == key.thumbprint
    assert signed_with(key, token)


def test_every_version_is_published_until_it_is_retired(
    openbao: OpenBao, mount: str, login: TokenFile
) -> None:
    name = openbao.new_transit_key(mount, "ecdsa-p256")

    async def story(source: VaultTransitSource) -> None:
        (first,) = await published(source)
        openbao.rotate(mount, name)
        openbao.rotate(mount, name)
        every = await published(source)
        assert len(every) == 3
        assert first in every
        openbao.retire_before(mount, name, 3)
        assert await published(source) == every[2:]

    with_source(TransitKeys(openbao.settings(login), name, mount), story)


def test_the_version_that_signs_is_the_one_that_was_asked_for(
    openbao: OpenBao, mount: str, login: TokenFile
) -> None:
    name = openbao.new_transit_key(mount, "ed25519")
    openbao.rotate(mount, name)

    path = f"{mount}/sign/{name}"

    async def story() -> None:
        client = VaultClient(openbao.settings(login))
        keys = verification_keys(await read_key(client, mount, name))
        for version in (1, 2):
            header = segment({"alg": "EdDSA", "kid": keys[version].kid})
            message = f"{header}.{segment({})}"
            signature = await sign(
                client, f"{mount}/sign/{name}", version, message.encode(), "EdDSA"
            )
            token = f"{message}.{segment(signature)}"
            holds = [signed_with(key, token) for key in keys.values()]
            assert holds == [version == 1, version == 2]
        with pytest.raises(SourceFault, match="higher than the latest key version"):
            await sign(client, path, 3, b"", "EdDSA")
        await client.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("aes256-gcm96", {}), ("ed25519", {"derived": True})],
    ids=["symmetric", "derived"],
)
def test_a_key_without_a_public_half_is_refused(
    openbao: OpenBao, mount: str, login: TokenFile, kind: str, settings: dict[str, object]
) -> None:
    name = openbao.new_transit_key(mount, kind, **settings)

    async def story(source: VaultTransitSource) -> None:
        with pytest.raises(SourceFault, match=f"type {kind} and shows no public key"):
            await source.fetch()

    with_source(TransitKeys(openbao.settings(login), name, mount), story)


@pytest.mark.parametrize(
    ("where", "problem"),
    [("", "/keys/absent does not exist"), ("-elsewhere", "no handler for route")],
    ids=["key", "mount"],
)
def test_a_path_that_does_not_exist_is_named(
    openbao: OpenBao, mount: str, login: TokenFile, where: str, problem: str
) -> None:
    async def story(source: VaultTransitSource) -> None:
        with pytest.raises(SourceFault, match=problem):
            await source.fetch()

    with_source(TransitKeys(openbao.settings(login), "absent", mount + where), story)


def test_a_permission_taken_away_is_explained_and_given_back_it_works_again(
    openbao: OpenBao, mount: str, tmp_path: Path
) -> None:
    name = openbao.new_transit_key(mount, "ecdsa-p256")
    rules = {f"{mount}/keys/{name}": ["read"]}
    policy = openbao.write_policy(rules)
    (tmp_path / "token").write_text(openbao.new_token(policy))

    async def story(source: VaultTransitSource) -> None:
        before = await published(source)
        openbao.write_policy({"sys/nothing": ["deny"]}, policy)
        with pytest.raises(SourceFault, match=rf"{name} is denied to this login \(403\)"):
            await source.fetch()
        openbao.write_policy(rules, policy)
        assert await published(source) == before

    with_source(TransitKeys(openbao.settings(TokenFile(tmp_path / "token")), name, mount), story)


def test_a_server_that_is_sealed_says_so(openbao_to_seal: OpenBao, login: TokenFile) -> None:
    mount = openbao_to_seal.mount("transit")
    name = openbao_to_seal.new_transit_key(mount, "ecdsa-p256")

    async def story(source: VaultTransitSource) -> None:
        await source.fetch()
        openbao_to_seal.seal()
        with pytest.raises(SourceFault, match=r"is sealed .* \(503: Vault is sealed\)"):
            await source.fetch()

    with_source(TransitKeys(openbao_to_seal.settings(login), name, mount), story)


def test_the_source_is_named_by_its_key(openbao: OpenBao, login: TokenFile) -> None:
    source = VaultTransitSource(TransitKeys(openbao.settings(login), "orders"))

    assert str(source) == f"transit key transit/orders at {openbao.address}"
