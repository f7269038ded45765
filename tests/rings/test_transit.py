"""Signing with the versions of a transit key of a real OpenBao."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.clients.vault.settings import TokenFile, TransitKeys
from sidecar.errors import SourceFault
from sidecar.rings.lifecycle import State, Timings
from sidecar.rings.ring import Key
from sidecar.rings.transit import MOST_WAITING, TransitRing, TransitVersion
from tests.support.openbao import ROOT_TOKEN, OpenBao
from tests.support.rings import signed, until, verifies

# The key is looked at every second.
TIMINGS = Timings(verifier_refresh=100, token_life=60, leeway=10, propagation=3, period=86400)

Story = Callable[[TransitRing], Awaitable[None]]


@pytest.fixture
def login(tmp_path: Path) -> TokenFile:
    (tmp_path / "token").write_text(ROOT_TOKEN)
    return TokenFile(tmp_path / "token")


@pytest.fixture(scope="module")
def mount(openbao: OpenBao) -> str:
    return openbao.mount("transit")


def versions(*keys: Key) -> list[int]:
    """The versions of the transit key that these are."""
    transit = [key for key in keys if isinstance(key, TransitVersion)]
    assert len(transit) == len(keys)
    return [key.version for key in transit]


def play(settings: TransitKeys, algorithm: str, story: Story) -> None:
    async def stage() -> None:
        ring = TransitRing(settings, algorithm, TIMINGS)
        try:
            await ring.start()
            await story(ring)
        finally:
            await ring.stop()

    asyncio.run(stage())


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        *[("ecdsa-p256", "ES256"), ("ecdsa-p384", "ES384"), ("ecdsa-p521", "ES512")],
        *[("rsa-2048", "RS256"), ("rsa-2048", "PS256"), ("ed25519", "Ed25519")],
    ],
)
def test_what_vault_signs_verifies_with_what_is_published(
    openbao: OpenBao, mount: str, login: TokenFile, kind: str, algorithm: str
) -> None:
    key = openbao.new_transit_key(mount, kind)

    async def story(ring: TransitRing) -> None:
        now = time.time()
        assert verifies(await signed(ring.keys.signer(now)), ring.keys.jwks(now))
        assert [jwk["alg"] for jwk in ring.keys.jwks(now)["keys"]] == [algorithm]

    play(TransitKeys(openbao.settings(login), key, mount), algorithm, story)


def test_many_signatures_are_made_at_once(openbao: OpenBao, mount: str, login: TokenFile) -> None:
    key = openbao.new_transit_key(mount, "ecdsa-p256")

    async def story(ring: TransitRing) -> None:
        now = time.time()
        signer, jwks = ring.keys.signer(now), ring.jwks(now)
        tokens = await asyncio.gather(*(signed(signer) for _ in range(50)))
        assert len(set(tokens)) == 50
        assert all(verifies(token, jwks) for token in tokens)

    play(TransitKeys(openbao.settings(login), key, mount), "ES256", story)


def test_only_so_many_signatures_are_waited_for(
    openbao: OpenBao, mount: str, login: TokenFile
) -> None:
    key = openbao.new_transit_key(mount, "ecdsa-p256")

    async def story(ring: TransitRing) -> None:
        signer = ring.keys.signer(time.time())
        asked = [signed(signer) for _ in range(MOST_WAITING + 1)]
        *made, refused = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(each, str) for each in made)
        assert str(refused) == f"{MOST_WAITING} signatures are waited for, as many as may be"
        assert await signed(signer)

    play(TransitKeys(openbao.settings(login), key, mount), "ES256", story)


def test_a_new_version_is_published_before_it_signs(
    openbao: OpenBao, mount: str, login: TokenFile
) -> None:
    key = openbao.new_transit_key(mount, "ecdsa-p256")

    async def story(ring: TransitRing) -> None:
        first = ring.keys.signer(time.time())
        openbao.rotate(mount, key)
        await until(lambda: len(ring.keys.keys) == 2)
        now = time.time()
        assert ring.keys.states(now) == (State.ACTIVE, State.PUBLISHED)
        assert ring.keys.signer(now) == first
        assert verifies(await signed(first), ring.keys.jwks(now))

        active = ring.keys.dates()[1].active
        assert active == pytest.approx(now + TIMINGS.ahead, abs=5)
        second = ring.keys.signer(active)
        assert versions(first, second) == [1, 2]
        assert verifies(await signed(second), ring.keys.jwks(active))
        assert verifies(await signed(first), ring.keys.jwks(active + TIMINGS.kept - 1))
        assert not verifies(await signed(first), ring.keys.jwks(active + TIMINGS.kept))

    play(TransitKeys(openbao.settings(login), key, mount), "ES256", story)


def test_a_version_that_is_taken_out_gives_way_at_once(
    openbao: OpenBao, mount: str, login: TokenFile
) -> None:
    key = openbao.new_transit_key(mount, "ecdsa-p256")

    async def story(ring: TransitRing) -> None:
        openbao.rotate(mount, key)
        openbao.retire_before(mount, key, 2)
        await until(lambda: versions(*[each.key for each in ring.keys.keys]) == [2])
        assert versions(ring.keys.signer(time.time())) == [2]

    play(TransitKeys(openbao.settings(login), key, mount), "ES256", story)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("rsa-2048", "is of type rsa-2048, not for ES256"),
        ("aes256-gcm96", "shows no public key"),
        (None, "does not exist"),
    ],
)
def test_a_key_that_cannot_sign_as_asked_signs_nothing(
    openbao: OpenBao, mount: str, login: TokenFile, kind: str | None, words: str
) -> None:
    key = openbao.new_transit_key(mount, kind) if kind else "missing"

    async def story(ring: TransitRing) -> None:
        assert words in str(ring.problem)
        assert ring.keys.keys == ()
        assert ring.jwks(time.time()) == {"keys": []}

    play(TransitKeys(openbao.settings(login), key, mount), "ES256", story)


def test_a_vault_that_cannot_be_used_at_first_signs_as_soon_as_it_can(
    openbao: OpenBao, mount: str, tmp_path: Path
) -> None:
    token = tmp_path / "later"
    key = openbao.new_transit_key(mount, "ecdsa-p256")

    async def story(ring: TransitRing) -> None:
        assert str(ring.problem) == f"{token} cannot be read: No such file or directory"
        with pytest.raises(SourceFault, match="no key has been published"):
            ring.keys.signer(time.time())

        token.write_text(ROOT_TOKEN)
        await until(lambda: ring.problem is None)
        now = time.time()
        assert verifies(await signed(ring.keys.signer(now)), ring.jwks(now))
        assert ring.max_age() == 100

    play(TransitKeys(openbao.settings(TokenFile(token)), key, mount), "ES256", story)


def test_a_sealed_vault_signs_nothing_and_its_keys_stay_published(
    openbao_to_seal: OpenBao, login: TokenFile
) -> None:
    mount = openbao_to_seal.mount("transit")
    key = openbao_to_seal.new_transit_key(mount, "ecdsa-p256")

    async def story(ring: TransitRing) -> None:
        before = ring.keys
        openbao_to_seal.seal()
        with pytest.raises(SourceFault, match="sealed"):
            await signed(ring.keys.signer(time.time()))
        await until(lambda: ring.problem is not None)
        assert ring.keys is before

    play(TransitKeys(openbao_to_seal.settings(login), key, mount), "ES256", story)
