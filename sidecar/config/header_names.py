"""The types of header names in a configuration, read as in ``values``."""

from typing import Annotated, Final

from pydantic import PlainValidator

from sidecar.check.identity import folded
from sidecar.config.values import TOKEN, format_value, schema, text

# Headers that belong to the connection or to Envoy: setting or removing one breaks the request.
_NOT_OURS: Final = frozenset(
    {
        *("connection", "content-length", "host", "keep-alive", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
# Further names that no condition may read (RFC 9110 §11.6, RFC 6265 §5, RFC 9113 §3.2.1).
_CREDENTIALS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "txn-token"})
_HOP_BY_HOP: Final = frozenset({"http2-settings", "proxy-authenticate"})
# In these a proxy states the address or certificate of its client (RFC 7239, RFC 9440, and names of
# proxies and CDNs). One that does not know a name passes on what the client wrote there.
_OF_PROXIES: Final = frozenset(
    {
        *("forwarded", "client-cert", "client-cert-chain"),
        *("x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-forwarded-for"),
        *("true-client-ip", "cf-connecting-ip", "fastly-client-ip"),
    }
)
# Headers of the program's own requests that no configuration changes.
_SET_WHERE_NEEDED: Final = frozenset(
    {"accept-encoding", "expect", "if-none-match", "range", "x-vault-token"}
)
_NOT_A_HEADER: Final = "names have letters, digits and !#$%&'*+-.^_`|~, and no colon"


def header(value: object) -> str:
    """The name, in lower case, of a header that may be read from a request or set in one."""
    name = text(value).lower()
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{format_value(value)} is not a header's name; {_NOT_A_HEADER}")
    if name in _NOT_OURS or name.startswith("x-envoy-"):
        raise ValueError(f"{name} belongs to the connection or to Envoy; choose another header")
    return name


def identity_header(value: object) -> str:
    """The name of a header that only the sidecar sets. Spellings with underscores are included."""
    name = header(value)
    if "_" in name:
        raise ValueError(
            f"{name} has an underscore; write {name.replace('_', '-')}: what a client sends under "
            "the spellings with underscores is taken away with it"
        )
    return name


def condition_header(value: object) -> str:
    """The name of a request header that a condition may read."""
    name = identity_header(value)
    spelt = folded(name)
    if spelt in _CREDENTIALS:
        raise ValueError(
            f"{name} holds credentials; a condition reads what is verified of them, in claims"
        )
    if spelt in _OF_PROXIES or spelt.startswith("x-forwarded-"):
        raise ValueError(
            f"{name} is no statement of the client, but of the proxies before it; addresses are "
            "for Envoy's RBAC filter, and the caller's certificate is request.caller"
        )
    if spelt in _HOP_BY_HOP or spelt.startswith("x-envoy-"):
        raise ValueError(f"{name} belongs to the connection or to Envoy; choose another header")
    return name


def source_header(value: object) -> str:
    """The name of a header that carries a token."""
    name = header(value)
    if name == "cookie":
        raise ValueError("a cookie is named by its own name; write {cookie: NAME}")
    return name


def request_header(value: object) -> str:
    """The name of a header to send with the sidecar's own requests."""
    name = header(value)
    if name in _SET_WHERE_NEEDED | _HOP_BY_HOP or name.startswith("content-"):
        raise ValueError(f"{name} is set where it is needed; leave it out")
    if name == "proxy-authorization":
        raise ValueError(f"{name} is for a proxy; write proxy.credentials_file")
    return name


def introspection_header(value: object) -> str:
    """The name of a header to send with introspection requests."""
    name = request_header(value)
    if name == "authorization":
        raise ValueError(f"{name} holds the proof of the client; choose its method in client")
    if name == "accept":
        raise ValueError(f"{name} is set where it is needed; leave it out")
    return name


def passed_header(value: object) -> str:
    """The name of a header with a credential that the service checks itself."""
    name = header(value)
    if name != "authorization":
        raise ValueError(
            f"{name} cannot stand here; only authorization is passed on for the service to check"
        )
    return name


def distinct_headers(value: object) -> object:
    """Refuses names that differ only in case."""
    names = [str(name).lower() for name in value] if isinstance(value, dict) else []
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands twice: case makes no difference; leave one out")
    return value


IdentityHeader = Annotated[str, PlainValidator(identity_header), schema("header")]
ConditionHeader = Annotated[str, PlainValidator(condition_header), schema("header")]
PassedHeader = Annotated[str, PlainValidator(passed_header), schema("header")]
RequestHeader = Annotated[str, PlainValidator(request_header), schema("header")]
IntrospectionHeader = Annotated[str, PlainValidator(introspection_header), schema("header")]
SourceHeader = Annotated[str | None, PlainValidator(source_header), schema("header")]
