"""A start and a reload wait for keys, up to a limit, and a failed attempt is not the end of it."""

import re
from contextlib import suppress
from pathlib import Path
from signal import SIGHUP
from time import monotonic

import pytest

from tests.e2e import shop
from tests.e2e.keys_authorities import (
    SOURCES,
    Authority,
    FileAuthority,
    JwksAuthority,
)
from tests.e2e.keys_pod import keys_pod
from tests.support.key_server import KeyServer
from tests.support.processes import eventually
from tests.support.sidecar_process import Json, SidecarProcess
from tests.support.upstream import Upstream

START_TIMEOUT = 2.0


@pytest.fixture
def provider(own_key_server: KeyServer) -> JwksAuthority:
    authority = JwksAuthority("provider", own_key_server)
    authority.open()
    return authority


@pytest.fixture
def file(tmp_path: Path) -> FileAuthority:
    authority = FileAuthority("file", tmp_path)
    authority.open()
    return authority


def configuration(*authorities: Authority, start_timeout: float) -> Json:
    trust = [authority.trust() for authority in authorities]
    kinds = sorted({entry["kind"] for entry in trust})
    return {
        "trust": trust,
        "start_timeout": f"{start_timeout:g}s",
        "routes": [{**shop.ROUTES[2], "allow": {"tokens": kinds}}],
    }


def started(sidecar: SidecarProcess) -> float:
    """How long a start takes, in seconds."""
    began = monotonic()
    sidecar.start()
    return monotonic() - began


def attempts(sidecar: SidecarProcess, issuer: Authority) -> float:
    """How many fetches have failed; none while nothing can be asked yet."""
    with suppress(OSError):
        return sidecar.metric("sidecar_key_refreshes_total", issuer=issuer.name, result="failure")
    return 0


def test_rollout_with_a_wrong_url_is_not_ready_before_the_limit(
    provider: JwksAuthority, own_key_server: KeyServer, tmp_path: Path, socket_directory: Path
) -> None:
    wrong = configuration(provider, start_timeout=START_TIMEOUT)
    own_key_server.documents.clear()
    sidecar = SidecarProcess(wrong, tmp_path, socket_directory)
    try:
        assert started(sidecar) >= START_TIMEOUT
        assert attempts(sidecar, provider) >= 3
    finally:
        sidecar.process.stop()


def test_keys_that_are_there_at_once_are_not_waited_for(
    file: FileAuthority, provider: JwksAuthority, tmp_path: Path, socket_directory: Path
) -> None:
    # Far longer than a start is waited for here.
    patient = configuration(file, provider, start_timeout=300)
    with SidecarProcess(patient, tmp_path, socket_directory) as sidecar:
        assert attempts(sidecar, provider) == 0


def test_pod_is_ready_as_soon_as_an_issuer_that_was_down_is_there(
    provider: JwksAuthority, tmp_path: Path, socket_directory: Path
) -> None:
    provider.go_down()
    patient = configuration(provider, start_timeout=300)
    sidecar = SidecarProcess(patient, tmp_path, socket_directory)
    sidecar.launch()
    try:
        eventually(lambda: attempts(sidecar, provider) >= 3)
        assert not sidecar.ready()
        provider.come_back()
        eventually(sidecar.ready)
    finally:
        sidecar.process.stop()


@pytest.mark.parametrize("source", SOURCES)
def test_keys_of_every_source_are_waited_for_through_failed_attempts(
    source: str, authorities: dict[str, Authority], tmp_path: Path, socket_directory: Path
) -> None:
    authority = authorities[source]
    authority.go_down()
    sidecar = SidecarProcess(
        configuration(authority, start_timeout=300), tmp_path, socket_directory
    )
    sidecar.launch()
    try:
        eventually(lambda: attempts(sidecar, authority) >= 2)
        assert not sidecar.ready()
        authority.come_back()
        eventually(sidecar.ready)
    finally:
        sidecar.process.stop()


def test_saved_keys_make_a_pod_ready_while_its_issuer_is_down(
    provider: JwksAuthority, tmp_path: Path, socket_directory: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    patient = configuration(provider, start_timeout=300)
    patient["key_cache"] = {"directory": str(cache)}
    with SidecarProcess(patient, tmp_path, socket_directory) as sidecar:
        eventually(lambda: list(cache.glob("*.keys")))
        sidecar.process.stop()
        provider.go_down()
        sidecar.start()
        eventually(lambda: attempts(sidecar, provider) >= 1)


def test_new_configuration_with_an_issuer_that_is_down_is_taken_all_the_same(
    envoy_version: str,
    upstream: Upstream,
    provider: JwksAuthority,
    file: FileAuthority,
    tmp_path: Path,
) -> None:
    provider.go_down()
    with keys_pod(envoy_version, upstream, tmp_path, file) as pod, pod.traffic(file) as load:
        more = configuration(file, provider, start_timeout=START_TIMEOUT)
        began = monotonic()
        pod.sidecar.configure({**more, "limits": {"key_wait": "400ms"}})
        pod.sidecar.process.signal(SIGHUP)
        eventually(lambda: pod.sidecar.metric("sidecar_config_reloads_total", result="success"))
        assert monotonic() - began >= START_TIMEOUT
        load.wait_for(50)
        assert pod.ask(provider.token()).json()["reason"] == "keys_unavailable"
        provider.come_back()
        eventually(lambda: pod.status(provider.token()) == 200)
        assert ages(pod.sidecar) == {"file", "provider"}

        # The age of keys that are no longer wanted would grow for ever.
        pod.sidecar.configure(configuration(file, start_timeout=START_TIMEOUT))
        eventually(lambda: ages(pod.sidecar) == {"file"})


def ages(sidecar: SidecarProcess) -> set[str]:
    """The issuers of which the metrics say how old their keys are."""
    pages = sidecar.get("/metrics").body.decode()
    return set(re.findall(r'sidecar_keys_last_success_timestamp_seconds{issuer="(\w+)"}', pages))
