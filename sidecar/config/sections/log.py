"""``log``: what is logged."""

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from sidecar.config.section import Section


class Log(Section):
    """What is logged."""

    format: Literal["json", "console"] = Field(
        default="json", description="One JSON object a line, or text for people."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged; `debug` logs every allow."
    )
    allows: Annotated[StrictFloat, Field(ge=0, le=1)] = Field(
        default=0.0, description="The share of allowed requests that is logged, from 0 to 1."
    )
    denials_per_second: Annotated[StrictInt, Field(ge=0, le=10_000)] = Field(
        default=20, description="How many lines about requests are written per second at most."
    )
