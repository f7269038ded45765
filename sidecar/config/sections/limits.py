"""``limits``: the limits on requests, tokens, checks and caches."""

from typing import Annotated

from pydantic import Field, StrictInt

from sidecar.config.section import Section, written
from sidecar.config.values import Duration


class LimitsSection(Section):
    """The limits on requests, tokens, checks and caches."""

    request_bytes: Annotated[StrictInt, Field(ge=4096, le=1048576)] = written(
        131072,
        "The size of a request's head as Envoy describes it; set it above Envoy's "
        "`max_request_headers_kb`. A request above this limit or one of the next two is answered "
        "with a 431.",
    )
    header_lines: Annotated[StrictInt, Field(ge=16, le=4096)] = written(
        512, "How many header lines a request may have."
    )
    cookies: Annotated[StrictInt, Field(ge=16, le=65536)] = written(
        1024, "How many cookies a request may have where one of them may carry a token."
    )
    token_bytes: Annotated[StrictInt, Field(ge=256, le=65536)] = written(
        8192, "The size of a token in bytes."
    )
    token_values: Annotated[StrictInt, Field(ge=64, le=65536)] = written(
        400,
        "How many values a token's claims may hold: members, items of lists, objects "
        "and lists, counted by their commas and brackets.",
    )
    remembered_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = written(
        2000,
        "How many tokens with a valid signature are remembered, at most 1.5 KiB each.",
    )
    pending_checks: Annotated[StrictInt, Field(ge=1, le=65536)] = written(
        256, "How many checks may wait; the next is answered with a 503."
    )
    key_wait: Annotated[float, Duration("0s", "5s")] = written(
        "100ms",
        "How long a check waits for an unknown key, or for first keys; less than Envoy's time-out.",
    )
    key_waiters: Annotated[StrictInt, Field(ge=0, le=65536)] = written(
        64, "How many checks of one issuer wait for keys at once; the next is answered with a 503."
    )
