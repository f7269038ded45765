"""What the client sends, and what it makes of answers that no Vault would give."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.clients.http import ANSWER_BYTES
from sidecar.clients.vault.client import VaultClient
from sidecar.clients.vault.settings import AppRoleLogin, TokenFile
from sidecar.clients.vault.transit import read_key
from sidecar.errors import SourceFault
from sidecar.rings.transit import sign
from tests.support.scripted_vault import TOKEN, Call, Server
from tests.support.upstream import Upstream

SECRET_ID = "a-secret-id"

CALLS: dict[str, tuple[str, Call]] = {
    "read_transit_key": ("transit/keys/k", lambda vault: read_key(vault, "transit", "k")),
    "sign": ("transit/sign/k", lambda vault: sign(vault, "transit/sign/k", 2, b"message", "ES256")),
    "read_kv": ("secret/data/k", lambda vault: vault.read_kv("secret", "k")),
    "write_kv": ("secret/data/k", lambda vault: vault.write_kv("secret", "k", {"a": 1})),
    "list_kv": ("secret/metadata/k", lambda vault: vault.list_kv("secret", "k")),
    "delete_kv": ("secret/metadata/k", lambda vault: vault.delete_kv("secret", "k")),
}
ALL_CALLS = pytest.mark.parametrize("path_and_call", CALLS.values(), ids=CALLS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Upstream() as upstream:
        yield Server(upstream, tmp_path)


def test_every_call_says_who_and_where_it_is(server: Server) -> None:
    path, call = CALLS["list_kv"]
    server.answers(path, {"data": {"keys": ["one", "folder/"]}})

    assert server.ask(call, namespace="team/a") == ("one", "folder/")
    (request,) = server.received
    assert request.target == "/v1/secret/metadata/k?list=true"
    assert request.values("x-vault-token") == [TOKEN.encode()]
    assert request.values("x-vault-namespace") == [b"team/a"]
    assert request.values("x-vault-request") == [b"true"]


def test_in_the_root_namespace_none_is_named(server: Server) -> None:
    path, call = CALLS["delete_kv"]
    server.answers(path, b"", 204)
    server.ask(call)

    (request,) = server.received
    assert request.method == "DELETE"
    assert request.values("x-vault-namespace") == []


def test_a_long_answer_is_read_too(server: Server) -> None:
    path, call = CALLS["list_kv"]
    names = tuple(f"record-{number:04}" for number in range(10_000))
    server.answers(path, {"data": {"keys": names}})

    assert server.ask(call) == names


def test_an_answer_above_the_limit_is_refused(server: Server) -> None:
    path, call = CALLS["list_kv"]
    server.answers(path, {"data": {"keys": ["x" * ANSWER_BYTES]}})

    with pytest.raises(SourceFault, match=r"sent more than 262144 bytes.*raise answer_bytes"):
        server.ask(call)


def test_the_words_of_a_refusal_are_left_out_where_they_are_long(server: Server) -> None:
    path, call = CALLS["list_kv"]
    server.answers(path, {"errors": ["because " * 10_000]}, 400)

    with pytest.raises(SourceFault, match=r"says no \(400\)$"):
        server.ask(call)


@ALL_CALLS
@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b'{"data": []}', b'{"data": null}', b'{"a": 1, "a": 2}'],
    ids=["a page", "a list", "data is a list", "data is null", "a name twice"],
)
def test_an_answer_of_another_shape_is_a_fault(
    server: Server, path_and_call: tuple[str, Call], body: bytes
) -> None:
    path, call = path_and_call
    server.answers(path, body)

    with pytest.raises(SourceFault, match=f"/v1/{path} gave an answer that Vault would not give"):
        server.ask(call)


@pytest.mark.parametrize("name", ["read_transit_key", "read_kv", "write_kv", "list_kv"])
def test_data_that_lacks_what_is_needed_is_a_fault(server: Server, name: str) -> None:
    path, call = CALLS[name]
    server.answers(path, {"data": {"something": "else"}})

    with pytest.raises(SourceFault, match="gave an answer that Vault would not give"):
        server.ask(call)


@ALL_CALLS
@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (500, r"says no \(500: oh dear\)"),
        (429, r"says no \(429: oh dear\)"),
        (503, r"the server is sealed or in maintenance \(503: oh dear\)"),
        (404, r"says no \(404: oh dear\)"),
        (403, r"is denied to this login \(403\): its policies do not allow it"),
    ],
)
def test_a_refusal_is_told_with_the_servers_words(
    server: Server, path_and_call: tuple[str, Call], status: int, problem: str
) -> None:
    path, call = path_and_call
    server.answers(path, {"errors": ["oh\n\tdear\x00"]}, status)

    with pytest.raises(SourceFault, match=problem):
        server.ask(call)


@pytest.mark.parametrize(
    "body",
    [b"<html>", b'{"errors": "text"}', b"{}", json.dumps({"errors": [TOKEN]}).encode()],
    ids=["a page", "text", "none", "the token itself"],
)
def test_a_refusal_without_words_that_may_be_shown_has_its_status(
    server: Server, body: bytes
) -> None:
    path, call = CALLS["sign"]
    server.answers(path, body, 500)

    with pytest.raises(SourceFault, match=r"says no \(500\)$"):
        server.ask(call)


def test_the_servers_words_are_cut_to_length(server: Server) -> None:
    path, call = CALLS["sign"]
    server.answers(path, {"errors": ["x" * 10_000]}, 500)

    with pytest.raises(SourceFault) as caught:
        server.ask(call)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        ({"auth": None}, 200),
        ({"auth": {"client_token": "", "lease_duration": 60, "renewable": True}}, 200),
        ({"auth": {"client_token": TOKEN, "lease_duration": "1h", "renewable": True}}, 200),
        ({"auth": {"client_token": TOKEN, "lease_duration": -1, "renewable": True}}, 200),
        ({"errors": [f"bad secret {SECRET_ID}"]}, 400),
    ],
    ids=["no grant", "no token", "life in words", "no life", "echoes the secret"],
)
def test_a_login_that_grants_no_token_fails_and_shows_no_secret(
    server: Server, auth: dict[str, object], status: int
) -> None:
    server.answers("auth/approle/login", auth, status)
    login = AppRoleLogin(server.file("role", "role"), server.file("secret", SECRET_ID))

    with pytest.raises(SourceFault, match="/v1/auth/approle/login") as caught:
        server.ask(CALLS["read_kv"][1], login=login)
    assert SECRET_ID not in str(caught.value)


def test_a_token_with_a_lease_of_zero_does_not_expire(server: Server) -> None:
    auth = {"client_token": TOKEN, "lease_duration": 0, "renewable": False}
    server.answers("auth/approle/login", {"auth": auth})
    path, call = CALLS["list_kv"]
    server.answers(path, {"errors": []}, 404)
    login = AppRoleLogin(server.file("role", "role"), server.file("secret", SECRET_ID))

    async def twice(vault: VaultClient) -> list[object]:
        return [await call(vault), await call(vault)]

    assert server.ask(twice, login=login) == [(), ()]
    assert len(server.received) == 3, "one login and two calls"


@pytest.mark.parametrize("content", ["", "two\nlines", "é"], ids=["empty", "two lines", "accent"])
def test_a_token_file_holds_one_line(server: Server, content: str) -> None:
    login = TokenFile(server.file("odd", content))

    with pytest.raises(SourceFault, match="odd does not hold one line of text"):
        server.ask(CALLS["read_kv"][1], login=login)
