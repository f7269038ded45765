"""``proxy``: the forward proxy through which everything is fetched."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, PlainValidator
from yarl import URL

from sidecar.clients.proxy import NoProxy, ProxySettings
from sidecar.config.addresses import http_url
from sidecar.config.problems import Finding
from sidecar.config.rules import Draft, rule
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.http import RemoteServer
from sidecar.config.values import File, format_value, schema, text

_PROXY: Final = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_IN_THE_CLUSTER: Final = (".svc", ".cluster.local")


def _proxy_url(value: object) -> str:
    """The URL of a proxy: its scheme, host and port."""
    if "@" in text(value):  # said first, because the other texts quote the URL
        raise ValueError(
            "a proxy's URL cannot hold a user and password here: it would be in every log; put "
            "user:password into a file and name that in credentials_file"
        )
    found = text(value).removesuffix("/")
    if not _PROXY.fullmatch(found):
        raise ValueError(
            f"{format_value(found)} is not a proxy's URL; write scheme, host and port and nothing "
            "after them, as in http://proxy.example:3128"
        )
    return http_url(found)


def a_mapping(value: object) -> object:
    """Refuses a text, which may be a URL with a password, without quoting it."""
    if isinstance(value, str):
        raise ValueError("a proxy is a mapping; write {url: http://proxy.example:3128}")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


def _no_proxy(value: object) -> NoProxy:
    return NoProxy.parse(text(value))


class Proxy(Section):
    """The forward proxy through which everything is fetched.

    That is key sets, discovery documents, introspection, and Vault. Servers over https are reached
    through a tunnel (`CONNECT`), in which their certificate is verified as ever. The keys of
    `kubernetes` come from the cluster's own API server, which is always reached directly. Proxy
    variables of the environment are not read.
    """

    url: Annotated[str, PlainValidator(_proxy_url), schema("URL")] = Field(
        description="The proxy's URL: scheme, host and port. An https proxy is verified with the "
        "CA certificates of the server behind it (its `ca_file`, or the system's)."
    )
    no_proxy: tuple[Annotated[NoProxy, PlainValidator(_no_proxy), schema("host")], ...] = written(
        (),
        "The servers that are reached directly: `vault.example.org` for this host and those below "
        "it, `.example.org` for those below it alone, an IP address, or a block such as "
        "`10.0.0.0/8` for servers whose URL has an address. Names are not resolved for it. With "
        "`:8200` behind a host or address, that port alone. Nothing is left out by itself, "
        "loopback addresses included.",
    )
    credentials_file: File | None = written(
        None, "The file that holds `user:password` for the proxy (RFC 7617)."
    )


@rule("proxy")
def servers_beside_the_proxy(draft: Draft) -> Iterator[Finding]:
    """Servers of this host or cluster, which a proxy does not reach or takes for its own."""
    proxy = draft.section("proxy", object)
    if not isinstance(proxy, Proxy):
        return
    settings = copied(ProxySettings, proxy)
    for here, section in draft.sections():
        if not isinstance(section, RemoteServer) or section.server_url is None:
            continue
        url = URL(getattr(section, section.server_url))
        host = url.raw_host or ""
        if settings.leads_to(url) and _is_near(host):
            text = (
                f"{host} is reached through the proxy, which has another loopback interface and "
                "may not know the cluster's names; name it in proxy.no_proxy"
            )
            yield Finding((*here, section.server_url), text)


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(_IN_THE_CLUSTER)
