"""The hardened client against a real server: what is sent, what is followed, what is refused."""

import asyncio
import json
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from gzip import compress
from pathlib import Path

import pytest

from sidecar.clients.http import HttpClient, HttpSettings, Response, redacted_url
from sidecar.errors import SourceFault
from tests.support import key_server as misbehaviour
from tests.support.key_server import JWKS, Connection, KeyServer, answering, packed, redirecting
from tests.support.rings import until
from tests.support.tokens import key_for, new_key


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeyServer]:
    with KeyServer(tmp_path) as running:
        running.publish(key_for("ES256"))
        yield running


@pytest.fixture
def settings(server: KeyServer) -> HttpSettings:
    return HttpSettings(ca_file=server.ca_file)


def get(settings: HttpSettings, url: str, *, follow: bool = False) -> Response:
    async def request() -> Response:
        client = HttpClient(settings)
        try:
            return await client.get(url, follow=follow)
        finally:
            await client.close()

    return asyncio.run(request())


def refused(settings: HttpSettings, url: str, *, follow: bool = False) -> str:
    with pytest.raises(SourceFault) as fault:
        get(settings, url, follow=follow)
    return str(fault.value)


def test_an_answer_comes_whole(server: KeyServer, settings: HttpSettings) -> None:
    server.headers = {"Cache-Control": "max-age=60"}
    answer = get(settings, server.jwks_url)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "max-age=60"
    assert json.loads(answer.body) == server.documents[JWKS]


def test_a_request_says_no_more_than_it_must(server: KeyServer, settings: HttpSettings) -> None:
    get(settings, server.jwks_url)
    ((path, headers),) = server.requests
    assert path == JWKS
    assert headers.keys() == {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert (headers["accept-encoding"], headers["user-agent"]) == ("identity", "authz-sidecar")


def test_cookies_are_forgotten(server: KeyServer, settings: HttpSettings) -> None:
    server.headers = {"Set-Cookie": "session=1; Path=/"}

    async def twice() -> None:
        client = HttpClient(settings)
        await client.get(server.jwks_url)
        await client.get(server.jwks_url)
        await client.close()

    asyncio.run(twice())
    assert "cookie" not in server.requests[1][1]


def test_the_proxies_of_the_surroundings_play_no_part(
    server: KeyServer, settings: HttpSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert get(settings, server.jwks_url).status == 200


def test_secret_headers_are_read_anew_for_each_request(
    server: KeyServer, settings: HttpSettings, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"

    async def before_and_after() -> None:
        client = HttpClient(
            HttpSettings(ca_file=settings.ca_file, headers=(("x-api-key", secret),))
        )
        for value in ("before\n", "after\n"):
            secret.write_text(value)
            await client.get(server.jwks_url)
        await client.close()

    asyncio.run(before_and_after())
    assert [headers["x-api-key"] for _, headers in server.requests] == ["before", "after"]


@pytest.mark.parametrize("content", ["", "two\nlines", "caf\xe9"])
def test_a_file_that_is_no_header_value_is_named_and_not_shown(
    server: KeyServer, tmp_path: Path, content: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(content)
    settings = HttpSettings(ca_file=server.ca_file, headers=(("x-api-key", secret),))
    expected = f"{secret} does not hold the one line that the header x-api-key needs"
    assert refused(settings, server.jwks_url) == expected
    assert server.requests == []


def test_documents_and_forms_are_sent(server: KeyServer, settings: HttpSettings) -> None:
    async def both() -> None:
        client = HttpClient(settings)
        await client.send("POST", server.jwks_url, json={"role": "orders"})
        await client.send("POST", server.jwks_url, form={"role": "orders"})
        await client.close()

    asyncio.run(both())
    assert [headers["content-type"] for _, headers in server.requests] == [
        "application/json",
        "application/x-www-form-urlencoded",
    ]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://keys.example/a", "http://keys.example/a is not https, and allow_http is not set"),
        ("file:///etc/passwd", "a file: address is not an https URL"),
        ("https://", "a https: address is not an https URL"),
        ("https://[", "a https: address is not a URL"),
        ("keys.json", "an address without a host is not an https URL"),
    ],
)
def test_only_https_is_spoken(url: str, why: str) -> None:
    assert refused(HttpSettings(), url) == why


def test_http_is_spoken_where_that_is_allowed(tmp_path: Path) -> None:
    with KeyServer(tmp_path, tls=False) as server:
        server.publish(key_for("ES256"))
        assert get(HttpSettings(allow_http=True), server.jwks_url).status == 200


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        ("expired", "certificate has expired"),
        ("stranger", "unable to get local issuer certificate"),
        ("elsewhere", "Hostname mismatch, certificate is not valid for 'localhost'."),
    ],
)
def test_a_server_that_cannot_prove_who_it_is_gets_no_request(
    server: KeyServer, settings: HttpSettings, certificate: str, why: str
) -> None:
    server.show(certificate)
    expected = f"{server.jwks_url} shows a certificate that is not trusted: {why}"
    assert refused(settings, server.jwks_url) == expected
    assert server.requests == []


