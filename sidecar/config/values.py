"""The types of values in a configuration, each with its reader.

A reader takes the value from the file and returns the one that the program uses, or raises a
ValueError whose text says what is wrong and how to fix it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from sidecar.check.conditions import Condition, ConditionError
from sidecar.check.identity import IdentitySource, Normalised
from sidecar.check.jws import media_type
from sidecar.check.routes import METHOD
from sidecar.check.rules import NamedTokens
from sidecar.check.templates import PathTemplate
from sidecar.check.trust import ClaimPath
from sidecar.config.condition_fields import compiled
from sidecar.jose.algorithms import SUPPORTED_ALGORITHMS
from sidecar.jose.issuers import SEGMENT, IssuerTemplate, parse_template
from sidecar.model import TokenKind

# The key of the validation context that holds the directory of the file.
DIRECTORY: Final = "directory"

_DURATION: Final = re.compile(r"(-?[0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+(?:/[a-z0-9!#$&^_.+-]+)?")  # RFC 6838 §4.2
_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749 §3.3
_PATH: Final = re.compile(r"[A-Za-z0-9_.@~-]+(?:/[A-Za-z0-9_.@~-]+)*")
_WILD: Final = re.compile(r"[{}*]")
_QUOTABLE: Final = re.compile(r"[ !#-\[\]-~]+")  # RFC 9110 §5.6.4 without what needs a backslash


def seconds(text: object) -> float:
    """Read a duration such as 200ms, 10s, 5m or 24h. Raises ValueError for anything else."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{format_value(text)} is not a duration; write 200ms, 10s, 5m or 24h")
    return float(match[1]) * _SECONDS[match[2]]


def format_value(value: object) -> str:
    """A value of the file as it appears in a message: short, on one line, and without a password.

    What stands before an ``@`` may be one, wherever a URL was written (RFC 3986 §3.2.1).
    """
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    before, _, host = text.rpartition("@")
    text = f"...@{host}" if ":" in before else text
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f'"{text}"'.encode("unicode_escape").decode() if isinstance(value, str) else text


@dataclass(frozen=True, slots=True)
class Duration:
    """Marks a float as seconds that are written as a duration within bounds."""

    minimum: str
    maximum: str

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        """A schema whose validation is ``read``."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """For the JSON Schema."""
        kind = f"duration from {self.minimum} to {self.maximum}"
        return {"type": "string", "pattern": f"^{_DURATION.pattern}$", "x-kind": kind}

    def read(self, value: object) -> float:
        """Seconds. Raises ValueError for what is no duration or out of bounds."""
        found = seconds(value)
        if not seconds(self.minimum) <= found <= seconds(self.maximum):
            raise ValueError(
                f"{value} is out of bounds; write a duration from {self.minimum} to {self.maximum}"
            )
        return found


def text(value: object) -> str:
    """Any text that is not empty."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, and found {format_value(value)}; {_quoted(value)}")  # noqa: TRY004 - pydantic collects ValueErrors
    if not value:
        raise ValueError("the text is empty; write something here")
    return value


def _quoted(value: object) -> str:
    scalar = not isinstance(value, list | dict | None)
    return "put it in quotes" if scalar else "write one text here"


def _matching(pattern: re.Pattern[str], expectation: str) -> Callable[[object], str]:
    """A reader of text that must match as a whole."""

    def read(value: object) -> str:
        found = text(value)
        if not pattern.fullmatch(found):
            raise ValueError(f"{format_value(found)} cannot stand here; {expectation}")
        return found

    return read


def file(value: object, info: ValidationInfo) -> Path:
    """A path. A relative one begins at the directory that the validation context names."""
    directory: Path = (info.context or {}).get(DIRECTORY, Path())
    return directory / text(value)


_name = _matching(
    _NAME, "a name has up to 63 letters, digits, ., _ and -, and begins with a letter or digit"
)
_scope = _matching(_SCOPE, "a scope has no spaces, quotes or backslashes; write one item per scope")
_token = _matching(TOKEN, "it has letters, digits and !#$%&'*+-.^_`|~")
_method = _matching(METHOD, "a method has capital letters and -, as in GET")
_vault_path = _matching(
    _PATH, "write the names with / between them, and none at the beginning and the end"
)
_realm = _matching(_QUOTABLE, "a realm is printable ASCII without quotes and backslashes")


def claim(value: object) -> ClaimPath:
    """A claim: its name, or for a nested one the list of names that lead to it."""
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f"{format_value(value)} does not name a claim; write its name, or for a nested claim "
            "the list of names that lead to it"
        )
    return tuple(names)


def claim_values(value: object) -> tuple[tuple[ClaimPath, tuple[str | int, ...]], ...]:
    """The accepted values of a claim, or of those in it, each with its path below the claim."""
    if isinstance(value, dict) and value:
        return tuple(
            ((text(name), *path), accepted)
            for name, below in value.items()
            for path, accepted in claim_values(below)
        )
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str | int) for each in values):
        raise ValueError(
            f"expected a value, and found {format_value(value)}; write text, a whole number, true "
            "or false, or a list of these"
        )
    return (((), tuple(values)),)


