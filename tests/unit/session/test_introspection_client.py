"""The question to an issuer over a real socket, and everything it may get for an answer."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from gzip import compress
from pathlib import Path

import pytest

from sidecar.clients.http import HttpSettings, Response
from sidecar.errors import SourceFault
from sidecar.model import VerifiedToken
from sidecar.session.answers import UnusableAnswer, read
from sidecar.session.introspection_client import IntrospectionClient
from sidecar.session.settings import (
    CertificateAuthentication,
    ClientAuthentication,
    IntrospectionSettings,
    NoAuthentication,
    SecretAuthentication,
    TokenAuthentication,
)
from tests.support import key_server as misbehaviour
from tests.support.key_server import KeyServer, Misbehaviour, answering, packed, redirecting
from tests.support.settings import introspection_settings

SESSION = "alices-session"
SECRET = "the-secret-of-the-gateway"
PATH = "/introspect"
# Of a server that does not answer; any other has as long as a busy machine needs.
SHORT = 0.3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeyServer]:
    with KeyServer(tmp_path) as running:
        running.documents[PATH] = {"active": True, "sub": "alice"}
        yield running


@pytest.fixture
def settings(server: KeyServer, tmp_path: Path) -> IntrospectionSettings:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    return introspection_settings(
        name="sso",
        url=server.url + PATH,
        authentication=SecretAuthentication("gateway", secret),
        timeout=30.0,
        http=HttpSettings(ca_file=server.ca_file, answer_bytes=10_000),
    )


def ask(settings: IntrospectionSettings) -> Response:
    async def question() -> Response:
        client = IntrospectionClient(settings, time.time)
        try:
            return await client.ask(SESSION)
        finally:
            await client.close()

    return asyncio.run(question())


def fault(settings: IntrospectionSettings) -> str:
    """The fault that asking and reading the answer ends with."""
    with pytest.raises(SourceFault) as raised:
        read(ask(settings), settings, "f00d", time.time())
    return str(raised.value).removeprefix(settings.url).strip()


def test_a_question_says_who_asks_and_what_answer_is_understood(
    server: KeyServer, settings: IntrospectionSettings
) -> None:
    assert ask(settings).status == 200
    ((path, headers),) = server.requests
    assert path == PATH
    assert headers["accept"] == "application/json"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["authorization"].startswith("Basic ")


def test_a_token_of_our_own_stands_in_the_header_and_nothing_of_us_in_the_form(
    server: KeyServer, settings: IntrospectionSettings, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("ours")
    assert ask(replace(settings, authentication=TokenAuthentication(token))).status == 200
    assert server.requests[0][1]["authorization"] == "Bearer ours"
    assert server.forms == [{"token": SESSION, "token_type_hint": "access_token"}]


@pytest.mark.parametrize(
    ("client", "named"), [(NoAuthentication(), {}), (NoAuthentication("us"), {"client_id": "us"})]
)
def test_a_public_client_proves_nothing(
    server: KeyServer,
    settings: IntrospectionSettings,
    client: NoAuthentication,
    named: dict[str, str],
) -> None:
    assert ask(replace(settings, authentication=client)).status == 200
    assert "authorization" not in server.requests[0][1]
    assert server.forms == [{"token": SESSION, "token_type_hint": "access_token", **named}]


def test_a_client_may_prove_itself_with_the_certificate_of_the_connection(
    server: KeyServer, settings: IntrospectionSettings
) -> None:
    server.demand_certificates()
    server.authority.issue("client", dns="gateway")
    files = server.authority.directory
    http = replace(
        settings.http, certificate=files / "client.crt", private_key=files / "client.key"
    )
    client = CertificateAuthentication("gateway")
    assert ask(replace(settings, authentication=client, http=http)).status == 200
    assert "authorization" not in server.requests[0][1]
    assert server.forms[0]["client_id"] == "gateway"
    assert fault(replace(settings, authentication=client))


def test_headers_from_files_go_with_every_question(
    server: KeyServer, settings: IntrospectionSettings, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    http = replace(settings.http, headers=(("x-api-key", file),))
    for value in ("first", "second"):
        file.write_text(value)
        assert ask(replace(settings, http=http)).status == 200
        assert server.requests[-1][1]["x-api-key"] == value
    file.write_text("")
    assert "does not hold the one line that the header x-api-key needs" in fault(
        replace(settings, http=http)
    )


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        (TokenAuthentication(Path("/dev/null")), "/dev/null does not hold one line of text"),
        (
            CertificateAuthentication("us"),
            "does not accept us as the client us: it knows another certificate, or is not shown",
        ),
        (NoAuthentication(), "wants its clients to prove themselves (401); choose a method"),
    ],
)
def test_a_client_that_is_not_accepted_is_told_what_is_wrong_with_its_proof(
    server: KeyServer,
    settings: IntrospectionSettings,
    client: ClientAuthentication,
    problem: str,
) -> None:
    server.misbehave(answering(b"", status=401))
    assert fault(replace(settings, authentication=client)).startswith(problem)


def test_a_token_of_our_own_that_is_not_accepted_is_named_by_its_file(
    server: KeyServer, settings: IntrospectionSettings, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("ours")
    server.misbehave(answering(b"ours", status=401))
    expected = f"does not accept the token in {token} (401)"
    assert fault(replace(settings, authentication=TokenAuthentication(token))) == expected


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            misbehaviour.endless_body,
            "sent more than 10000 bytes; if its answer has to be that long, raise answer_bytes",
        ),
        (misbehaviour.stop_in_the_middle, "sent an answer that ends too early"),
        (misbehaviour.close_at_once, "closed the connection without an answer"),
        (misbehaviour.speak_something_else, "sent an answer that is not HTTP"),
        (
            misbehaviour.GZIP_BOMB,
            "sent more than 10000 bytes; if its answer has to be that long, raise answer_bytes",
        ),
        (misbehaviour.HTML, "gave an answer that is not UTF-8 JSON"),
        (misbehaviour.OUT_OF_ORDER, "answered with status 500 instead of 200"),
        (answering(b"{}"), "does not say whether the session is active"),
        (
            answering(b'{"error": "invalid_client"}', status=401),
            "does not accept us as the client gateway: it knows another secret or key",
        ),
        (answering(b"", status=429), "wants to be asked less often (429)"),
        (answering(b"", status=502), "is not in service (502)"),
        (answering(b"", status=503), "is not in service (503)"),
        (answering(b"", status=504), "is not in service (504)"),
    ],
)
def test_whatever_is_no_answer_ends_as_a_fault_that_names_its_cause(
    server: KeyServer, settings: IntrospectionSettings, answer: Misbehaviour, problem: str
) -> None:
    server.misbehave(answer)
    assert fault(settings) == problem


def test_an_answer_may_come_packed(server: KeyServer, settings: IntrospectionSettings) -> None:
    server.misbehave(packed(compress(b'{"active": true, "sub": "alice"}')))
    verdict = read(ask(settings), settings, "f00d", time.time())
    assert isinstance(verdict, VerifiedToken)


@pytest.mark.parametrize("answer", [misbehaviour.silence, misbehaviour.trickle])
def test_nobody_waits_longer_than_the_timeout(
    server: KeyServer, settings: IntrospectionSettings, answer: Misbehaviour
) -> None:
    server.misbehave(answer)
    assert fault(replace(settings, timeout=SHORT)) == f"gave no answer within {SHORT} s"


def test_nobody_else_is_asked(server: KeyServer, settings: IntrospectionSettings) -> None:
    server.misbehave(redirecting("https://elsewhere.example/"))
    expected = "redirects to https://elsewhere.example/, which is not followed"
    assert fault(settings) == expected


def test_a_server_that_cannot_prove_its_name_is_told_nothing(
    server: KeyServer, settings: IntrospectionSettings
) -> None:
    server.show("stranger")
    assert "shows a certificate that is not trusted" in fault(settings)
    assert server.requests == []


def test_only_what_concerns_one_session_is_called_an_unusable_answer(
    server: KeyServer, settings: IntrospectionSettings
) -> None:
    for answer, one_session in [
        (misbehaviour.OUT_OF_ORDER, True),
        (misbehaviour.HTML, True),
        (answering(b" " * 10_001), True),
        (misbehaviour.silence, False),
        (answering(b"", status=401), False),
    ]:
        server.misbehave(answer)
        patient = (
            settings if answer is not misbehaviour.silence else replace(settings, timeout=SHORT)
        )
        with pytest.raises(SourceFault) as raised:
            read(ask(patient), patient, "f00d", time.time())
        assert isinstance(raised.value, UnusableAnswer) is one_session


def test_an_issuer_that_quotes_what_it_was_sent_is_not_quoted(
    server: KeyServer, settings: IntrospectionSettings
) -> None:
    for status in (400, 401, 500):
        server.misbehave(answering(f"{SESSION} {SECRET}".encode(), status=status))
        problem = fault(settings)
        assert SESSION not in problem
        assert SECRET not in problem
