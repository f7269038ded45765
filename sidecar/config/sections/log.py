"""``log``: what is logged, and in which format."""

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from sidecar.config.section import Section, written


class Log(Section):
    """What is logged."""

    format: Literal["json", "console"] = written(
        "json", "One JSON object a line, or text for people."
    )
    level: Literal["debug", "info", "warning", "error"] = written(
        "info", "The least level that is logged; `debug` logs every allow."
    )
    allows: Annotated[StrictFloat, Field(ge=0, le=1)] = written(
        0.0, "The share of allowed requests that is logged, from 0 to 1."
    )
    denials_per_second: Annotated[StrictInt, Field(ge=0, le=10_000)] = written(
        20, "How many lines about requests are written per second at most."
    )
