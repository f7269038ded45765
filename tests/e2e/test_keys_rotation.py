"""A new key comes and the old one goes, under load, wherever keys are found: nobody notices."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.keys_authorities import SOURCES, Authority
from tests.e2e.keys_pod import WITHIN_ONE_REFRESH, KeysPod, Note, keys_pod
from tests.support.flood import Flood, unknown_keys
from tests.support.processes import eventually
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


@pytest.mark.parametrize("source", SOURCES)
def test_rotation_is_not_noticed_and_the_removed_key_is_of_no_more_use(
    pod: KeysPod,
    authorities: dict[str, Authority],
    source: str,
    record_property: Note,
) -> None:
    authority = authorities[source]
    old = authority.signer
    remembered, unseen = authority.token(lifetime=3600), authority.token(lifetime=3601)

    with pod.traffic(authority, record_property) as load:
        assert pod.status(remembered) == 200
        pod.rotate(authority)
        load.wait_for(300)
        assert pod.status(remembered) == 200

        authority.remove(old)
        eventually(lambda: pod.status(remembered) == 401, within=WITHIN_ONE_REFRESH)
        assert pod.status(unseen) == 401
        load.wait_for(300)


@pytest.mark.parametrize("source", SOURCES)
def test_key_that_nobody_announced_is_found_by_the_first_who_brings_it(
    pod: KeysPod, authorities: dict[str, Authority], source: str, record_property: Note
) -> None:
    authority = authorities[source]
    old = authority.signer

    with pod.requests(authority, record_property) as load:
        authority.signer = authority.add()
        load.wait_for(100)
        authority.remove(old)
        load.wait_for(100)

    # A fetch that takes longer than a check may wait is told as such: 503, never 401.
    assert {failure.what for failure in load.failures} <= {"503"}
    assert pod.status(authority.token()) == 200


def test_rotation_succeeds_in_the_middle_of_a_flood_of_random_kids(
    pod: KeysPod, authorities: dict[str, Authority], tmp_path: Path, record_property: Note
) -> None:
    authority = authorities["jwks"]
    old = authority.signer
    remembered = authority.token(lifetime=3600)
    assert pod.status(remembered) == 200
    flood = unknown_keys(authority.token(), 1500)

    with (
        Flood(pod.sidecar.socket, flood, tmp_path, per_second=500),
        pod.requests(authority, record_property) as load,
    ):
        authority.signer = authority.add()
        eventually(lambda: pod.status(authority.token()) == 200)
        load.wait_for(100)
        authority.remove(old)
        eventually(lambda: pod.status(remembered) == 401, within=WITHIN_ONE_REFRESH)
        load.wait_for(100)

    # Who comes with the new key while all places to wait are taken is asked to come again.
    assert {failure.what for failure in load.failures} <= {"503"}
