"""Reads CheckRequest and builds CheckResponse (envoy.service.auth.v3).

Envoy treats an empty CheckResponse as an allow. So every response is built by ``encode``, and only
an ``Allow`` is encoded with status 0.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from grpc import StatusCode

from sidecar.check.refusal import Refusal
from sidecar.errors import Fault
from sidecar.model import Allow, Decision, Deny, Reason, RequestView, VerifiedToken
from sidecar.shell.check import DEFAULT_LIMITS, RequestLimits, printable_id
from sidecar.wire.denials import http_status, problem
from sidecar.wire.grpc._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from sidecar.wire.grpc._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
)

_OVERWRITE: Final = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_APPEND: Final = HeaderValueOption.APPEND_IF_EXISTS_OR_ADD

# What a gRPC client gets for each HTTP status, and the code in CheckResponse.status: never a 0.
_INTERNAL: Final = StatusCode.INTERNAL.value[0]
_CODES: Final = {
    400: StatusCode.INVALID_ARGUMENT.value[0],
    401: StatusCode.UNAUTHENTICATED.value[0],
    403: StatusCode.PERMISSION_DENIED.value[0],
    431: StatusCode.RESOURCE_EXHAUSTED.value[0],
    500: _INTERNAL,
    503: StatusCode.UNAVAILABLE.value[0],
}


class UndecodableRequest(Fault):
    """The bytes are not a CheckRequest about an HTTP request."""


class Envelope(NamedTuple):
    """A request, and what is needed to answer it but not to check it.

    ``refusal`` is set if the request is above the limits; it has then been read in part or not at
    all. ``request_id`` is only for correlation, since the client may have chosen it; it has the
    form of ``printable_id``. ``grpc`` says whether the client speaks gRPC, decided as Envoy does.
    """

    view: RequestView
    request_id: str
    grpc: bool
    refusal: Refusal | None = None


# For a request that was not read; no route matches it.
UNREAD: Final = Envelope(RequestView(method="", path="", host="", headers=()), "", grpc=False)


def decode(body: bytes, limits: RequestLimits = DEFAULT_LIMITS) -> Envelope:
    """Read a CheckRequest within the limits. Raises UndecodableRequest.

    The route's name is ``context_extensions["route"]``, which per-route configuration sets; an
    empty one is a name like any other, not the absence of one.
    """
    if len(body) > limits.request_bytes:
        return UNREAD._replace(refusal=_too_large(f"more than {limits.request_bytes} bytes"))
    try:
        attributes = CheckRequest.FromString(body).attributes
    except DecodeError as error:
        raise UndecodableRequest(str(error)) from error
    if not attributes.request.HasField("http"):
        raise UndecodableRequest("there is no attributes.request.http")
    http = attributes.request.http
    refusal = None
    if len(http.header_map.headers) + len(http.headers) > limits.header_lines:
        refusal = _too_large(f"more than {limits.header_lines} header lines")
    headers = tuple(_headers(http, limits.header_lines))
    last = dict(headers)
    content_type = last.get("content-type", b"")
    # Envoy replaces a byte that is not UTF-8 by `!` in its `path`, which is a legal character. So
    # the raw header is used if it is there. As Latin-1 no byte is lost, and the check refuses it.
    path = last.get(":path")
    return Envelope(
        RequestView(
            method=http.method,
            path=http.path if path is None else path.decode("latin-1"),
            host=http.host,
            headers=headers,
            principal=attributes.source.principal,
            route=attributes.context_extensions.get("route"),
        ),
        request_id=printable_id(last.get("x-request-id", b"")),
        grpc=content_type == b"application/grpc" or content_type.startswith(b"application/grpc+"),
        refusal=refusal,
    )


def _too_large(problem: str) -> Refusal:
    return Refusal(Reason.REQUEST_TOO_LARGE, f"it has {problem}")


def _headers(http: AttributeContext.HttpRequest, maximum: int) -> list[tuple[str, bytes]]:
    # header_map is there with Envoy's encode_raw_headers: one entry per field line, bytes as they
    # came. The map has one entry per name, its values joined with a comma.
    if http.HasField("header_map"):
        lines = islice(http.header_map.headers, maximum)
        return [(line.key.lower(), line.raw_value) for line in lines]
    return [
        (name.lower(), value.encode())
        for name, value in islice(http.headers.items(), maximum)
        if name != ":path"
    ]


def encode(
    decision: Decision,
    *,
    challenge: tuple[tuple[str, str], ...],
    request_id: str = "",
    grpc: bool = False,
) -> bytes:
    """Build the CheckResponse for ``decision``.

    ``challenge`` has the parameters of every challenge. The body of a denial is problem details
    (``wire.denials``), or one sentence for a client that speaks gRPC.
    """
    # Filled in place: protobuf copies a message that is handed to a constructor.
    response = CheckResponse()
    match decision:
        case Allow():
            _allow(response, decision)
        case Deny():
            _deny(response, decision, challenge, request_id, grpc)
        case _:
            # Types are not checked at run time, and an empty response would be an allow.
            failed = Deny(Reason.INTERNAL_ERROR)  # type: ignore[unreachable]  # see above
            _deny(response, failed, challenge, request_id, grpc)
    return response.SerializeToString()


def _allow(response: CheckResponse, allow: Allow) -> None:
    response.status.code = 0
    ok = response.ok_response
    ok.SetInParent()
    _overwrite(ok.headers, allow.headers.overwrite)
    ok.headers_to_remove.extend(allow.headers.remove)
    if allow.headers.cookie:
        # The service's own cookies reach the client beside this one.
        option = ok.response_headers_to_add.add(append_action=_APPEND)
        option.append.value = True
        option.header.key, option.header.value = "set-cookie", _utf8(allow.headers.cookie)
    denial = allow.would_deny
    if denial is None:
        _describe(response.dynamic_metadata, "allow", allow, allow.token)
    else:
        _describe(response.dynamic_metadata, "would_deny", denial, allow.token or denial.token)


def _deny(
    response: CheckResponse,
    deny: Deny,
    challenge: tuple[tuple[str, str], ...],
    request_id: str,
    grpc: bool,
) -> None:
    status = http_status(deny)
    code = _CODES.get(status, _INTERNAL)
    headers: tuple[tuple[str, str], ...]
    if grpc:
        # Envoy answers with HTTP status 200, the body as grpc-message and a grpc-status made from
        # the HTTP status, which it gets wrong for 400 and 500.
        headers = (("grpc-status", str(code)),)
        body = deny.reason.sentence
    else:
        status, headers, body = problem(deny, challenge, request_id)
    response.status.code = code
    response.status.message = deny.reason.label
    denied = response.denied_response
    denied.status.code = status
    denied.body = _utf8(body)
    _overwrite(denied.headers, headers)
    if deny.cookie:
        # Envoy leaves out of a denial what is to be appended, and there is no other cookie in it.
        _overwrite(denied.headers, [("set-cookie", deny.cookie)])
    _describe(response.dynamic_metadata, "deny", deny, deny.token)


def _overwrite(
    options: "RepeatedCompositeFieldContainer[HeaderValueOption]",
    headers: Iterable[tuple[str, str]],
) -> None:
    for name, value in headers:
        option = options.add(append_action=_OVERWRITE)
        option.append.value = False  # the API's field is append_action; releases in use read this
        header = option.header  # every look at a message's part costs as much as filling it in
        header.key = name
        header.value = value if value.isascii() else _utf8(value)  # a cookie's may be anything


def _describe(
    metadata: Struct, decision: str, verdict: Decision, token: VerifiedToken | None
) -> None:
    """Fill in what Envoy's access log finds under ``envoy.filters.http.ext_authz``."""
    fields = metadata.fields
    fields["decision"].string_value = decision
    fields["reason"].string_value = verdict.reason.label
    if verdict.route is not None:
        fields["route"].string_value = _utf8(verdict.route)
    if token is not None:
        fields["sub"].string_value = _utf8(token.subject)
        fields["iss"].string_value = _utf8(token.issuer)
        fields["token"].string_value = token.fingerprint
    elif isinstance(verdict, Deny) and verdict.fingerprint:
        fields["token"].string_value = verdict.fingerprint


def _utf8(text: str) -> str:
    """Replace what UTF-8 cannot carry: half of a surrogate pair, which JSON can escape."""
    return text if text.isascii() else text.encode(errors="replace").decode()
