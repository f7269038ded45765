"""A key that was stolen is taken out: how soon sidecars let go of it, wherever they find keys.

Nobody has to send anything for it: what a sidecar still accepts is seen on its status page, so that
no request of the test's makes it fetch.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGHUP

import pytest

from tests.e2e.keys_authorities import SOURCES, Authority, FileAuthority
from tests.e2e.keys_pod import WITHIN_ONE_REFRESH, KeysPod, Note, keys_pod
from tests.e2e.shop import ROUTES
from tests.support.processes import eventually
from tests.support.tokens import SigningKey
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def pod(
    envoy_version: str,
    upstream: Upstream,
    authorities: dict[str, Authority],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KeysPod]:
    directory = tmp_path_factory.mktemp("pod")
    with keys_pod(envoy_version, upstream, directory, *authorities.values()) as running:
        yield running


def steal(pod: KeysPod, authority: Authority) -> tuple[SigningKey, list[str]]:
    """The key of an issuer and what is forged with it, of which a part has been accepted.

    The issuer itself signs with another key from now on, which the sidecar knows.
    """
    stolen, roles = authority.signer, {"roles": ["admin"]}
    forged = [authority.token(lifetime=3600 + number, realm_access=roles) for number in range(2)]
    assert pod.status(forged[0]) == 200
    authority.signer = authority.add()
    eventually(lambda: pod.status(authority.token()) == 200)
    return stolen, forged


def let_go(pod: KeysPod, authority: Authority, key: SigningKey) -> bool:
    return key.kid not in pod.issuer(authority.name)["kids"]


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("source", SOURCES)
def test_stolen_key_is_of_no_use_after_one_refresh(
    pod: KeysPod,
    authorities: dict[str, Authority],
    source: str,
    busy: bool,
    record_property: Note,
) -> None:
    authority = authorities[source]
    stolen, forged = steal(pod, authority)
    with ExitStack() as traffic:
        if busy:
            traffic.enter_context(pod.traffic(authority))
        authority.remove(stolen)
        began = time.monotonic()
        eventually(lambda: let_go(pod, authority, stolen), within=WITHIN_ONE_REFRESH)
        record_property(source, f"let go of after {time.monotonic() - began:.2f} s")
        assert [pod.status(token) for token in forged] == [401, 401]


def test_sighup_has_every_source_asked_at_once_even_if_the_configuration_is_broken(
    envoy_version: str, upstream: Upstream, authorities: dict[str, Authority], tmp_path: Path
) -> None:
    every = authorities.values()
    trust = [authority.slow_trust() for authority in every]
    with keys_pod(envoy_version, upstream, tmp_path, *every, trust=trust) as pod:
        revoke_with_sighup(pod, every)
        assert reloads(pod, "success") == 1

        pod.sidecar.configure({"trust": trust, "routes": "none"})
        eventually(lambda: reloads(pod, "failure") > 0)
        revoke_with_sighup(pod, every)
        assert reloads(pod, "success") == 1


def revoke_with_sighup(pod: KeysPod, authorities: Collection[Authority]) -> None:
    """Have a key of each issuer taken out, and see that SIGHUP makes the sidecar notice."""
    stolen = [(authority, *steal(pod, authority)) for authority in authorities]
    for authority, key, _ in stolen:
        authority.remove(key)
        assert not let_go(pod, authority, key)
    pod.sidecar.process.signal(SIGHUP)
    eventually(lambda: all(let_go(pod, authority, key) for authority, key, _ in stolen))
    for _, _, forged in stolen:
        assert [pod.status(token) for token in forged] == [401, 401]


def test_sighup_has_the_keys_in_use_fetched_while_a_reload_waits_for_others(
    envoy_version: str, upstream: Upstream, tmp_path: Path
) -> None:
    authority = FileAuthority("file", tmp_path)
    authority.open()
    with keys_pod(
        envoy_version, upstream, tmp_path, authority, trust=[authority.slow_trust()]
    ) as pod:
        stolen, forged = steal(pod, authority)
        # It is not taken before the keys of the other issuer are there, or the test is over.
        away = {**authority.slow_trust(), "name": "away", "issuer": "https://away.example"}
        away["keys"] = {"file": {"path": "not-there-yet.json"}}
        pod.sidecar.configure(
            {"trust": [authority.slow_trust(), away], "routes": ROUTES, "start_timeout": "5m"}
        )
        eventually(lambda: pod.failures("away") > 0)

        authority.remove(stolen)
        assert not let_go(pod, authority, stolen)
        pod.sidecar.process.signal(SIGHUP)
        eventually(lambda: let_go(pod, authority, stolen))
        assert [pod.status(token) for token in forged] == [401, 401]
        assert reloads(pod, "success") == 0


def test_sighup_counts_for_the_configuration_that_is_about_to_be_used_as_well(
    envoy_version: str, upstream: Upstream, tmp_path: Path
) -> None:
    authority = FileAuthority("file", tmp_path)
    authority.open()
    trust = [authority.slow_trust()]
    with keys_pod(envoy_version, upstream, tmp_path, authority, trust=trust) as pod:
        stolen, forged = steal(pod, authority)
        away = {**authority.slow_trust(), "name": "away", "issuer": "https://away.example"}
        away["keys"] = {"file": {"path": "never-there.json"}}
        pod.sidecar.configure({"trust": [*trust, away], "routes": ROUTES, "start_timeout": "5s"})
        # It has fetched what it can, and waits for the rest.
        eventually(lambda: pod.failures("away") > 0)
        authority.remove(stolen)
        pod.sidecar.process.signal(SIGHUP)

        eventually(lambda: "away" in pod.status_page()["issuers"], within=15)
        assert let_go(pod, authority, stolen)
        assert [pod.status(token) for token in forged] == [401, 401]


def reloads(pod: KeysPod, result: str) -> float:
    return pod.sidecar.metric("sidecar_config_reloads_total", result=result)
