"""Which servers are reached without the proxy: names, domains, addresses, blocks, and ports."""

import pytest
from yarl import URL

from sidecar.clients.proxy import NoProxy, ProxySettings

CASES: dict[str, tuple[list[str], list[str]]] = {
    "example.org": (
        ["https://example.org/", "https://a.b.example.org:8443/", "http://EXAMPLE.org./"],
        ["https://badexample.org/", "https://example.org.evil.example/", "https://org/"],
    ),
    "Example.org.": (["https://example.org/"], ["https://example.com/"]),
    ".example.org": (
        ["https://a.example.org/", "https://a.b.example.org/"],
        ["https://example.org/", "https://badexample.org/", "https://.example.org/"],
    ),
    "*.example.org": (["https://a.example.org/"], ["https://example.org/"]),
    "vault:8200": (
        ["https://vault:8200/", "https://a.vault:8200/"],
        ["https://vault/", "https://vault:8201/"],
    ),
    "vault:443": (["https://vault/"], ["http://vault/"]),
    ".svc": (["https://kubernetes.default.svc/"], ["https://svc/", "https://a.svc.example/"]),
    "10.1.2.3": (
        ["https://10.1.2.3/", "https://10.1.2.3:8200/", "https://[::ffff:10.1.2.3]/"],
        ["https://10.1.2.30/", "https://a.10.1.2.3.example/"],
    ),
    "10.1.2.3:8200": (["https://10.1.2.3:8200/"], ["https://10.1.2.3/"]),
    "10.0.0.0/8": (
        ["https://10.255.0.1/"],
        ["https://11.0.0.1/", "https://ten.example/", "https://[fd00::1]/"],
    ),
    "127.0.0.0/8": (["http://127.0.0.1:8200/"], ["http://localhost:8200/"]),
    "::1": (["http://[::1]:8200/"], ["http://[::2]/", "http://127.0.0.1/"]),
    "[::1]:8200": (["http://[::1]:8200/"], ["http://[::1]:8201/"]),
    "::ffff:10.1.2.3": (["https://10.1.2.3/", "https://[::ffff:10.1.2.3]/"], ["https://[::1]/"]),
    "::ffff:10.0.0.0/104": (["https://10.255.0.1/"], ["https://11.0.0.1/"]),
    "fd00::/8": (["https://[fd12::1]/"], ["https://[2001:db8::1]/", "https://fd00.example/"]),
}


@pytest.mark.parametrize("written", CASES)
def test_what_is_left_out_is_reached_directly_and_nothing_else(written: str) -> None:
    proxy = ProxySettings("http://proxy.example:3128", (NoProxy.parse(written),))
    directly, through = CASES[written]
    assert [url for url in directly if proxy.leads_to(URL(url))] == []
    assert [url for url in through if not proxy.leads_to(URL(url))] == []


def test_nothing_is_left_out_by_itself() -> None:
    proxy = ProxySettings("http://proxy.example:3128")
    for host in ("localhost", "127.0.0.1", "[::1]", "kubernetes.default.svc"):
        assert proxy.leads_to(URL(f"https://{host}/"))


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("*", "stands for every server"),
        ("https://vault.example", "no block of addresses"),
        ("vault.example/v1", "no block of addresses"),
        ("10.1.2.3/8", "with zeros behind the prefix"),
        ("10.0.0.0/33", "no block of addresses"),
        ("127.1", "is no host, domain, address"),
        ("vault.example:0", "has a port that does not exist"),
        ("vault.example:65536", "has a port that does not exist"),
        ("vault.example:https", "is no host, domain, address"),
        ("a.*.example", "is no host, domain, address"),
        ("**.example", "is no host, domain, address"),
        ("a,b", "is no host, domain, address"),
        ("bücher.example", "is no host, domain, address"),
        (".", "is no host, domain, address"),
        ("a..b", "is no host, domain, address"),
        ("vault.example\n", "no user, password or line break"),
    ],
)
def test_what_leaves_nothing_out_does_not_load(written: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        NoProxy.parse(written)


@pytest.mark.parametrize("written", ["user:hush@proxy.example", "http://user:hush@proxy.example"])
def test_a_password_is_not_quoted(written: str) -> None:
    with pytest.raises(ValueError, match="no user, password") as fault:
        NoProxy.parse(written)
    assert "hush" not in str(fault.value)
