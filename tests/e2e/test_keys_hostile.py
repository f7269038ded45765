"""While a key server answers its worst, tokens of another issuer go on being accepted."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import quantiles
from time import monotonic

import pytest

from sidecar.clients.http import ANSWER_BYTES
from tests.e2e.keys_authorities import FileAuthority, JwksAuthority
from tests.e2e.keys_pod import KeysPod, Note, Pace, keys_pod
from tests.support.flood import Flood, unknown_keys
from tests.support.hard_documents import hard_documents
from tests.support.http1 import Connection
from tests.support.key_server import Connection as KeyConnection
from tests.support.key_server import KeyServer, Misbehaviour
from tests.support.upstream import Upstream

# Whitespace behind a document: it is another one each time, and is read anew.
ROOM = 100
HARD = hard_documents(ANSWER_BYTES - ROOM)
# Each makes the sidecar fetch again, as often as the shortest cooldown allows.
UNKNOWN_KEYS, PER_SECOND = 15, 15
REQUESTS_PER_SECOND = 100


@pytest.fixture(scope="module")
def partner(key_server: KeyServer) -> JwksAuthority:
    authority = JwksAuthority("partner", key_server)
    authority.open()
    return authority


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> FileAuthority:
    authority = FileAuthority("neighbour", tmp_path_factory.mktemp("neighbour"))
    authority.open()
    return authority


@pytest.fixture(scope="module")
def pod(
    envoy_version: str,
    upstream: Upstream,
    partner: JwksAuthority,
    neighbour: FileAuthority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KeysPod]:
    directory = tmp_path_factory.mktemp("pod")
    with keys_pod(envoy_version, upstream, directory, partner, neighbour) as running:
        yield running


def answering_anew(document: bytes) -> Misbehaviour:
    """Answers the document, each time with one space more behind it."""
    numbers = count()

    def answer(connection: KeyConnection) -> None:
        connection.answer(document + b" " * (next(numbers) % ROOM))

    return answer


@pytest.mark.parametrize("name", HARD)
def test_a_key_server_that_answers_its_worst_costs_others_nothing(  # noqa: PLR0917 - fixtures
    pod: KeysPod,
    key_server: KeyServer,
    partner: JwksAuthority,
    neighbour: FileAuthority,
    tmp_path: Path,
    record_property: Note,
    name: str,
) -> None:
    fetched, statuses, latencies = partner.fetches, list[int](), list[float]()
    pace = Pace(REQUESTS_PER_SECOND)
    key_server.misbehave(answering_anew(HARD[name]))
    unknown = unknown_keys(partner.token(), UNKNOWN_KEYS)

    with (
        Flood(pod.sidecar.socket, unknown, tmp_path, per_second=PER_SECOND) as flood,
        Connection(pod.pod.envoy.address) as others,
    ):
        while not flood.over:
            pace.wait()
            headers = [("authorization", f"Bearer {neighbour.token()}")]
            began = monotonic()
            statuses.append(others.request(target="/orders/1", headers=headers).status)
            latencies.append(monotonic() - began)

    p99 = quantiles(latencies, n=100)[98] * 1000
    fetches = partner.fetches - fetched
    record_property(
        name, f"p99 of others {p99:.0f} ms, {len(statuses)} requests, {fetches} fetches"
    )
    assert set(statuses) == {200}
    assert fetches > 1