def test_the_system_does_not_vouch_for_our_server(server: KeyServer) -> None:
    assert "certificate that is not trusted" in refused(HttpSettings(), server.jwks_url)


def test_a_renewed_ca_file_is_used_without_a_restart(
    server: KeyServer, settings: HttpSettings, tmp_path: Path
) -> None:
    async def before_and_after() -> None:
        ca_file = tmp_path / "trusted.crt"
        ca_file.write_bytes((tmp_path / "stranger" / "ca.crt").read_bytes())
        client = HttpClient(HttpSettings(ca_file=ca_file))
        with pytest.raises(SourceFault, match="not trusted"):
            await client.get(server.jwks_url)
        ca_file.unlink()
        ca_file.write_bytes(server.ca_file.read_bytes() + b"\n")
        assert (await client.get(server.jwks_url)).status == 200
        await client.close()

    del settings
    asyncio.run(before_and_after())


def test_redirects_are_followed_to_the_same_server_alone(
    server: KeyServer, settings: HttpSettings
) -> None:
    def moved(connection: misbehaviour.Connection) -> None:
        if connection.path == JWKS:
            connection.answer(b"[]")
        else:
            connection.answer(b"", status=308, headers={"Location": JWKS})

    server.misbehave(moved)
    assert get(settings, f"{server.url}/old", follow=True).body == b"[]"
    expected = f"{server.url}/old redirects to {server.jwks_url}, which is not followed"
    assert refused(settings, f"{server.url}/old") == expected


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("file:///etc/passwd", "a file: address"),
        ("http://localhost/keys.json", "http://localhost/keys.json"),
        ("https://169.254.169.254/latest/", "https://169.254.169.254/latest/"),
        ("https://u:p@keys.example/?token=1", "https://keys.example/"),
        ("//keys.example/keys.json", "https://keys.example/keys.json"),
        ("https://localhost:1/keys.json", "https://localhost:1/keys.json"),
        ("https://xn--a/keys.json", "https://xn--a/keys.json"),  # a name that cannot be decoded
    ],
)
def test_a_redirect_leads_nowhere_else(
    server: KeyServer, settings: HttpSettings, location: str, shown: str
) -> None:
    server.misbehave(redirecting(location))
    assert refused(settings, server.jwks_url, follow=True) == (
        f"{server.jwks_url} redirects to {shown}; "
        "redirects are followed to the same scheme, host and port alone"
    )


def test_a_redirect_to_a_very_long_address_is_not_read(
    server: KeyServer, settings: HttpSettings
) -> None:
    server.misbehave(redirecting(f"https://{'a.' * 2000}x/"))
    expected = f"{server.jwks_url} redirects to an address of more than 2048 characters"
    assert refused(settings, server.jwks_url, follow=True) == expected


def test_redirects_in_a_circle_end(server: KeyServer, settings: HttpSettings) -> None:
    server.misbehave(redirecting(JWKS))
    expected = f"{server.jwks_url} redirects more than 3 times"
    assert refused(settings, server.jwks_url, follow=True) == expected
    assert len(server.requests) == 4


