"""Keys at a URL and at an issuer: what serves, and that no answer whatever takes good keys away."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from gzip import compress
from pathlib import Path

import pytest

from sidecar.clients.http import HttpSettings
from sidecar.errors import SourceFault
from sidecar.keys.lookups import Outcome
from sidecar.keys.settings import JwksKeys, KeySettings, OidcKeys, SourceSettings
from sidecar.keys.sources import Fetched
from sidecar.keys.sources.jwks import JwksSource
from sidecar.keys.sources.oidc import OidcSource, locations
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import KeyQuestion
from tests.support import key_server as nonsense
from tests.support.key_server import (
    DISCOVERY,
    JWKS,
    KeyServer,
    Misbehaviour,
    answering,
    packed,
    redirecting,
)
from tests.support.observers import NullObserver
from tests.support.settings import key_settings
from tests.support.tokens import jwks, key_for, new_key
from tests.support.web_servers import packing_server

KEY = key_for("ES256")
NEXT = new_key("ES256", "next")
PACKED = compress(json.dumps(jwks(KEY)).encode())
OAUTH = "/.well-known/oauth-authorization-server"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeyServer]:
    with KeyServer(tmp_path) as running:
        running.publish(KEY)
        yield running


@dataclass
class Observer(NullObserver):
    """Remembers the problems, and lets a test wait for the next."""

    problems: list[str] = field(default_factory=list)
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    recalls: list[float] = field(default_factory=list)

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        del trust, serving
        self.problems.append(problem)
        self.failed.set()

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        del trust, keys
        self.recalls.append(fetched_at)


def http(server: KeyServer) -> HttpSettings:
    return HttpSettings(ca_file=server.ca_file, read_timeout=2.0)


def settings(source: SourceSettings) -> KeySettings:
    return key_settings("gateway", source, refresh=3600, cooldown=0.0, timeout=4.0)


def fetch(source: JwksSource | OidcSource) -> Fetched:
    async def once() -> Fetched:
        try:
            return await source.fetch()
        finally:
            await source.close()

    return asyncio.run(once())


def kids(fetched: Fetched) -> list[str | None]:
    return [key.kid for key in fetched.keys]


BAD_ANSWERS: dict[str, tuple[Misbehaviour, str]] = {
    "empty set": (nonsense.EMPTY_SET, "holds no usable public key"),
    "a page": (nonsense.HTML, "answered with a page for people (HTML) instead of JSON"),
    "endless": (nonsense.endless_body, "sent more than 262144 bytes"),
    "trickle": (nonsense.trickle, "gave no answer within 4 s"),
    "silence": (nonsense.silence, "sent nothing for 2 s"),
    "truncated": (nonsense.stop_in_the_middle, "sent an answer that ends too early"),
    "half a document": (answering(b'{"keys": ['), "it is not UTF-8 JSON"),
    "a list": (answering(b"[]"), "it is not a JSON object"),
    "another document": (answering(b'{"error": "busy"}'), 'it has no list "keys"'),
    "nothing": (answering(b"", status=204), "answered with status 204 instead of 200"),
    "deep nesting": (answering(b"[" * 100_000), "is nested more than 32 levels deep"),
    "a name twice": (answering(b'{"keys": [], "keys": []}'), "it holds a name twice"),
    "private keys": (
        answering(json.dumps({"keys": [KEY.jwk(d="AQAB")]}).encode()),
        "holds private or shared key material",
    ),
    "shared secrets": (
        answering(b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
        "holds private or shared key material",
    ),
    "too many keys": (
        answering(json.dumps({"keys": [{"kty": "EC"}] * 1001}).encode()),
        "holds 1001 keys; at most 1000 are read",
    ),
    "gzip bomb": (nonsense.GZIP_BOMB, "sent more than 262144 bytes"),
    "truncated gzip": (packed(PACKED[:-1]), "sent gzip data that ends too early"),
    "gzip and more": (packed(PACKED + b"{}"), "sent something after the end of its gzip data"),
    "gzip twice, said once": (packed(compress(PACKED)), "it is packed twice"),
    "gzip, said twice": (packed(compress(PACKED), "gzip, gzip"), "packed as 'gzip, gzip'"),
    "gzip that is not said": (answering(PACKED), "its Content-Encoding does not say gzip"),
    "no gzip": (packed(json.dumps(jwks(KEY)).encode()), "it is not, or damaged"),
    "deflate": (packed(PACKED, "deflate"), "packed as 'deflate', which was not asked for"),
    "out of order": (nonsense.OUT_OF_ORDER, "answered with status 500 instead of 200"),
    "closed": (nonsense.close_at_once, "closed the connection without an answer"),
    "crash": (nonsense.crash, "broke off the connection"),
    "another protocol": (nonsense.speak_something_else, "sent an answer that is not HTTP"),
    "to a file": (redirecting("file:///etc/passwd"), "redirects to a file: address"),
    "to http": (redirecting("http://localhost/keys.json"), "redirects to http://localhost"),
    "to link-local": (
        redirecting("https://169.254.169.254/latest/meta-data/"),
        "redirects to https://169.254.169.254/latest/meta-data/",
    ),
    "to another host": (redirecting("https://keys.example/"), "redirects to https://keys.example/"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_the_last_good_keys_serve_whatever_is_answered(server: KeyServer, name: str) -> None:
    misbehaviour, why = BAD_ANSWERS[name]

    async def story() -> None:
        observer = Observer()
        keeper = VerificationKeys([settings(JwksKeys(server.jwks_url, http(server)))], observer)
        keeper.start()
        await keeper.first_keys(5.0)
        good = keeper.snapshot
        server.misbehave(misbehaviour)
        keeper.lookup(KeyQuestion("gateway", "next"), 5.0, lambda _: None)
        async with asyncio.timeout(10.0):
            await observer.failed.wait()
        assert keeper.snapshot is good
        (status,) = keeper.statuses()
        assert status.last_error == observer.problems[0]

        server.behave()
        server.publish(KEY, NEXT)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        keeper.lookup(KeyQuestion("gateway", "next"), 5.0, answer.set_result)
        assert await answer is Outcome.FOUND
        await keeper.stop()
        assert server.jwks_url in observer.problems[0]
        assert why in observer.problems[0]

    asyncio.run(story())
    assert server.sent < 20_000_000, "what was sent is what fits the buffers of two sockets"


@dataclass
class Reports(NullObserver):
    """Remembers which trust entries were told of keys and of look-ups."""

    told: list[tuple[str, str]] = field(default_factory=list)

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        del keys, now
        self.told.append(("refreshed", trust))

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        del problem, serving
        self.told.append(("failed", trust))

    def looked_up(self, trust: str, result: str) -> None:
        self.told.append((result, trust))


def test_entries_with_the_same_keys_have_them_fetched_once(server: KeyServer) -> None:
    source = JwksKeys(server.jwks_url, http(server))
    entries = [replace(settings(source), trust=name) for name in ("v1", "v2")]

    async def story() -> None:
        observer = Reports()
        keeper = VerificationKeys(entries, observer)
        keeper.start()
        await keeper.first_keys(5.0)
        assert keeper.snapshot.sets["v1"] is keeper.snapshot.sets["v2"]
        assert [each.trust for each in keeper.statuses()] == ["v1", "v2"]
        assert observer.told == [("refreshed", "v1"), ("refreshed", "v2")]
        assert len(server.requests) == 1

        server.publish(KEY, NEXT)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        keeper.lookup(KeyQuestion("v2", "next"), 5.0, answer.set_result)
        assert await answer is Outcome.FOUND
        assert keeper.snapshot.sets["v1"].knows("next")
        assert observer.told[2:] == [("refreshed", "v1"), ("refreshed", "v2"), ("found", "v2")]
        assert len(server.requests) == 2

        after = VerificationKeys([*entries[1:], settings(source)], observer, before=keeper)
        assert after.snapshot.sets["v2"].knows("next")
        assert after.snapshot.sets["gateway"] is after.snapshot.sets["v2"]
        await keeper.stop()

    asyncio.run(story())


def test_entries_that_are_fetched_at_other_times_are_fetched_each(server: KeyServer) -> None:
    source = JwksKeys(server.jwks_url, http(server))
    one = settings(source)
    other = replace(one, trust="other", refresh=one.refresh / 2)

    async def story() -> None:
        keeper = VerificationKeys([one, other], Reports())
        keeper.start()
        await keeper.first_keys(5.0)
        await keeper.stop()

    asyncio.run(story())
    assert len(server.requests) == 2


@pytest.mark.parametrize("certificate", ["expired", "stranger", "elsewhere"])
def test_keys_of_a_server_that_cannot_prove_who_it_is_are_not_read(
    server: KeyServer, certificate: str
) -> None:
    server.show(certificate)
    with pytest.raises(SourceFault, match="shows a certificate that is not trusted"):
        fetch(JwksSource(JwksKeys(server.jwks_url, http(server))))


def test_a_key_set_and_a_discovery_document_may_come_packed(server: KeyServer) -> None:
    def pack(connection: nonsense.Connection) -> None:
        body = json.dumps(server.documents[connection.path]).encode()
        connection.answer(compress(body), headers={"Content-Encoding": "gzip"})

    server.misbehave(pack)
    for source in (
        JwksSource(JwksKeys(server.jwks_url, http(server))),
        OidcSource(OidcKeys(server.url, http(server))),
    ):
        assert kids(fetch(source)) == [KEY.kid]


@pytest.mark.usefixtures("web_servers_installed")
def test_a_key_set_of_a_web_server_that_packs_everything_is_read_and_confirmed() -> None:
    async def twice(url: str) -> tuple[Fetched, Fetched]:
        source = JwksSource(JwksKeys(url, HttpSettings(allow_http=True)))
        try:
            return await source.fetch(), await source.fetch()
        finally:
            await source.close()

    with packing_server({"keys.json": PACKED}) as (host, port):
        first, second = asyncio.run(twice(f"http://{host}:{port}/keys.json"))
    assert kids(first) == [KEY.kid]
    assert second.keys is first.keys


def test_the_media_type_does_not_matter_where_the_keys_are_good(server: KeyServer) -> None:
    server.misbehave(answering(json.dumps(jwks(KEY)).encode(), headers={"Content-Type": "x/y"}))
    assert kids(fetch(JwksSource(JwksKeys(server.jwks_url, http(server))))) == [KEY.kid]


@pytest.mark.parametrize(
    ("headers", "max_age"),
    [
        ({}, None),
        ({"Cache-Control": "public, max-age=600"}, 600.0),
        ({"Cache-Control": 'Max-Age="600"', "Age": "100"}, 500.0),
        ({"Cache-Control": "max-age=60", "Age": "100"}, 0.0),
        ({"Cache-Control": "max-age=60", "Age": "soon"}, 60.0),
        ({"Cache-Control": "max-age=600, no-cache"}, 0.0),
        ({"Cache-Control": "no-store"}, 0.0),
        ({"Cache-Control": "max-age=forever"}, None),
        ({"Cache-Control": "max-age=-5, private"}, None),
    ],
)
def test_the_server_says_how_long_its_answer_may_be_reused(
    server: KeyServer, headers: dict[str, str], max_age: float | None
) -> None:
    server.headers = headers
    assert fetch(JwksSource(JwksKeys(server.jwks_url, http(server)))).max_age == max_age


def test_a_document_that_has_not_changed_is_not_parsed_again(server: KeyServer) -> None:
    async def story() -> None:
        source = JwksSource(JwksKeys(server.jwks_url, http(server)))
        first, second = await source.fetch(), await source.fetch()
        server.publish(KEY, NEXT)
        third = await source.fetch()
        await source.close()
        assert first.keys is second.keys
        assert kids(third) == [KEY.kid, NEXT.kid]

    asyncio.run(story())


@pytest.mark.parametrize(("kind", "documents"), [("jwks", [JWKS]), ("oidc", [DISCOVERY, JWKS])])
def test_documents_that_have_not_changed_are_not_sent_again(
    server: KeyServer, kind: str, documents: list[str]
) -> None:
    async def story() -> None:
        source: JwksSource | OidcSource = (
            JwksSource(JwksKeys(server.jwks_url, http(server)))
            if kind == "jwks"
            else OidcSource(OidcKeys(server.url, http(server)))
        )
        first, sent = await source.fetch(), server.sent
        second = await source.fetch()
        assert server.confirmed == documents
        assert server.sent - sent < sent
        assert second.keys is first.keys

        server.publish(KEY, NEXT)
        assert kids(await source.fetch()) == [KEY.kid, NEXT.kid]
        await source.close()

    asyncio.run(story())


def test_a_document_that_is_still_the_same_is_a_fetch_that_succeeded(server: KeyServer) -> None:
    async def story() -> None:
        keeper = VerificationKeys([settings(JwksKeys(server.jwks_url, http(server)))], Observer())
        keeper.start()
        await keeper.first_keys(5.0)
        (before,) = keeper.statuses()
        keeper.fetch_now()
        async with asyncio.timeout(10.0):
            while keeper.statuses()[0].last_success == before.last_success:  # noqa: ASYNC110 - the observer of other tests tells of failures alone
                await asyncio.sleep(0.01)
        assert server.confirmed == [JWKS]
        await keeper.stop()

    asyncio.run(story())


def test_an_issuer_says_where_its_keys_are(server: KeyServer) -> None:
    source = OidcSource(OidcKeys(server.url, http(server)))
    assert kids(fetch(source)) == [KEY.kid]
    assert [path for path, _ in server.requests] == [DISCOVERY, JWKS]
    assert str(source) == f"oidc {server.url}"


def test_an_issuer_may_move_its_keys(server: KeyServer) -> None:
    async def story() -> None:
        source = OidcSource(OidcKeys(server.url, http(server)))
        await source.fetch()
        server.documents["/moved"] = jwks(NEXT)
        server.documents[DISCOVERY] = {"issuer": server.url, "jwks_uri": f"{server.url}/moved"}
        assert kids(await source.fetch()) == [NEXT.kid]
        await source.close()

    asyncio.run(story())


def test_an_oauth_server_need_not_speak_openid(server: KeyServer) -> None:
    issuer = f"{server.url}/realms/shop"
    server.documents[f"{OAUTH}/realms/shop"] = {"issuer": issuer, "jwks_uri": server.jwks_url}
    assert kids(fetch(OidcSource(OidcKeys(issuer, http(server))))) == [KEY.kid]


@pytest.mark.parametrize("end", ["", "/"])
def test_both_documents_are_where_their_specifications_say(end: str) -> None:
    assert locations(f"https://idp.example:8443/realms/shop{end}") == (
        "https://idp.example:8443/realms/shop/.well-known/openid-configuration",
        "https://idp.example:8443/.well-known/oauth-authorization-server/realms/shop",
    )
    assert locations(f"https://idp.example{end}") == (
        "https://idp.example/.well-known/openid-configuration",
        "https://idp.example/.well-known/oauth-authorization-server",
    )


def test_an_issuer_without_a_document_is_told_with_both_addresses(server: KeyServer) -> None:
    del server.documents[DISCOVERY]
    with pytest.raises(SourceFault) as fault:
        fetch(OidcSource(OidcKeys(server.url, http(server))))
    assert str(fault.value) == (
        f"there is no discovery document: {server.url}{DISCOVERY} answered with status 404, "
        f"{server.url}{OAUTH} with 404"
    )


def test_an_issuer_that_is_out_of_order_is_not_asked_elsewhere(server: KeyServer) -> None:
    server.misbehave(nonsense.OUT_OF_ORDER)
    with pytest.raises(SourceFault, match="answered with status 500 instead of 200"):
        fetch(OidcSource(OidcKeys(server.url, http(server))))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "https://other.example"}, "is the document of another issuer: it says "),
        ({"issuer": None}, "is the document of another issuer: it says 'None'"),
        ({"jwks_uri": None}, 'has no "jwks_uri"'),
        ({"jwks_uri": f"https://{'é.' * 20_000}x/"}, '"jwks_uri" of more than 2048 characters'),
        ({"jwks_uri": "file:///etc/passwd"}, 'names in "jwks_uri" a file: address'),
        ({"jwks_uri": "http://169.254.169.254/"}, 'names in "jwks_uri" http://169.254.169.254/'),
        ({"jwks_uri": "/keys.json"}, 'names in "jwks_uri" an address without a host'),
        ({"jwks_uri": "https://localhost:1/keys"}, "https://localhost:1/keys cannot be reached"),
    ],
)
def test_a_document_that_cannot_be_right_is_refused(
    server: KeyServer, changes: dict[str, str | None], why: str
) -> None:
    server.documents[DISCOVERY] |= changes
    with pytest.raises(SourceFault) as fault:
        fetch(OidcSource(OidcKeys(server.url, http(server))))
    assert why in str(fault.value)


def test_a_slash_makes_another_issuer(server: KeyServer) -> None:
    with pytest.raises(SourceFault, match="equal character by character"):
        fetch(OidcSource(OidcKeys(f"{server.url}/", http(server))))


def test_a_discovery_page_that_is_not_json_is_told(server: KeyServer) -> None:
    server.misbehave(answering(b"not JSON"))
    with pytest.raises(SourceFault, match="is not a discovery document: it is not UTF-8 JSON"):
        fetch(OidcSource(OidcKeys(server.url, http(server))))


def test_secrets_go_to_the_issuer_alone(server: KeyServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush")
    elsewhere = server.url.replace("localhost", "127.0.0.1")
    server.documents[DISCOVERY]["jwks_uri"] = elsewhere + JWKS
    reached = HttpSettings(ca_file=server.ca_file, headers=(("x-api-key", secret),))
    assert kids(fetch(OidcSource(OidcKeys(server.url, reached)))) == [KEY.kid]
    assert [headers.get("x-api-key") for _, headers in server.requests] == ["hush", None]


def test_saved_keys_serve_after_a_restart_while_the_server_is_down(
    server: KeyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    entry = settings(JwksKeys(server.jwks_url, http(server)))

    async def saved() -> None:
        async with asyncio.timeout(10.0):
            while not list(cache.glob("*.keys")):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.01)

    async def run() -> tuple[VerificationKeys, Observer]:
        observer = Observer()
        keeper = VerificationKeys([entry], observer, cache=cache)
        keeper.start()
        await keeper.first_keys(5.0)
        await saved()
        await keeper.stop()
        return keeper, observer

    caplog.set_level(logging.WARNING)
    before, _ = asyncio.run(run())
    server.misbehave(nonsense.OUT_OF_ORDER)
    after, observer = asyncio.run(run())

    assert after.snapshot.sets["gateway"] == before.snapshot.sets["gateway"]
    (status,) = after.statuses()
    assert status.recalled
    assert observer.recalls == [status.last_success]
    assert caplog.records == []


def test_keys_serve_on_through_a_reload_while_the_server_is_down(server: KeyServer) -> None:
    entry = settings(JwksKeys(server.jwks_url, http(server)))
    moved = settings(JwksKeys(f"{server.url}/moved", http(server)))

    async def story() -> None:
        before = VerificationKeys([entry], Observer())
        before.start()
        await before.first_keys(5.0)
        server.misbehave(nonsense.OUT_OF_ORDER)
        same = VerificationKeys([entry], Observer(), before=before)
        other = VerificationKeys([moved], Observer(), before=before)
        for keeper in (same, other):
            keeper.start()
            await keeper.first_keys(0.2)
        assert same.snapshot.sets == before.snapshot.sets
        assert other.snapshot.sets == {}
        for keeper in (before, same, other):
            await keeper.stop()

    asyncio.run(story())