def identity_source(value: object) -> IdentitySource:
    """The source of an identity header: a claim, or the normalised scopes, roles or groups."""
    if not isinstance(value, dict):
        return claim(value)
    accepted = [each.value for each in Normalised]
    named = value.get("normalised")
    if len(value) != 1 or named not in accepted:
        raise ValueError(
            "a mapping here names what rules see of a token; write {normalised: NAME}, with NAME "
            f"one of: {', '.join(accepted)}"
        )
    return Normalised(named)


def issuer(value: object) -> str:
    """An issuer that is compared as it is written."""
    if isinstance(value, list):
        raise ValueError("expected one issuer, and found a list; write issuers: [..] for several")  # noqa: TRY004 - pydantic collects ValueErrors
    found = text(value)
    if _WILD.search(found):
        pattern = found if parse_template(found) else "https://login.example/{tid}/v2.0"
        raise ValueError(
            f"{format_value(found)} has a brace or *, and an issuer is compared character by "
            f'character; write issuer_pattern: {{pattern: "{pattern}", values: [..]}} in place of '
            "it, with the name of a claim in braces"
        )
    return found


def issuer_template(value: object) -> IssuerTemplate:
    """A pattern of issuers: one segment of its path is a placeholder."""
    found = text(value)
    template = parse_template(found)
    if template is None:
        raise ValueError(
            f"{format_value(found)} is not a pattern of issuers; write a URL with one placeholder, "
            "the name of a claim in braces, as one whole segment of its path: "
            "https://login.example/{tid}/v2.0"
        )
    if template.placeholder == "iss":
        raise ValueError(
            "iss cannot stand in itself; name the claim with the tenant, such as {tid}"
        )
    return template


def issuer_values(value: object) -> tuple[str, ...] | None:
    """What may stand in place of a placeholder; None for anything."""
    if value == "any":
        return None
    if value == []:
        raise ValueError("the list is empty; write at least one item")
    if value == ["any"]:
        raise ValueError("any is no value of a list; write values: any if every value is meant")
    if not isinstance(value, list):
        raise ValueError(  # noqa: TRY004 - pydantic collects ValueErrors
            f"expected a list of values or any, and found {format_value(value)}; write what may "
            "stand in place of the placeholder"
        )
    for each in value:
        if not isinstance(each, str) or not SEGMENT.fullmatch(each):
            raise ValueError(
                f"{format_value(each)} cannot stand in place of a placeholder; write letters, "
                "digits and -, in quotes if they could be read as a number"
            )
    return tuple(value)


def algorithm(value: object) -> str:
    """A signature algorithm that is accepted at all."""
    name = text(value)
    if name in SUPPORTED_ALGORITHMS:
        return name
    accepted = f"accepted: {', '.join(sorted(SUPPORTED_ALGORITHMS))}"
    if name.lower() == "none":
        raise ValueError(f"none means no signature: anyone could write such tokens; {accepted}")
    if name.upper().startswith("HS"):
        raise ValueError(
            f"{name} shares one secret between who signs and who verifies: whoever can verify "
            f"could also sign; {accepted}"
        )
    raise ValueError(f"{format_value(name)} is not an algorithm that is verified here; {accepted}")


def token_type(value: object) -> str:
    """A ``typ`` in the form in which it is compared; ``none`` for tokens that have none."""
    name = media_type(text(value))
    if not _MEDIA_TYPE.fullmatch(name):
        raise ValueError(
            f"{format_value(value)} is not a media type; write at+jwt, or none for no typ"
        )
    return name


def accepted_tokens(value: object) -> TokenKind | NamedTokens:
    """The tokens that a route accepts: those of a kind, or of the one entry in ``KIND:NAME``."""
    if isinstance(value, dict) and len(value) == 1:
        [(word, name)] = value.items()
        raise ValueError(f"expected text, and found a mapping; write {word}:{name} without a space")
    word, colon, name = text(value).partition(":")
    kind = next((kind for kind in TokenKind if kind.value == word), None)
    if kind is None or (colon and not name):
        kinds = ", ".join(kind.value for kind in TokenKind)
        raise ValueError(
            f"{format_value(value)} is no kind of token; accepted: {kinds}, and external:NAME "
            "for one trust entry"
        )
    return NamedTokens(kind, _name(name)) if colon else kind


def host(value: object) -> str:
    """A host in lower case; ``*.`` in front stands for any number of labels."""
    name = text(value).lower()
    if re.search(r":[0-9]+$", name) and not name.startswith("[") and name.count(":") == 1:
        raise ValueError(
            f"{format_value(value)} has a port; write the host alone, every port is meant"
        )
    if not _HOST.fullmatch(name):
        raise ValueError(
            f"{format_value(value)} is not a host; write orders.example.org or *.example.org"
        )
    return name


def whole_text(value: object) -> str:
    """Text that is compared as a whole: with a ``*`` it would be taken for a pattern."""
    found = text(value)
    if "*" in found:
        raise ValueError(
            f"{format_value(found)} is compared character by character, and * stands for nothing "
            "else; write the whole of what tokens have here"
        )
    return found