def test_what_is_sent_is_never_sent_again_elsewhere(
    server: KeyServer, settings: HttpSettings
) -> None:
    async def post() -> None:
        client = HttpClient(settings)
        with pytest.raises(SourceFault, match="which is not followed"):
            await client.send("POST", server.jwks_url, json={})
        await client.close()

    server.misbehave(redirecting("/elsewhere"))
    asyncio.run(post())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (
            misbehaviour.endless_body,
            "sent more than 262144 bytes; if its answer has to be that long, raise answer_bytes",
        ),
        (
            misbehaviour.GZIP_BOMB,
            "sent more than 262144 bytes; if its answer has to be that long, raise answer_bytes",
        ),
        (
            misbehaviour.packed(b"{}", "br"),
            "sent its answer packed as 'br', which was not asked for; only gzip, once, is unpacked",
        ),
        (misbehaviour.endless_headers, "sent an answer that is not HTTP"),
        (misbehaviour.speak_something_else, "sent an answer that is not HTTP"),
        (misbehaviour.silence, "sent nothing for 1 s"),
        (misbehaviour.stop_in_the_middle, "sent an answer that ends too early"),
        (misbehaviour.close_at_once, "closed the connection without an answer"),
        (misbehaviour.crash, "broke off the connection: Connection reset by peer"),
    ],
)
def test_what_is_no_answer_is_told_by_its_cause(
    server: KeyServer, how: misbehaviour.Misbehaviour, why: str
) -> None:
    server.misbehave(how)
    settings = HttpSettings(ca_file=server.ca_file, read_timeout=1.0)
    assert refused(settings, server.jwks_url) == f"{server.jwks_url} {why}"
    assert server.sent < 20_000_000, "what was sent is what fits the buffers of two sockets"


def test_a_server_that_is_not_there_is_named_without_what_may_be_secret(tmp_path: Path) -> None:
    with KeyServer(tmp_path) as server:
        url = server.jwks_url.replace("https://", "https://user:password@") + "?token=secret"
    assert refused(HttpSettings(), url) == (
        f"{server.jwks_url} cannot be reached: Connection refused"
    )


def test_a_name_that_nobody_has_is_told() -> None:
    why = refused(HttpSettings(), "https://keys.invalid/")
    assert why.startswith("https://keys.invalid/ has a host name that cannot be resolved (")


def test_a_name_server_that_is_silent_holds_one_thread_and_not_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    over = threading.Event()

    def silent(host: object, *_: object, **__: object) -> list[object]:
        asked.append(host)
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    async def story() -> list[object]:
        client = HttpClient(HttpSettings(allow_http=True, connections=64))
        requests = [client.get("http://keys.invalid/") for _ in range(64)]
        answers = asyncio.ensure_future(asyncio.gather(*requests, return_exceptions=True))
        await until(lambda: bool(asked))
        # Where secrets and certificates are read.
        await asyncio.wait_for(asyncio.to_thread(over.set), 5)
        try:
            return list(await answers)
        finally:
            await client.close()

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    answers = asyncio.run(story())

    assert asked == ["keys.invalid"]
    assert len({str(answer) for answer in answers if isinstance(answer, SourceFault)}) == 1


def test_a_long_url_is_cut_in_messages() -> None:
    assert len(redacted_url("https://keys.example/" + "a" * 10_000)) == 203


def test_an_answer_that_comes_packed_unasked_is_unpacked(
    server: KeyServer, settings: HttpSettings
) -> None:
    body = json.dumps(server.documents[JWKS]).encode()
    server.misbehave(packed(compress(body)))
    assert get(settings, server.jwks_url).body == body


def test_the_limit_is_the_same_packed_and_unpacked(
    server: KeyServer, settings: HttpSettings
) -> None:
    exactly = replace(settings, answer_bytes=5000)
    server.misbehave(packed(compress(b" " * 5000)))
    assert len(get(exactly, server.jwks_url).body) == 5000

    longer_packed_than_unpacked = compress(b" " * 4990, compresslevel=0)
    assert len(longer_packed_than_unpacked) > 5000
    for body in (compress(b" " * 5001), longer_packed_than_unpacked):
        server.misbehave(packed(body))
        assert "sent more than 5000 bytes" in refused(exactly, server.jwks_url)


