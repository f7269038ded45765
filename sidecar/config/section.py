"""What every part of a configuration has in common."""

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Nothing unknown, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    def refuse_all_but_one(self, names: Iterable[str]) -> str:
        """The one of these keys after which something is written. Raises ValueError for 0 or 2."""
        names = tuple(names)
        written = [name for name in names if getattr(self, name) is not None]
        if not written:
            raise ValueError(f"one of these is needed here: {', '.join(names)}")
        if len(written) > 1:
            raise ValueError(f"only one of these can stand here: {', '.join(written)}")
        return written[0]


class OneOf(Section):
    """A section of which one key is written, and only one."""

    @property
    def chosen(self) -> str:
        """The key that is written."""
        return self.refuse_all_but_one(type(self).model_fields)

    @model_validator(mode="after")
    def _one(self) -> Self:
        self.refuse_all_but_one(type(self).model_fields)
        return self
