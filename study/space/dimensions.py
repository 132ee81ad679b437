"""A dimension of a search: a range or a list of choices; and the two kinds of mapping of which a space consists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from study.space.messages import Problem, refuse
from study.space.numbers import Flag, Number

Scalar = bool | int | float | str


class Strict(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants")


class Open(BaseModel):
    """A mapping with further keys, which others know."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants")

    @property
    def options(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.__pydantic_extra__ or {})


class Range(Strict):
    """A searched interval, ends included. Integer ends make an integer dimension."""

    low: Number = Field(description="smallest value")
    high: Number = Field(description="largest value")
    log: Flag = Field(False, description="search on a logarithmic scale")
    step: Number | None = Field(None, description="distance between the values of a linear range; null: any value")

    @model_validator(mode="after")
    def _has_values(self) -> Range:
        wrong = {
            f"empty range: low {self.low} is not below high {self.high}": self.low >= self.high,
            f"a log range starts above 0, not at {self.low}": self.log and self.low <= 0,
            "step must be above 0 and needs a linear range": self.step is not None and (self.log or self.step <= 0),
            f"step {self.step} does not divide the range from {self.low} to {self.high}": not self._is_divided(),
        }
        refuse(Problem((), message) for message, applies in wrong.items() if applies)
        return self

    def _is_divided(self) -> bool:
        """Whether steps from `low` reach `high`; true where another problem already makes the range useless."""
        if self.step is None or self.step <= 0 or self.low >= self.high:
            return True
        steps = (self.high - self.low) / self.step
        return round(steps) >= 1 and math.isclose(steps, round(steps), rel_tol=1e-9)

    def ends(self) -> list[Scalar]:
        return [self.low, self.high]


Choices = list[Scalar]


def _shape(dimension: object) -> str | None:
    if isinstance(dimension, list):
        return "choices"
    return "range" if isinstance(dimension, Mapping | Range) else None


Dimension = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(_shape, custom_error_type="dimension", custom_error_message="neither a range nor choices"),
]
