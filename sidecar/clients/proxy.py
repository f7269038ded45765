"""The forward proxy that requests are sent through, and the servers that are reached without it.

Servers over https are reached through a tunnel (CONNECT, RFC 9110 §9.3.6): the proxy learns their
host and port and passes encrypted bytes. What goes to a server over http is sent to the proxy as a
request of its own, with the whole URL (RFC 9112 §3.2.2).
"""

import base64
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from yarl import URL

from sidecar.clients.secrets import read_secret
from sidecar.errors import SourceFault

_NAME: Final = re.compile(r"(?:\*?\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_PORT: Final = re.compile("[0-9]{1,5}")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class NoProxy:
    """Servers that are reached directly: a network of IP addresses, or else those of a ``name``.

    A name that begins with a dot stands for the hosts below it, any other for the host as well.
    With a ``port`` only that port is meant.
    """

    name: str = ""
    network: _Network | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a host name, ``.domain``, IP address or CIDR block; all but the last with a port.

        Raises:
            ValueError: it is none of these; the text says what to write.
        """
        if "@" in text or not text.isprintable():  # not quoted: it may hold a password
            raise ValueError(
                "a server has no user, password or line break here; write vault.example.org, "
                ".example.org, 10.1.2.3 or 10.0.0.0/8"
            )
        if "/" in text:
            try:
                return cls(network=_network(text))
            except ValueError as fault:
                raise ValueError(
                    f'"{text}" is no block of addresses; write 10.0.0.0/8, with zeros behind the '
                    "prefix, or a host without its scheme and path"
                ) from fault
        host, port = _split(text.lower())
        try:
            return cls(network=_network(host), port=port)
        except ValueError:
            name = host.removesuffix(".")
        if name == "*":
            raise ValueError("* stands for every server; leave proxy out to use none")
        if not _NAME.fullmatch(name) or name.rpartition(".")[2].isdecimal():
            raise ValueError(
                f'"{text}" is no host, domain, address or block of addresses; write '
                "vault.example.org, .example.org, 10.1.2.3 or 10.0.0.0/8"
            )
        return cls(name.removeprefix("*"), port=port)

    def covers(self, url: URL) -> bool:
        """Whether this server is reached directly. Names are compared as written, not resolved."""
        host = (url.raw_host or "").lower().removesuffix(".")
        if self.port not in (None, url.port):
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address in self.network
        if self.name.startswith("."):
            return host.endswith(self.name) and host != self.name
        return host == self.name or host.endswith(f".{self.name}")


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """A forward proxy: its ``url`` has a scheme, a host and a port.

    ``credentials_file`` holds ``user:password`` for it (RFC 7617), read for each request. An https
    proxy is verified with the trusted authorities of the server behind it.
    """

    url: str
    no_proxy: tuple[NoProxy, ...] = ()
    credentials_file: Path | None = None

    def leads_to(self, url: URL) -> bool:
        """Whether this server is reached through the proxy."""
        return not any(each.covers(url) for each in self.no_proxy)

    async def headers(self) -> dict[str, str]:
        """The header that authenticates a request to the proxy, if it asks for that.

        Raises:
            SourceFault: the file cannot be used.
        """
        if self.credentials_file is None:
            return {}
        pair = await read_secret(self.credentials_file)
        if ":" not in pair:
            raise SourceFault(f"{self.credentials_file} does not hold user:password in one line")
        credentials = base64.b64encode(pair.encode("ascii")).decode("ascii")
        return {"Proxy-Authorization": f"Basic {credentials}"}

    def refusal(self, status: int) -> str:
        """What an answer of the proxy itself means."""
        match status:
            case 407 if self.credentials_file is None:
                meaning = "it wants credentials: name their file in proxy.credentials_file"
            case 407:
                meaning = f"it does not accept the credentials in {self.credentials_file}"
            case 401 | 403:
                meaning = "it does not allow this host and port"
            case _ if 200 < status < 300:
                meaning = "it opens a tunnel with another status than 200, which is not supported"
            case _:
                meaning = "it does not reach the server"
        return f"the proxy {self.url} answered with status {status}: {meaning}"


def _split(text: str) -> tuple[str, int | None]:
    """The host, without brackets, and the port behind it, if there is one."""
    host, colon, port = text.rpartition(":")
    if colon and _PORT.fullmatch(port) and (":" not in host or host.endswith("]")):
        if not 0 < int(port) < 65536:
            raise ValueError(f'"{text}" has a port that does not exist')
        return host.removeprefix("[").removesuffix("]"), int(port)
    return text.removeprefix("[").removesuffix("]"), None


def _network(text: str) -> _Network:
    """The network of a text; of IPv6 addresses that hold IPv4 ones, the latter, as ``_address``."""
    network = ipaddress.ip_network(text)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return network if mapped is None else ipaddress.ip_network((mapped, network.prefixlen - 96))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is; of an IPv6 address that holds an IPv4 one, the latter."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
