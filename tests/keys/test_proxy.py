"""Everything that is fetched, through a real forward proxy: what is reached, what is refused."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sidecar.clients.http import HttpClient, HttpSettings, Response
from sidecar.clients.proxy import NoProxy, ProxySettings
from sidecar.clients.vault.settings import KvKeys, TokenFile
from sidecar.errors import SourceFault
from sidecar.keys.settings import JwksKeys, OidcKeys
from sidecar.keys.sources import KeySource
from sidecar.keys.sources.jwks import JwksSource
from sidecar.keys.sources.oidc import OidcSource
from sidecar.keys.sources.vault import VaultKvSource
from sidecar.session.introspection_client import IntrospectionClient
from sidecar.session.settings import SecretAuthentication
from tests.support import key_server as misbehaviour
from tests.support.key_server import DISCOVERY, JWKS, KeyServer, answering, redirecting
from tests.support.openbao import ROOT_TOKEN, OpenBao
from tests.support.openid_provider import BASIC, OpenIdProvider
from tests.support.ports import LOOPBACK, free_port
from tests.support.ports import socket_directory as new_socket_directory
from tests.support.processes import eventually
from tests.support.settings import introspection_settings
from tests.support.sidecar_process import SidecarProcess
from tests.support.squid import FORBIDDEN, HIDDEN, Squid
from tests.support.tokens import jwks, key_for

KEY = key_for("ES256")
USER, PASSWORD = "sidecar", "hush:hush"
INTROSPECTION = "/introspect"


class Hidden:
    """A server whose name the proxy alone can resolve."""

    def __init__(self, server: KeyServer) -> None:
        self.server = server
        self.authority = f"{HIDDEN}:{urlsplit(server.url).port}"
        self.url = f"{urlsplit(server.url).scheme}://{self.authority}"
        server.show("elsewhere")
        server.documents |= {
            JWKS: jwks(KEY),
            DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + JWKS},
            INTROSPECTION: {"active": True, "sub": "alice"},
        }


@pytest.fixture
def hidden(tmp_path: Path) -> Iterator[Hidden]:
    with KeyServer(tmp_path) as server:
        yield Hidden(server)


@pytest.fixture
def over_http(tmp_path: Path) -> Iterator[Hidden]:
    with KeyServer(tmp_path, tls=False) as server:
        yield Hidden(server)


def reached(hidden: Hidden, proxy: Squid | KeyServer | str | ProxySettings) -> HttpSettings:
    """How a hidden server is reached."""
    if isinstance(proxy, Squid | KeyServer):
        proxy = proxy.url
    return HttpSettings(
        ca_file=hidden.server.ca_file,
        allow_http=True,
        read_timeout=1.0,
        proxy=ProxySettings(proxy) if isinstance(proxy, str) else proxy,
    )


def get(settings: HttpSettings, url: str) -> Response:
    async def request() -> Response:
        client = HttpClient(settings)
        try:
            return await client.get(url, follow=True)
        finally:
            await client.close()

    return asyncio.run(request())


def refused(settings: HttpSettings, url: str) -> str:
    with pytest.raises(SourceFault) as fault:
        get(settings, url)
    return str(fault.value)


def kids(source: KeySource) -> list[str | None]:
    async def fetch() -> list[str | None]:
        try:
            return [key.kid for key in (await source.fetch()).keys]
        finally:
            await source.close()

    return asyncio.run(fetch())


def was_asked(proxy: Squid, method: str, target: str) -> bool:
    return eventually(lambda: (method, target) in proxy.requests())


# What is fetched.


def test_without_the_proxy_the_name_is_not_known(hidden: Hidden) -> None:
    settings = HttpSettings(ca_file=hidden.server.ca_file)
    assert "has a host name that cannot be resolved" in refused(settings, hidden.url + JWKS)


def test_a_key_set_that_the_proxy_alone_reaches_is_fetched(
    hidden: Hidden, forward_proxy: Squid
) -> None:
    settings = reached(hidden, forward_proxy)
    assert kids(JwksSource(JwksKeys(hidden.url + JWKS, settings))) == [KEY.kid]
    assert was_asked(forward_proxy, "CONNECT", hidden.authority)
    ((_, headers),) = hidden.server.requests
    assert headers["host"] == hidden.authority
    assert "proxy-authorization" not in headers


def test_a_key_set_over_http_is_fetched_with_the_whole_url(
    over_http: Hidden, forward_proxy: Squid
) -> None:
    url = over_http.url + JWKS
    assert kids(JwksSource(JwksKeys(url, reached(over_http, forward_proxy)))) == [KEY.kid]
    assert was_asked(forward_proxy, "GET", url)


def test_a_discovery_document_and_the_keys_it_names_are_fetched(
    hidden: Hidden, forward_proxy: Squid
) -> None:
    source = OidcSource(OidcKeys(hidden.url, reached(hidden, forward_proxy)))
    assert kids(source) == [KEY.kid]
    assert [path for path, _ in hidden.server.requests] == [DISCOVERY, JWKS]


def test_a_session_is_introspected_on_connections_that_are_kept(
    hidden: Hidden, forward_proxy: Squid, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    settings = introspection_settings(
        name="sso",
        url=hidden.url + INTROSPECTION,
        authentication=SecretAuthentication("gateway", tmp_path / "secret"),
        http=reached(hidden, forward_proxy),
    )

    async def twice() -> list[int]:
        client = IntrospectionClient(settings, time.time)
        try:
            return [(await client.ask(session)).status for session in ("one", "two")]
        finally:
            await client.close()

    assert asyncio.run(twice()) == [200, 200]
    assert was_asked(forward_proxy, "CONNECT", hidden.authority)


def test_a_session_of_a_real_provider_is_introspected(
    openid_provider: OpenIdProvider, forward_proxy: Squid, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(openid_provider.secret)
    settings = introspection_settings(
        name="sso",
        url=openid_provider.introspection_url,
        authentication=SecretAuthentication(BASIC, tmp_path / "secret"),
        timeout=5.0,
        http=HttpSettings(ca_file=openid_provider.ca_file, proxy=ProxySettings(forward_proxy.url)),
    )

    async def ask(session: str) -> Response:
        client = IntrospectionClient(settings, time.time)
        try:
            return await client.ask(session)
        finally:
            await client.close()

    answer = asyncio.run(ask(openid_provider.login("alice")))
    assert b'"active":true' in answer.body
    where = urlsplit(openid_provider.introspection_url).netloc
    assert was_asked(forward_proxy, "CONNECT", where)


def test_keys_in_vault_are_read(openbao: OpenBao, forward_proxy: Squid, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(ROOT_TOKEN)
    mount = openbao.mount("kv")
    openbao.write_kv(mount, "keys", jwks(KEY))
    vault = openbao.settings(TokenFile(tmp_path / "token"))
    proxied = replace(vault.http, proxy=ProxySettings(forward_proxy.url))
    source = VaultKvSource(KvKeys(replace(vault, http=proxied), path="keys", mount=mount))
    assert kids(source) == [KEY.kid]
    assert was_asked(forward_proxy, "CONNECT", urlsplit(openbao.address).netloc)


def test_a_server_that_is_left_out_is_reached_directly(
    tmp_path: Path, forward_proxy: Squid
) -> None:
    with KeyServer(tmp_path) as server:
        server.publish(KEY)
        proxy = ProxySettings(forward_proxy.url, (NoProxy.parse("localhost"),))
        settings = HttpSettings(ca_file=server.ca_file, proxy=proxy)
        before = forward_proxy.requests()
        assert kids(JwksSource(JwksKeys(server.jwks_url, settings))) == [KEY.kid]
        assert forward_proxy.requests() == before


# What holds as ever.


@pytest.mark.parametrize("certificate", ["good", "expired", "stranger"])
def test_the_servers_certificate_is_verified_in_the_tunnel(
    hidden: Hidden, forward_proxy: Squid, certificate: str
) -> None:
    hidden.server.show(certificate)
    why = refused(reached(hidden, forward_proxy), hidden.url + JWKS)
    assert why.startswith(
        f"{hidden.url}{JWKS} (through the proxy {forward_proxy.url}) shows a certificate that is "
        "not trusted: "
    )
    assert hidden.server.requests == []


def test_the_server_is_shown_the_clients_certificate_in_the_tunnel(
    hidden: Hidden, forward_proxy: Squid
) -> None:
    hidden.server.demand_certificates()
    hidden.server.authority.issue("client", dns="sidecar.orders")
    directory = hidden.server.authority.directory
    settings = reached(hidden, forward_proxy)
    known = replace(
        settings, certificate=directory / "client.crt", private_key=directory / "client.key"
    )
    assert refused(settings, hidden.url + JWKS)
    assert get(known, hidden.url + JWKS).status == 200


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (misbehaviour.endless_body, "sent more than 262144 bytes"),
        (misbehaviour.silence, "sent nothing for 1 s"),
        (redirecting("https://localhost/"), "redirects to https://localhost/"),
        (redirecting("http://169.254.169.254/latest"), "redirects to http://169.254.169.254/"),
    ],
)
def test_limits_and_redirects_are_those_of_every_request(
    hidden: Hidden, forward_proxy: Squid, how: misbehaviour.Misbehaviour, why: str
) -> None:
    hidden.server.misbehave(how)
    url, via = hidden.url + JWKS, f" (through the proxy {forward_proxy.url}) "
    assert refused(reached(hidden, forward_proxy), url).startswith(url + via + why)


# What the proxy refuses.


def test_a_host_that_the_proxy_forbids_is_told(hidden: Hidden, forward_proxy: Squid) -> None:
    url = hidden.url.replace(HIDDEN, FORBIDDEN) + JWKS
    assert refused(reached(hidden, forward_proxy), url) == (
        f"{url}: the proxy {forward_proxy.url} answered with status 403: it does not allow this "
        "host and port"
    )


def test_a_host_over_http_that_the_proxy_forbids_is_told(
    over_http: Hidden, forward_proxy: Squid
) -> None:
    url = over_http.url.replace(HIDDEN, FORBIDDEN) + JWKS
    with pytest.raises(SourceFault) as fault:
        kids(JwksSource(JwksKeys(url, reached(over_http, forward_proxy))))
    assert str(fault.value) == (
        f"{url} (through the proxy {forward_proxy.url}) answered with status 403 instead of 200"
    )


def test_a_server_that_the_proxy_does_not_reach_is_told(
    hidden: Hidden, forward_proxy: Squid
) -> None:
    url = f"https://{HIDDEN}:{free_port()}/"
    assert refused(reached(hidden, forward_proxy), url) == (
        f"{url}: the proxy {forward_proxy.url} answered with status 503: it does not reach the "
        "server"
    )


def test_a_proxy_that_is_not_there_is_told(hidden: Hidden) -> None:
    proxy = f"http://{LOOPBACK}:{free_port()}"
    url = hidden.url + JWKS
    assert refused(reached(hidden, proxy), url) == (
        f"{url}: the proxy {proxy} cannot be reached: Connection refused"
    )
    assert refused(reached(hidden, "http://proxy.invalid:3128"), url).startswith(
        f"{url}: the proxy http://proxy.invalid:3128 has a host name that cannot be resolved"
    )


@pytest.mark.parametrize("tls", [True, False])
def test_credentials_come_from_a_file_and_go_to_the_proxy_alone(
    squid_installed: None, tmp_path: Path, *, tls: bool
) -> None:
    del squid_installed
    file = tmp_path / "credentials"
    with (
        new_socket_directory() as directory,
        KeyServer(tmp_path, tls=tls) as server,
        Squid(directory, user=USER, password=PASSWORD) as proxy,
    ):
        hidden = Hidden(server)
        url, anonymous = hidden.url + JWKS, ProxySettings(proxy.url)
        known = replace(anonymous, credentials_file=file)
        assert refused(reached(hidden, proxy), url) == (
            f"{url}: the proxy {proxy.url} answered with status 407: it wants credentials: name "
            "their file in proxy.credentials_file"
        )
        file.write_text(f"{USER}:wrong\n")
        why = refused(reached(hidden, known), url)
        assert why == (
            f"{url}: the proxy {proxy.url} answered with status 407: it does not accept the "
            f"credentials in {file}"
        )
        file.write_text(f"{USER}:{PASSWORD}\n")
        assert get(reached(hidden, known), url).status == 200
        ((_, headers),) = server.requests
        assert not headers.keys() & {"proxy-authorization", "authorization"}


def test_a_file_without_credentials_is_told(hidden: Hidden, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("hush")
    proxy = ProxySettings("http://localhost:1", credentials_file=file)
    why = refused(reached(hidden, proxy), hidden.url)
    assert why == f"{file} does not hold user:password in one line"


def test_a_proxy_over_https_is_verified(squid_installed: None, tmp_path: Path) -> None:
    del squid_installed
    with new_socket_directory() as directory, KeyServer(tmp_path) as server:
        hidden = Hidden(server)
        server.authority.issue("proxy", dns="localhost")
        both = directory / "proxy.pem"
        names = ("proxy.crt", "proxy.key")
        both.write_bytes(b"".join((tmp_path / name).read_bytes() for name in names))
        with Squid(directory, certificate=both) as proxy:
            settings = reached(hidden, proxy)
            assert get(settings, hidden.url + JWKS).status == 200
            assert was_asked(proxy, "CONNECT", hidden.authority)

            distrustful = replace(settings, ca_file=None)
            assert refused(distrustful, hidden.url + JWKS).startswith(
                f"{hidden.url}{JWKS}: the proxy {proxy.url} shows a certificate that is not trusted"
            )


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (misbehaviour.silence, " (through the proxy {proxy}) took no connection in 1 s"),
        (misbehaviour.close_at_once, " (through the proxy {proxy}) closed the connection"),
        (misbehaviour.endless_headers, " (through the proxy {proxy}) sent an answer that is not"),
        (misbehaviour.speak_something_else, " (through the proxy {proxy}) sent an answer that is"),
        (
            redirecting("https://localhost/"),
            ": the proxy {proxy} answered with status 302: it does",
        ),
        (answering(b"hush", status=407), ": the proxy {proxy} answered with status 407: it wants"),
        (answering(b"", status=200), " (through the proxy {proxy}) "),
    ],
)
def test_a_proxy_is_not_believed_either(
    hidden: Hidden, tmp_path: Path, how: misbehaviour.Misbehaviour, why: str
) -> None:
    directory = tmp_path / "proxy"
    directory.mkdir()
    with KeyServer(directory, tls=False) as proxy:
        proxy.misbehave(how)
        found = refused(reached(hidden, proxy), hidden.url + JWKS)
        assert found.startswith(hidden.url + JWKS + why.format(proxy=proxy.url))
        assert "hush" not in found
        assert proxy.sent < 20_000_000
        assert {target for target, _ in proxy.requests} == {hidden.authority}
    assert hidden.server.requests == []


def test_the_proxy_of_a_tunnel_is_sent_nothing_that_is_meant_for_the_server(
    hidden: Hidden, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("hush")
    directory = tmp_path / "proxy"
    directory.mkdir()
    with KeyServer(directory, tls=False) as proxy:
        proxy.misbehave(answering(b"", status=403))
        settings = replace(reached(hidden, proxy), headers=(("x-api-key", tmp_path / "key"),))
        refused(settings, hidden.url + JWKS)
        ((_, headers),) = proxy.requests
    assert headers["host"] == hidden.authority
    assert headers.keys() <= {"host", "user-agent", "accept-encoding", "accept", "connection"}


def test_a_fetch_that_takes_too_long_says_that_it_went_through_the_proxy(hidden: Hidden) -> None:
    via = "(through the proxy http://proxy.example:3128)"
    settings = reached(hidden, "http://proxy.example:3128")
    assert str(JwksSource(JwksKeys(hidden.url, settings))) == f"jwks {hidden.url} {via}"
    assert str(OidcSource(OidcKeys(hidden.url, settings))) == f"oidc {hidden.url} {via}"


# The program as it is run.


def test_a_sidecar_starts_with_keys_from_behind_the_proxy_and_names_unused_variables(
    hidden: Hidden,
    forward_proxy: Squid,
    tmp_path: Path,
    socket_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://{USER}:{PASSWORD}@localhost:1")
    monkeypatch.setenv("ALL_PROXY", "")
    source = {"url": hidden.url + JWKS, "ca_file": str(hidden.server.ca_file)}
    configuration = {
        "trust": [
            {
                "name": "gateway",
                "kind": "request",
                "issuer": "https://gateway.example",
                "audiences": ["orders"],
                "algorithms": ["ES256"],
                "keys": {"jwks": source},
            }
        ],
        "routes": [{"name": "all", "match": {"path": "/**"}, "allow": {"authenticated": True}}],
        "proxy": {"url": forward_proxy.url},
        "log": {"format": "json"},
    }
    directory = tmp_path / "sidecar"
    directory.mkdir()
    with SidecarProcess(configuration, directory, socket_directory) as sidecar:
        assert sidecar.metric("sidecar_keys", issuer="gateway") == 1
        lines = [each for each in sidecar.log() if "variables" in each]
        assert [each["variables"] for each in lines] == ["http_proxy, HTTPS_PROXY"]
        assert [each["level"] for each in lines] == ["warning"]
        assert PASSWORD not in str(sidecar.log())
    assert was_asked(forward_proxy, "CONNECT", hidden.authority)
