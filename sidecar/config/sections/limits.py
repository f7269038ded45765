"""``limits``: what is bounded, and where."""

from typing import Annotated

from pydantic import Field, StrictInt

from sidecar.config.section import Section
from sidecar.config.values import Duration


class Limits(Section):
    """What is bounded, and where."""

    request_bytes: Annotated[StrictInt, Field(ge=4096, le=1048576)] = Field(
        default=131072,
        description="The size of a request's head as Envoy describes it; more than Envoy's "
        "`max_request_headers_kb`. What is larger is answered with a 431, as is what goes beyond "
        "the next two.",
    )
    header_lines: Annotated[StrictInt, Field(ge=16, le=4096)] = Field(
        default=512, description="How many header lines a request may have."
    )
    cookies: Annotated[StrictInt, Field(ge=16, le=65536)] = Field(
        default=1024,
        description="How many cookies a request may have where one of them may carry a token.",
    )
    token_bytes: Annotated[StrictInt, Field(ge=256, le=65536)] = Field(
        default=8192, description="The size of a token in bytes."
    )
    token_values: Annotated[StrictInt, Field(ge=64, le=65536)] = Field(
        default=400,
        description="How many values a token's claims may hold: members, items of lists, objects "
        "and lists, counted by their commas and brackets.",
    )
    remembered_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = Field(
        default=2000,
        description="How many tokens are remembered as well-formed and rightly signed, at most "
        "1.5 KiB each.",
    )
    pending_checks: Annotated[StrictInt, Field(ge=1, le=65536)] = Field(
        default=256, description="How many checks may wait; the next is answered with a 503."
    )
    key_wait: Annotated[float, Duration("0s", "5s")] = Field(
        default="100ms",
        validate_default=True,
        description="How long a check waits for an unknown key, or for first keys; less than "
        "Envoy's time-out.",
    )
    key_waiters: Annotated[StrictInt, Field(ge=0, le=65536)] = Field(
        default=64,
        description="How many checks of one issuer wait for keys at once; the next is answered "
        "with a 503.",
    )
