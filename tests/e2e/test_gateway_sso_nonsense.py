"""An SSO that answers nonsense or too late, and floods of sessions that it would be asked about."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_urlsafe
from threading import Lock

import pytest

from tests.e2e.gateway import (
    SLACK,
    Edge,
    bearer,
    legacy,
    refused_for_now,
    running_edge_alone,
    session,
    sso,
)
from tests.e2e.gateway_shop import (
    LEGACY_LOOKUPS,
    LEGACY_TIMEOUT,
    ORDERS,
    Issuer,
    gateway_configuration,
    partner_token,
)
from tests.support import key_server
from tests.support.http1 import Field
from tests.support.key_server import Connection, KeyServer, Misbehaviour, answering
from tests.support.load import Load
from tests.support.openid_provider import OpenIdProvider
from tests.support.processes import eventually
from tests.support.upstream import Upstream

INTROSPECTION = "/introspect"
ALIVE = {"active": True, "sub": "carol"}

Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    """An older SSO, played by a server that says whatever it is told to."""
    with KeyServer(tmp_path_factory.mktemp("older")) as running:
        running.documents[INTROSPECTION] = ALIVE
        yield running


@pytest.fixture(scope="module")
def edge(
    envoy_version: str,
    openid_provider: OpenIdProvider,
    older: KeyServer,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """The edge whose gateway asks this SSO, and another one that has no faults."""
    directory = tmp_path_factory.mktemp("gateway")
    issuer = Issuer(older.url + INTROSPECTION, older.ca_file)
    configuration = gateway_configuration(directory, openid_provider, older=issuer)
    with running_edge_alone(envoy_version, directory, configuration, upstream) as running:
        yield running


@pytest.fixture
def broken(edge: Edge, older: KeyServer) -> Iterator[KeyServer]:
    """The older SSO, which answers before the test, and again after it."""
    assert edge.status(legacy(token_urlsafe())) == 200
    try:
        yield older
    finally:
        older.behave()
        eventually(lambda: edge.status(legacy(token_urlsafe())) == 200)


def json_answer(text: str) -> Misbehaviour:
    return answering(text.encode())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(json_answer("{}"), id="no word about active"),
        pytest.param(json_answer('{"active": "true", "sub": "carol"}'), id="active as text"),
        pytest.param(json_answer('{"active": 1, "sub": "carol"}'), id="active as a number"),
        pytest.param(json_answer('[{"active": true, "sub": "carol"}]'), id="a list"),
        pytest.param(
            json_answer('{"active": false, "active": true, "sub": "carol"}'), id="yes and no"
        ),
        pytest.param(json_answer('{"active": true, "sub": "carol", "exp": NaN}'), id="NaN"),
        pytest.param(json_answer('{"active": true, "sub": "car'), id="half an answer"),
        pytest.param(answering(b'{"active": true, "sub": "carol"}', status=201), id="201"),
        pytest.param(answering(b'{"active": true, "sub": "carol"}', status=401), id="401"),
        pytest.param(key_server.HTML, id="HTML"),
        pytest.param(key_server.OUT_OF_ORDER, id="500"),
        pytest.param(key_server.redirecting("https://elsewhere.example/"), id="a redirect"),
        pytest.param(key_server.GZIP_BOMB, id="10 MB, packed"),
        pytest.param(key_server.endless_body, id="an answer without end"),
        pytest.param(key_server.endless_headers, id="headers without end"),
        pytest.param(key_server.trickle, id="a trickle"),
        pytest.param(key_server.silence, id="silence"),
        pytest.param(key_server.stop_in_the_middle, id="an answer that stops"),
        pytest.param(key_server.close_at_once, id="no answer"),
        pytest.param(key_server.crash, id="a crash"),
        pytest.param(key_server.speak_something_else, id="another protocol"),
    ],
)
def test_what_is_no_plain_answer_is_no_yes(
    edge: Edge, broken: KeyServer, answer: Misbehaviour
) -> None:
    broken.misbehave(answer)

    refused_for_now(edge.request(legacy(token_urlsafe())), within=LEGACY_TIMEOUT + SLACK)


def test_a_session_of_nobody_is_no_good(edge: Edge, broken: KeyServer) -> None:
    broken.misbehave(json_answer('{"active": true}'))

    passage = edge.request(legacy(token_urlsafe()))

    assert passage.response.status == 401
    assert passage.reason == "invalid_claim"
    assert not passage.reached_the_service


@pytest.mark.parametrize("certificate", ["expired", "elsewhere", "stranger"])
def test_a_server_that_cannot_prove_itself_is_not_believed(
    edge: Edge, broken: KeyServer, certificate: str
) -> None:
    broken.show(certificate)
    try:
        refused_for_now(edge.request(legacy(token_urlsafe())), within=LEGACY_TIMEOUT + SLACK)
    finally:
        broken.show("good")


# Floods.


class Crowd:
    """An issuer that takes its time to say no, and counts how many wait for it at once."""

    def __init__(self) -> None:
        self.most = 0
        self._waiting = 0
        self._lock = Lock()

    def __call__(self, connection: Connection) -> None:
        with self._lock:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
        connection.stays_open()
        with self._lock:
            self._waiting -= 1
        connection.answer(b'{"active": false}')


@contextmanager
def flood(edge: Edge) -> Iterator[Load]:
    """Clients that come with another session each time, none of which was ever given out."""

    def headers() -> list[Field]:
        time.sleep(0.01)
        return [("host", ORDERS), legacy(token_urlsafe())]

    with Load(edge.envoy.address, "/orders/1", headers, clients=16, tls=edge.tls) as load:
        yield load
    assert len(load.failures) == load.answered


def slowest_of_others(edge: Edge, *credentials: Field) -> float:
    """How long any of some good requests takes, in seconds."""
    answers = [edge.request(each) for _ in range(10) for each in credentials]
    assert {passage.response.status for passage in answers} == {200}
    return max(passage.seconds for passage in answers)


def test_a_flood_of_made_up_sessions_costs_nobody_else_any_time(
    edge: Edge, broken: KeyServer, alice: str, record_property: Note
) -> None:
    credentials = (bearer(partner_token()), session(edge.begin_session(sso(alice))), sso(alice))
    crowd = Crowd()
    broken.misbehave(crowd)

    with flood(edge) as load:
        load.wait_for(100)
        slowest = slowest_of_others(edge, *credentials)

    assert slowest < SLACK
    assert crowd.most <= LEGACY_LOOKUPS
    assert {failure.what for failure in load.failures} <= {"401", "503"}
    record_property("others during a flood", f"at most {slowest * 1000:.0f} ms")


def test_a_flood_costs_an_issuer_that_is_silent_next_to_nothing(
    edge: Edge, broken: KeyServer, record_property: Note
) -> None:
    broken.misbehave(key_server.silence)
    before, began = len(broken.requests), time.monotonic()

    with flood(edge) as load:
        load.wait_for(300)
        slowest = slowest_of_others(edge, bearer(partner_token()))
    took = time.monotonic() - began

    assert slowest < SLACK
    # The first ones at once; from then on one at a time, and none before the last has ended.
    questions = len(broken.requests) - before
    assert questions <= LEGACY_LOOKUPS + 1 + took / LEGACY_TIMEOUT
    assert {failure.what for failure in load.failures} == {"503"}
    record_property("flood", f"{load.answered} requests in {took:.1f} s, {questions} questions")
