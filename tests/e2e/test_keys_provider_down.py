"""An identity provider that is down: when a pod starts, later, across a restart, and back again."""

import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.keys.saved import SavedCopy
from tests.e2e.keys_authorities import FileAuthority, JwksAuthority
from tests.e2e.keys_pod import KeysPod, Note, keys_pod
from tests.support.flood import unknown_keys
from tests.support.key_server import KeyServer, close_at_once
from tests.support.processes import eventually
from tests.support.upstream import Upstream

MAX_STALE = 60.0  # the least that is allowed
StartPod = Callable[[], AbstractContextManager[KeysPod]]


@pytest.fixture
def provider(own_key_server: KeyServer) -> JwksAuthority:
    authority = JwksAuthority("provider", own_key_server)
    authority.open()
    return authority


@pytest.fixture
def gateway(tmp_path: Path) -> FileAuthority:
    authority = FileAuthority("gateway", tmp_path)
    authority.open()
    return authority


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where sidecars keep the last good keys."""
    directory = tmp_path / "cache"
    directory.mkdir()
    return directory


@pytest.fixture
def start_pod(
    envoy_version: str,
    upstream: Upstream,
    *,
    provider: JwksAuthority,
    gateway: FileAuthority,
    cache: Path,
    tmp_path: Path,
) -> StartPod:
    return lambda: keys_pod(
        envoy_version,
        upstream,
        tmp_path,
        provider,
        gateway,
        key_cache={"directory": str(cache)},
    )


def age(cache: Path, provider: JwksAuthority, seconds: float) -> None:
    """Make the saved keys look as if they had been fetched earlier."""
    (content,) = [file.read_text() for file in cache.glob(f"{provider.name}.*")]
    document = json.loads(content.partition("\n")[2])
    copy = SavedCopy(cache, provider.name, document["source"])
    saved = asyncio.run(copy.read())
    assert saved is not None
    asyncio.run(copy.write(replace(saved, fetched_at=saved.fetched_at - seconds)))


def test_provider_down_at_start_costs_its_own_tokens_alone_until_it_is_back(
    start_pod: StartPod, own_key_server: KeyServer, provider: JwksAuthority, gateway: FileAuthority
) -> None:
    own_key_server.misbehave(close_at_once)
    with start_pod() as pod, pod.traffic(gateway):
        refused = pod.ask(provider.token())
        assert refused.status == 503
        assert int(refused.header("retry-after") or 0) > 0
        assert refused.json()["reason"] == "keys_unavailable"
        assert pod.sidecar.ready()
        assert pod.issuer("gateway")["last_error"] is None
        assert provider.url in pod.issuer("provider")["last_error"]
        assert pod.issuer("provider")["last_success"] is None

        own_key_server.behave()
        eventually(lambda: pod.status(provider.token()) == 200)
        assert pod.issuer("provider")["last_error"] is None


def test_provider_that_goes_down_later_is_missed_by_nobody(
    start_pod: StartPod, own_key_server: KeyServer, provider: JwksAuthority, record_property: Note
) -> None:
    with start_pod() as pod, pod.traffic(provider, record_property) as load:
        own_key_server.misbehave(close_at_once)
        pod.wait_for_failures("provider", 2)
        load.wait_for(100)
        assert pod.sidecar.ready()
        assert "closed the connection" in pod.issuer("provider")["last_error"]
        # Whether this key is good cannot be told at present.
        (unknown,) = unknown_keys(provider.token(), 1)
        assert pod.status(unknown) == 503

        own_key_server.behave()
        pod.rotate(provider)
        assert pod.issuer("provider")["last_error"] is None
        load.wait_for(100)
        # It is refused once a fetch that began after it came has ended: until then, a 503.
        eventually(lambda: pod.status(unknown) == 401)


def test_restart_while_the_provider_is_down_serves_with_the_keys_of_before_until_they_are_too_old(
    start_pod: StartPod,
    own_key_server: KeyServer,
    provider: JwksAuthority,
    gateway: FileAuthority,
    cache: Path,
) -> None:
    with start_pod() as pod:
        assert pod.status(provider.token()) == 200
        pod.sidecar.process.signal(signal.SIGKILL)
        pod.sidecar.process.wait()
        own_key_server.misbehave(close_at_once)
        age(cache, provider, MAX_STALE - 6)

        pod.sidecar.start()
        eventually(lambda: pod.status(provider.token()) == 200)
        assert pod.issuer("provider")["source"] == f"saved copy of jwks {provider.url}"

        eventually(lambda: pod.status(provider.token()) == 503)
        assert pod.ask(provider.token()).json()["reason"] == "keys_unavailable"
        assert pod.status(gateway.token()) == 200
        assert pod.sidecar.ready()

        own_key_server.behave()
        eventually(lambda: pod.status(provider.token()) == 200)


def test_saved_keys_that_are_too_old_serve_nobody(
    start_pod: StartPod,
    own_key_server: KeyServer,
    provider: JwksAuthority,
    gateway: FileAuthority,
    cache: Path,
) -> None:
    with start_pod() as pod:
        assert pod.status(provider.token()) == 200
        pod.sidecar.process.signal(signal.SIGKILL)
        pod.sidecar.process.wait()
        own_key_server.misbehave(close_at_once)
        age(cache, provider, MAX_STALE)

        pod.sidecar.start()
        eventually(lambda: pod.status(gateway.token()) == 200)
        assert pod.ask(provider.token()).json()["reason"] == "keys_unavailable"
        assert pod.issuer("provider")["last_success"] is None
