"""The numbers of a space: not true or false, which Python counts as 1 and 0, and not beyond every use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

MAX_COUNT = 99_999  # of epochs, trials, CPUs: a larger number is a slip
MAX_REPEATS = 1000
MAX_CELLS = 1000  # of one model entry


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "not a number")
    return value


def _not_bool_but_whole(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "not a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_not_bool_but_whole)]
Repeats = Annotated[int, Field(ge=1, le=MAX_REPEATS), BeforeValidator(_not_bool_but_whole)]
Real = Annotated[float, BeforeValidator(_not_bool)]
Positive = Annotated[float, Field(gt=0), BeforeValidator(_not_bool)]
Number = Annotated[int | float, BeforeValidator(_not_bool)]
Flag = Annotated[bool, Field(strict=True)]