def pattern(value: object) -> str:
    """A pattern of a subject or principal, in which ``*`` stands for one part."""
    found = text(value)
    if "**" in found:
        raise ValueError(
            f"{format_value(found)} has two * in a row; one * stands for one whole part"
        )
    return found


def pattern_of_parts(value: object) -> str:
    """A pattern in which ``**`` may stand at the end, for one or more parts."""
    found = text(value)
    before = found.removesuffix("**")
    if "**" in before or (before != found and not before.endswith(("/", ":"))):
        raise ValueError(
            f"{format_value(found)} has ** where it cannot stand: it is for one or more whole "
            "parts, at the end and after / or :, as in repo:acme/**; one * is for one part"
        )
    return found


def condition(value: object) -> Condition:
    """A CEL expression, compiled."""
    try:
        return compiled(text(value))
    except ConditionError as error:
        raise ValueError(f"the expression cannot be used: {error}") from error


def template(value: object) -> PathTemplate:
    """A path template, compiled."""
    return PathTemplate.parse(text(value))


def schema(kind: str, **keywords: object) -> WithJsonSchema:
    """The JSON Schema of one kind of value; ``x-kind`` is its name in the reference."""
    return WithJsonSchema({"type": "string", "minLength": 1, "x-kind": kind} | keywords)


_CLAIM_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
    ],
    "x-kind": "claim",
}

_IDENTITY_SOURCE_SCHEMA: Final = {
    "anyOf": [
        *_CLAIM_SCHEMA["anyOf"],
        {
            "type": "object",
            "properties": {"normalised": {"enum": [each.value for each in Normalised]}},
            "required": ["normalised"],
            "additionalProperties": False,
        },
    ],
    "x-kind": "claim or mapping",
}

Text = Annotated[str, PlainValidator(text), schema("text")]
WholeText = Annotated[str, PlainValidator(whole_text), schema("text")]
File = Annotated[Path, PlainValidator(file), schema("text")]
Name = Annotated[str, PlainValidator(_name), schema("name", pattern=f"^{_NAME.pattern}$")]
Scope = Annotated[str, PlainValidator(_scope), schema("scope", pattern=f"^{_SCOPE.pattern}$")]
HttpToken = Annotated[
    str | None, PlainValidator(_token), schema("token", pattern=f"^{TOKEN.pattern}$")
]
Method = Annotated[str, PlainValidator(_method), schema("method", pattern=f"^{METHOD.pattern}$")]
Realm = Annotated[str, PlainValidator(_realm), schema("text", pattern=f"^{_QUOTABLE.pattern}$")]
Claim = Annotated[ClaimPath, PlainValidator(claim), WithJsonSchema(_CLAIM_SCHEMA)]
ClaimValues = Annotated[
    tuple[tuple[ClaimPath, tuple[str | int, ...]], ...],
    PlainValidator(claim_values),
    WithJsonSchema(
        {
            "type": ["string", "integer", "boolean", "array", "object"],
            "x-kind": "value or list of values",
        }
    ),
]
IdentityClaim = Annotated[
    IdentitySource, PlainValidator(identity_source), WithJsonSchema(_IDENTITY_SOURCE_SCHEMA)
]
VaultPath = Annotated[
    str, PlainValidator(_vault_path), schema("path", pattern=f"^{_PATH.pattern}$")
]
AlgorithmName = Annotated[
    str,
    PlainValidator(algorithm),
    schema("algorithm", enum=sorted(SUPPORTED_ALGORITHMS)),
]
Issuer = Annotated[str, PlainValidator(issuer), schema("text", pattern="^[^{}*]+$")]
OptionalIssuer = Annotated[str | None, PlainValidator(issuer), schema("text", pattern="^[^{}*]+$")]
IssuerPatternText = Annotated[IssuerTemplate, PlainValidator(issuer_template), schema("pattern")]
IssuerValues = Annotated[
    tuple[str, ...] | None,
    PlainValidator(issuer_values),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "any"},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "pattern": f"^{SEGMENT.pattern}$"},
                },
            ],
            "x-kind": "list of text, or any",
        }
    ),
]
TokenType = Annotated[str, PlainValidator(token_type), schema("media type")]
AcceptedTokens = Annotated[
    TokenKind | NamedTokens,
    PlainValidator(accepted_tokens),
    schema(
        "kind, or kind:name",
        pattern=f"^({'|'.join(kind.value for kind in TokenKind)})(:{_NAME.pattern})?$",
    ),
]
Host = Annotated[str, PlainValidator(host), schema("host")]
Pattern = Annotated[str, PlainValidator(pattern), schema("pattern")]
PatternOfParts = Annotated[str, PlainValidator(pattern_of_parts), schema("pattern")]
ConditionText = Annotated[Condition | None, PlainValidator(condition), schema("CEL expression")]
Template = Annotated[PathTemplate, PlainValidator(template), schema("path template")]
