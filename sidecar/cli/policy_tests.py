"""The shape of a file of policy tests: requests, and the decisions that are expected."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, StrictBool, WithJsonSchema

from sidecar.cli.texts import moment
from sidecar.config.section import Section
from sidecar.config.values import Duration, Text, TokenType, format_value, text
from sidecar.model import Reason


def _moment(value: object) -> float:
    try:
        return moment(str(value))
    except ValueError as error:
        raise ValueError(
            f"{format_value(value)} is not a time; write 2026-01-31T12:00:00Z or Unix seconds"
        ) from error


def _lines(value: object) -> tuple[str, ...]:
    return tuple(text(line) for line in (value if isinstance(value, list) else [value]))


def _header_name(value: str) -> str:
    if value != value.lower():
        raise ValueError(f"{format_value(value)} is not in lower case, as Envoy sends every name")
    return value


HeaderLines = Annotated[
    tuple[str, ...],
    PlainValidator(_lines),
    WithJsonSchema({"type": ["string", "array"], "x-kind": "text or list of text"}),
]
HeaderName = Annotated[Text, AfterValidator(_header_name)]


def _reason(value: object) -> Reason:
    for reason in Reason:
        if reason.label == value:
            return reason
    accepted = ", ".join(reason.label for reason in Reason)
    raise ValueError(f"{format_value(value)} is not a reason; accepted: {accepted}")


ReasonLabel = Annotated[
    Reason | None,
    PlainValidator(_reason),
    WithJsonSchema({"enum": [reason.label for reason in Reason], "x-kind": "reason"}),
]
Moment = Annotated[
    float | None,
    PlainValidator(_moment),
    WithJsonSchema({"type": ["string", "number"], "x-kind": "time"}),
]


class Request(Section):
    """A request as Envoy would describe it."""

    method: Text = Field(default="GET", description="The method.")
    path: Text = Field(description="The path, with its query.")
    host: Text = Field(default="", description="The host.")
    headers: dict[HeaderName, HeaderLines] = Field(
        default={}, description="Headers, each with its value or the list of its values."
    )
    principal: Text = Field(default="", description="The caller's mTLS principal.")
    route: Text = Field(
        default="", description="The route's name, where Envoy's `context_extensions` give one."
    )


class Token(Section):
    """A token that is made for one test, signed by a stand-in for its issuer's key."""

    trust: Text = Field(description="The trust entry whose token it is.")
    credential: Text = Field(
        default="",
        description="For a gateway: the credential that it is. Without it, the first that takes "
        "tokens of the trust entry.",
    )
    claims: dict[str, Any] = Field(
        default={}, description="Claims to add, to replace or, with null, to leave out."
    )
    expires_in: Annotated[float, Duration("-720h", "720h")] = Field(
        default="60s", validate_default=True, description="Its life from the time of the test on."
    )
    type: TokenType = Field(
        default="", description="Its `typ`; `none` for none. Without it, one the entry accepts."
    )
    kid: Text = Field(default="", description="Another key id than the stand-in key's.")


class Session(Section):
    """A session that is made for one test, as its issuer or the gateway itself knows it."""

    credential: Text = Field(description="The credential whose session it is.")
    active: StrictBool = Field(
        default=True, description="Whether its issuer says that it is active (RFC 7662)."
    )
    claims: dict[str, Any] = Field(
        default={}, description="What there is to know of it besides `sub`, or in its place."
    )
    expires_in: Annotated[float, Duration("-720h", "720h")] = Field(
        default="60s", validate_default=True, description="Its life from the time of the test on."
    )


class Expectation(Section):
    """What is expected. What is left out is not compared."""

    decision: Literal["allow", "deny"] = Field(description="Whether the request goes through.")
    reason: ReasonLabel = Field(default=None, description="The reason's label.")
    route: Text = Field(default="", description="The name of the route that decides.")
    headers: dict[HeaderName, Text | None] = Field(
        default={}, description="Headers that are set to a value or, with null, removed."
    )
    token: dict[str, Any] = Field(
        default={},
        description="Of a gateway: claims of the token that the service gets or, with null, claims "
        "it does not have.",
    )


class Case(Section):
    """One request and what is expected of it."""

    name: Text = Field(description="What it is called in the results.")
    request: Request = Field(description="The request.")
    token: Token | None = Field(
        default=None,
        description="The token it carries: in the first of `token_sources`, or for a gateway where "
        "the credential stands that the trust entry is for.",
    )
    session: Session | None = Field(
        default=None, description="The session it carries, for a gateway."
    )
    expect: Expectation = Field(description="The decision.")


class PolicyTests(Section):
    """A whole file."""

    now: Moment = Field(
        default=None, description="The time of all tests, RFC 3339 or Unix seconds."
    )
    tests: tuple[Case, ...] = Field(min_length=1, description="The tests.")