def test_an_answer_that_is_far_longer_unpacked_takes_no_memory_for_it(
    server: KeyServer, settings: HttpSettings
) -> None:
    server.misbehave(packed(compress(bytes(50_000_000))))
    tracemalloc.start()
    try:
        assert "sent more than 262144 bytes" in refused(settings, server.jwks_url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_an_answer_with_another_status_is_an_answer(
    server: KeyServer, settings: HttpSettings
) -> None:
    server.misbehave(answering(b'{"errors": []}', status=403))
    assert get(settings, server.jwks_url).status == 403


def test_a_server_that_demands_a_certificate_is_shown_the_clients(
    server: KeyServer, settings: HttpSettings
) -> None:
    server.demand_certificates()
    assert server.url in refused(settings, server.jwks_url)

    server.authority.issue("client", dns="sidecar.orders")
    directory = server.authority.directory
    known = replace(
        settings, certificate=directory / "client.crt", private_key=directory / "client.key"
    )
    assert get(known, server.jwks_url).status == 200


# Documents that are asked for again.


def again(
    settings: HttpSettings, url: str, between: Callable[[], None] = lambda: None
) -> tuple[Response, Response]:
    """The answers to two requests, of which the second knows the first."""

    async def request() -> tuple[Response, Response]:
        client = HttpClient(settings)
        try:
            first = await client.get(url, follow=True)
            between()
            return first, await client.get(url, follow=True, known=first)
        finally:
            await client.close()

    return asyncio.run(request())


def test_what_has_not_changed_is_not_sent_again(server: KeyServer, settings: HttpSettings) -> None:
    server.headers = {"Cache-Control": "max-age=60", "Age": "7"}

    def renew() -> None:
        server.headers = {"Cache-Control": "max-age=50"}

    first, second = again(settings, server.jwks_url, renew)
    assert server.confirmed == [JWKS]
    assert (second.status, second.body) == (200, first.body)
    assert second.headers["cache-control"] == "max-age=50"
    assert "Age" not in second.headers


def test_what_has_changed_is_sent_again(server: KeyServer, settings: HttpSettings) -> None:
    first, second = again(
        settings, server.jwks_url, lambda: server.publish(new_key("ES256", "next"))
    )
    assert server.confirmed == []
    assert second.body != first.body


def test_a_tag_is_held_against_the_document_that_had_it_and_no_other(
    server: KeyServer, settings: HttpSettings
) -> None:
    server.headers = {"ETag": '"1"'}
    server.documents["/other"] = {"keys": []}
    served = server._serve_document

    def move(connection: Connection) -> None:
        if connection.path == JWKS:
            connection.answer(b"", status=302, headers={"Location": "/other"})
        else:
            served(connection)

    _, second = again(settings, server.jwks_url, lambda: server.misbehave(move))
    assert json.loads(second.body) == {"keys": []}
    _, headers = server.requests[-1]
    assert "if-none-match" not in headers


@pytest.mark.parametrize("tag", ["", "unquoted", f'"{"x" * 201}"', '"\xe9"', '"a", "b"', "*"])
def test_a_tag_that_is_none_is_not_repeated(
    server: KeyServer, settings: HttpSettings, tag: str
) -> None:
    server.headers = {"ETag": tag}
    _, second = again(settings, server.jwks_url)
    assert second.status == 200
    assert [headers.get("if-none-match") for _, headers in server.requests] == [None, None]


def test_a_weak_tag_will_do(server: KeyServer, settings: HttpSettings) -> None:
    server.headers = {"ETag": 'W/"1"'}
    again(settings, server.jwks_url)
    assert server.confirmed == [JWKS]


def test_nothing_is_asked_about_an_answer_that_was_none(
    server: KeyServer, settings: HttpSettings
) -> None:
    server.misbehave(answering(b"busy", status=503, headers={"ETag": '"busy"'}))
    first, second = again(settings, server.jwks_url, server.behave)
    assert (first.status, second.status) == (503, 200)


def test_a_confirmation_that_nobody_asked_for_is_no_document(
    server: KeyServer, settings: HttpSettings
) -> None:
    server.misbehave(answering(b"", status=304))
    assert get(settings, server.jwks_url).status == 304


def test_a_packed_copy_that_is_still_good_is_confirmed(
    server: KeyServer, settings: HttpSettings
) -> None:
    packing = {"Content-Encoding": "gzip", "ETag": '"1-gzip"'}
    server.misbehave(answering(compress(b"{}"), headers=packing))

    def confirm() -> None:
        server.misbehave(answering(b"", status=304, headers=packing))

    first, second = again(settings, server.jwks_url, confirm)
    assert (first.body, second.body) == (b"{}", b"{}")
