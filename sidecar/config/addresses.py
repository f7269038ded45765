"""The types of addresses and URLs in a configuration, read as in ``values``."""

import ipaddress
import os
import re
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import PlainValidator

from sidecar.check.path import canonical
from sidecar.config.values import format_value, schema, text

_URL: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986 §2

_HOST: Final = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}")
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]*)?")
_LONGEST_HOST: Final = 253  # RFC 1035 §2.3.4, without the lengths of the first label and the root
_ENDPOINT: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})"
)
# Of a socket's path, in bytes: its address has 107, and it is bound as .NAME.PID first.
_LONGEST_SOCKET: Final = 104

_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
# RFC 9728 §3.
METADATA_PATH: Final = "/.well-known/oauth-protected-resource"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DEFAULT_PORTS: Final = {"https": "443", "http": "80"}


class Endpoint(NamedTuple):
    """An IP address (without brackets) and a TCP port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def http_url(value: object) -> str:
    """The URL of a server, https or http; whether http is allowed is checked elsewhere."""
    found = text(value)
    try:
        url = urlsplit(found)
        port_is_good = url.port != 0
    except ValueError:
        url, port_is_good = urlsplit(""), False
    is_url = url.scheme in {"https", "http"} and bool(url.hostname) and port_is_good
    # Said first: the other texts quote the URL. In what is no URL, a password may hold a slash.
    if "@" in (url.netloc if is_url else found):
        raise ValueError(
            "a URL cannot hold a password here: it would be in every log; put it in a file and "
            "name that in headers"
        )
    if not is_url:
        raise ValueError(f"{format_value(found)} is not a URL; write https:// and a host")
    if "{" in found or "}" in found:
        raise ValueError(
            f"{format_value(found)} has a brace: nothing is filled in here; write the URL itself, "
            "or ${NAME} for the whole of it"
        )
    if url.fragment or not _URL.fullmatch(found):
        raise ValueError(
            f"{format_value(found)} has a fragment, a space or another character that no request "
            "can have"
        )
    if not _has_host(url.netloc):
        raise ValueError(
            f"{format_value(found)} has a host that cannot be reached; write a name such as "
            "idp.example.org, an IPv4 address, or an IPv6 address in brackets"
        )
    return found


def _has_host(authority: str) -> bool:
    """Whether the host of an authority (RFC 3986 §3.2) is a DNS name or an IP address."""
    bracketed = _BRACKETED.fullmatch(authority)
    host = authority.partition(":")[0].removesuffix(".")
    try:
        if bracketed:
            ipaddress.IPv6Address(bracketed[1])
            return True
        if host.rpartition(".")[2].isdecimal():
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return len(host) <= _LONGEST_HOST and bool(_HOST.fullmatch(host))


def same_url(url: str) -> str:
    """The form that URLs share which lead to the same place (RFC 3986 §6.2.2.1, §6.2.3)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = str(parts.port or _DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{host}:{port}{parts.path or '/'}?{parts.query}"


def issuer_url(value: object) -> str:
    """An issuer of tokens (RFC 8414 §2): an https URL without query and fragment."""
    found = http_url(value)
    if urlsplit(found).scheme != "https" or "?" in found:
        raise ValueError(
            f"{format_value(found)} cannot be an issuer; write an https URL without a query, such "
            "as https://gateway.shop.internal"
        )
    return found


def metadata_url(value: object) -> str:
    """The URL of a resource's metadata (RFC 9728 §3): its resource follows from it."""
    found = http_url(value)
    url = urlsplit(found)
    path = url.path.removeprefix(METADATA_PATH)
    is_theirs = path != url.path and (not path or path[0] == "/" != path)
    if not is_theirs or "?" in found:
        raise ValueError(
            f"{format_value(found)} is not where clients expect the document (RFC 9728 §3.1); "
            f"write {METADATA_PATH} behind the host, then the service's path if it has one, and no "
            "query"
        )
    if canonical(url.path) != url.path:
        raise ValueError(
            f"{format_value(found)} has a path that Envoy reads as another one, or not at all; "
            "write it without dot segments, empty segments and what need not be encoded"
        )
    if url.scheme == "http" and url.hostname not in {name.strip("[]") for name in _LOOPBACK}:
        raise ValueError(
            "over http, whoever is on the way could send clients to an issuer of their own; write "
            "https"
        )
    return found


def origin(value: object) -> str:
    """An origin in the form in which a browser sends it (RFC 6454 §6.2)."""
    found = text(value)
    match = _ORIGIN.fullmatch(found)
    if match is None:
        raise ValueError(
            f"{format_value(found)} is not an origin; write scheme, host and port in lower case "
            "and nothing after them, as in https://www.shop.example"
        )
    if match["scheme"] == "http" and match["host"] not in _LOOPBACK:
        raise ValueError("over http, whoever is on the way could write the page; write https")
    if match["port"] == _DEFAULT_PORTS[match["scheme"]]:
        raise ValueError(f"browsers leave the usual port out; leave :{match['port']} out")
    return found


def authz_address(value: object) -> str:
    """``unix:`` and an absolute path, or a port of the loopback interface."""
    found = text(value)
    if found.startswith("unix:"):
        if "?" in found:
            raise ValueError(
                f"{format_value(found)} has a query, and a socket has none: write the path alone. "
                "No key sets the socket's mode: it is 0660, so Envoy's user must be in its group, "
                "which is that of this process, or of a directory with the setgid bit"
            )
        path = PurePosixPath(found.removeprefix("unix:"))
        if not path.is_absolute() or not path.name:
            raise ValueError(
                f"{format_value(found)} is not absolute; write unix:/run/sidecar/authz.sock"
            )
        if path.name == ".." or not found.isprintable():
            raise ValueError(
                f"{format_value(found)} cannot be the path of a socket; write "
                "unix:/run/sidecar/authz.sock"
            )
        if len(os.fsencode(path)) > _LONGEST_SOCKET:
            raise ValueError(
                f"{format_value(found)} has a path of more than {_LONGEST_SOCKET} bytes, too long "
                "for a Unix socket; write a shorter one"
            )
        return found
    endpoint = _endpoint(found, "unix:/run/sidecar/authz.sock or 127.0.0.1:9464")
    return str(_loopback(endpoint, "whoever reaches it can try tokens"))


def endpoint(value: object) -> Endpoint:
    """An IP address and a port."""
    return _endpoint(text(value), "[::]:9465 or 127.0.0.1:9465")


def loopback_endpoint(value: object) -> Endpoint:
    """A port of the loopback interface."""
    found = _endpoint(text(value), "127.0.0.1:9466 or [::1]:9466")
    return _loopback(found, "it shows what only operators may see")


def _endpoint(found: str, expectation: str) -> Endpoint:
    match = _ENDPOINT.fullmatch(found)
    if match is not None and int(match["port"]) <= 65535:
        with suppress(ValueError):
            v6, v4 = match["v6"], match["v4"]
            address = ipaddress.IPv6Address(v6) if v6 else ipaddress.IPv4Address(v4)
            return Endpoint(str(address), int(match["port"]))
    raise ValueError(f"{format_value(found)} is not an address and a port; write {expectation}")


def _loopback(found: Endpoint, why: str) -> Endpoint:
    if not ipaddress.ip_address(found.host).is_loopback:
        raise ValueError(
            f"{found} can be reached from outside the pod, and {why}; use 127.0.0.1 or [::1]"
        )
    return found


OptionalMetadataUrl = Annotated[str | None, PlainValidator(metadata_url), schema("URL")]
HttpUrl = Annotated[str, PlainValidator(http_url), schema("URL")]
IssuerUrl = Annotated[str, PlainValidator(issuer_url), schema("URL")]
Origin = Annotated[str, PlainValidator(origin), schema("origin")]
AuthzAddress = Annotated[str, PlainValidator(authz_address), schema("address")]
HttpAddress = Annotated[Endpoint, PlainValidator(endpoint), schema("address")]
LoopbackHttpAddress = Annotated[Endpoint, PlainValidator(loopback_endpoint), schema("address")]
